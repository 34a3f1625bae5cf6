"""The experiments of the fault laboratory; `tools/fault_lab.py` runs them in full, the test suite in small.

Each returns a `Finding`. Runs start from one dataset and one compilation cache in the laboratory's folder.
"""

import dataclasses
import json
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from occrobnet_jax.parallel.supervise import LOST_STATUS
from occrobnet_jax.runs.checkpoint_folders import FOLDER, checkpoint_steps
from tests.faults.machines import Machines
from tests.faults.processes import Host, ending, run_supervised, start, wait_until
from tests.faults.wandb_servers import server
from tests.support.fake_datasets import write_fake_dataset
from tests.support.limits import HANG_S
from tests.support.tiny import INPUT_SIZE_PX

EXAMPLES = 52  # seven batches of 8 less 4: no epoch ends with a batch
BATCH = 8
HEARTBEAT_S = 10
MOMENTS = 5  # tries to hit a run, or a save, before it ends


@dataclasses.dataclass(frozen=True)
class Finding:
    """What an experiment came to."""

    verdict: str  # one line
    holds: bool


NETWORKS: dict[str, dict[str, Any]] = {
    "stand_in": {"network": "stand_in"},
    "occrobnet": {"network": "occrobnet"},
    "paper": {"network": "occrobnet", "config": "paper"},
}
"""How a training of each is started: what `processes.start` calls the network, and the config."""


@dataclasses.dataclass(frozen=True)
class Lab:
    """A folder with what all runs share."""

    folder: Path
    machines: Machines | None = None  # one for each host; None: all hosts are on this one
    tell: Callable[[str], None] = print  # one line of a table

    @classmethod
    def prepare(cls, folder: Path, machines: Machines | None = None) -> "Lab":
        """Writes the dataset where it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "data").is_dir():
            write_fake_dataset(folder / "data", EXAMPLES, INPUT_SIZE_PX)
        return cls(folder, machines)

    def workdir(self, name: str) -> Path:
        """A workdir in which nothing has run yet."""
        for path in (self.folder / name, self.folder / f"{name}_logs"):
            shutil.rmtree(path, ignore_errors=True)
        return self.folder / name

    def command(self, workdir: Path, *flags: str, program: str = "train.py", config: str = "tiny") -> list[str]:
        """A program of ours with the tiny config, or the paper's network."""
        return [
            program,
            f"--config=tests/faults/{config}_config.py",
            f"--workdir={workdir}",
            f"--config.data.data_dir={self.folder / 'data'}",
            f"--config.compilation_cache_dir={self.folder / 'cache'}",
            f"--config.hosts.heartbeat_s={HEARTBEAT_S}",
            *(f"--{flag}" for flag in flags),
        ]

    def start(
        self, workdir: Path, *flags: str, program: str = "train.py", config: str = "tiny", **topology: Any
    ) -> list[Host]:
        """Starts a program of ours; `topology` is that of `processes.start`."""
        machines = self.machines.each if self.machines else ()
        command = self.command(workdir, *flags, program=program, config=config)
        return start(command, workdir, machines=machines, **topology)

    def run(self, workdir: Path, *flags: str, limit_s: float = HANG_S, **how: Any) -> list[int]:
        """Runs to the end; the exit statuses of all hosts."""
        with ending(self.start(workdir, *flags, **how)) as hosts:
            return [host.wait(limit_s) for host in hosts]


def summary(workdir: Path) -> dict[str, Any]:
    """What the run came to."""
    return json.loads((workdir / "summary.json").read_text())


def losses(workdir: Path) -> dict[int, float]:
    """By step."""
    return {line["step"]: line["loss"] for line in recorded(workdir) if "loss" in line}


def recorded(workdir: Path) -> list[dict[str, Any]]:
    """The lines of a run's record."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def batches(workdir: Path, turn: int, hosts: int) -> list[list[str]]:
    """Keys of the global batches that a start took, the hosts' shares one after the other."""
    shares = [
        [json.loads(line) for path in folder_of(workdir, turn, host) for line in path.read_text().splitlines()]
        for host in range(hosts)
    ]
    return [[key for share in parts for key in share] for parts in zip(*shares, strict=False)]


def folder_of(workdir: Path, turn: int, host: int) -> Iterator[Path]:
    """The one record of a host."""
    return workdir.with_name(workdir.name + "_logs").glob(f"keys_{turn}/*.{host}-of-*.jsonl")


def newest(workdir: Path) -> int:
    """The last step that was saved."""
    return max(checkpoint_steps(workdir), default=0)


def wait_for_checkpoint(workdir: Path, step: int) -> None:
    """Until one as new is there."""
    wait_until(lambda: newest(workdir) >= step, HANG_S, f"checkpoint {step}")


def topologies(lab: Lab, layouts: tuple[tuple[int, int], ...], network: str, steps: int = 20) -> Finding:
    """The same training as so many hosts x devices each; the first layout runs twice."""
    runs = []
    for number, (hosts, devices) in enumerate([*layouts, layouts[0]]):
        workdir = lab.workdir(f"topology_{number}")
        flags = (f"config.stop_after_steps={steps}", f"config.checkpoint_every_steps={steps}")
        limit_s = 10 * HANG_S if network == "paper" else HANG_S
        statuses = lab.run(workdir, *flags, hosts=hosts, devices=devices, limit_s=limit_s, **NETWORKS[network])
        if any(statuses):
            return Finding(f"{hosts} x {devices} ended with {statuses}", False)
        taken = batches(workdir, 0, hosts)[:steps]
        runs.append((f"{hosts} x {devices}", taken, losses(workdir), summary(workdir)["state_sha256"]))
    first = runs[0]
    same_keys = all(run[1] == first[1] for run in runs)
    apart = [max(abs(run[2][step] / first[2][step] - 1) for step in first[2]) for run in runs]
    for run, away in zip(runs, apart, strict=True):
        lab.tell(f"{run[0]}: losses differ by at most {away:.1e} of their size, state {run[3][:16]}")
    repeats = runs[-1][3] == first[3]
    holds = same_keys and max(apart) <= 1e-5 and repeats and len(first[1]) == steps
    verdict = (
        f"{steps} batches of the same keys in the same order: {same_keys}; losses apart by at most {max(apart):.1e}; "
        f"{first[0]} twice has the same state: {repeats}"
    )
    return Finding(verdict, holds)


def kills(lab: Lab, numbers: range, *, steps: int = 24, every: int = 6, seed: int = 0) -> Finding:
    """SIGKILL at random moments, where the number is odd during a save; each run is started again and compared."""
    flags = (f"config.total_steps={steps}", f"config.checkpoint_every_steps={every}")
    undisturbed = lab.folder / f"undisturbed_{steps}"
    if not (undisturbed / "summary.json").exists():
        lab.run(undisturbed, *flags)
    wanted, same = summary(undisturbed)["state_sha256"], 0
    killed: list[int] = []
    for number in numbers:
        workdir, rng = lab.folder / f"killed_{number}", random.Random(f"{seed}/{number}")
        if kill(lab, workdir, flags, rng, during_save=number % 2 == 1, steps=steps):
            killed.append(number)
        left, unfinished = checkpoint_steps(workdir), unfinished_saves(workdir)
        again = lab.run(workdir, *flags)
        equal = again == [0] and summary(workdir)["state_sha256"] == wanted
        same += equal
        lab.tell(f"{number}: checkpoints {left}, {unfinished} unfinished; resumed, the same: {equal}")
    verdict = (
        f"{len(killed)} of {len(numbers)} were killed, {sum(number % 2 for number in killed)} of them during a save; "
        f"{same} ended, resumed, with the undisturbed run's state"
    )
    return Finding(verdict, len(killed) == same == len(numbers))


def kill(lab: Lab, workdir: Path, flags: tuple[str, ...], rng: random.Random, *, during_save: bool, steps: int) -> bool:
    """Starts a run and kills it at a random moment, or during a random save; whether that worked.

    A run, or a save, that ends before its moment comes makes way for a new run and a new moment.
    """
    for _ in range(MOMENTS):
        lab.workdir(workdir.name)
        with ending(lab.start(workdir, *flags)) as hosts:
            wait_for_moment(workdir, hosts[0], rng, during_save=during_save, steps=steps)
            hosts[0].send(signal.SIGKILL)
            status = hosts[0].wait(HANG_S)
        if status == -signal.SIGKILL and (unfinished_saves(workdir) or not during_save):
            return True
    return False


def unfinished_saves(workdir: Path) -> int:
    """Checkpoints that are being written, or that a dead process left."""
    return len(list(workdir.glob(f"{FOLDER}/*tmp*")))


def wait_for_moment(workdir: Path, host: Host, rng: random.Random, *, during_save: bool, steps: int) -> None:
    """Waits for a random moment of a run, or of a random save of it, or for its end."""
    record, after_steps = workdir / "metrics.jsonl", rng.randrange(0, steps - 6)
    ended = lambda: not host.process.is_alive()  # noqa: E731
    wait_until(lambda: ended() or (record.exists() and record.read_text().count("\n") >= after_steps), HANG_S, "a step")
    if during_save:
        wait_until(lambda: ended() or unfinished_saves(workdir), HANG_S, "a save")
    else:
        time.sleep(rng.uniform(0.0, 0.2))


def lost_host(lab: Lab, how: str, within_s: float = 30.0) -> Finding:
    """One of two hosts is lost; then the run is started again.

    The second is "killed" or "stopped", or its cable is "cut", or the first is killed ("lead").
    """
    workdir = lab.workdir(f"lost_{how}")
    flags = ("config.total_steps=100000", "config.checkpoint_every_steps=10", "config.log_every_steps=5")
    with ending(lab.start(workdir, *flags, hosts=2)) as hosts:
        wait_until(lambda: checkpoint_steps(workdir) or not hosts[0].process.is_alive(), HANG_S, "a checkpoint")
        began = time.monotonic()
        match how:
            case "killed":
                hosts[1].send(signal.SIGKILL)
            case "lead":
                hosts[0].send(signal.SIGKILL)
            case "stopped":
                hosts[1].send(signal.SIGSTOP)
            case "cut":
                assert lab.machines is not None
                lab.machines.cut(1)
        survivors = {"cut": hosts, "lead": hosts[1:]}.get(how, hosts[:1])
        ends = [(host.wait(HANG_S), time.monotonic() - began, host.diagnosis()) for host in survivors]
    for status, took_s, (said, out, _) in ends:
        lab.tell(f"status {status} after {took_s:.1f} s: {said}; supervise exits with {out}")
    saved = max(checkpoint_steps(workdir))
    again = lab.run(workdir, f"config.total_steps={saved + 5}")  # on one host: as many as are left
    lab.tell(f"started again: statuses {again}, from step {saved} to {summary(workdir)['step']}")
    named = all(" lost host " in said and out == LOST_STATUS and status != 0 for status, _, (said, out, _) in ends)
    slowest_s = max(took_s for _, took_s, _ in ends)
    verdict = f"host {how}: every survivor named it and left within {slowest_s:.1f} s: {named}; started again: {again}"
    return Finding(verdict, named and slowest_s <= within_s and again == [0])


def hung(lab: Lab, limit_s: float = 10.0) -> Finding:
    """The data source of a run blocks for ever; the watchdog ends it. Then the run is started again."""
    workdir = lab.workdir("hung")
    flags = ("config.total_steps=12", "config.checkpoint_every_steps=2")
    command = lab.command(workdir, *flags, f"config.hosts.watchdog_minutes={limit_s / 60}")
    status, said = run_supervised(command, {"HANG_AFTER": "40"}, HANG_S)
    sentence, saved = said.splitlines()[-1], max(checkpoint_steps(workdir), default=0)
    shown = all(f" in {function}" in said for function in ("take_steps", "source_that_hangs"))
    lab.tell(f"status {status}: {sentence}")
    again = lab.run(workdir, *flags)
    lab.tell(f"started again: statuses {again}, from step {saved} to {summary(workdir)['step']}")
    told = sentence.startswith("supervise: this process hung: no step ended for")
    verdict = (
        f"ended with {status} after {limit_s:g} s; stacks show the loop and the source: {shown}; said to have hung: "
        f"{told}; started again from step {saved}: {again}"
    )
    return Finding(verdict, status == LOST_STATUS and shown and told and saved > 0 and again == [0])


def sigterm(lab: Lab, host: int = 1, within_s: float = 30.0) -> Finding:
    """SIGTERM to one of two hosts that save all the time, in the first start and in the second, which counts anew."""
    workdir, took_s, ends, holds = lab.workdir("sigterm"), [], [], True
    flags = ("config.total_steps=100000", "config.checkpoint_every_steps=1")
    for turn in (0, 1):
        with ending(lab.start(workdir, *flags, hosts=2)) as hosts:
            wait_for_checkpoint(workdir, max(ends, default=0) + 3 + 5 * turn)
            began = time.monotonic()
            hosts[host].send(signal.SIGTERM)
            statuses = [one.wait(HANG_S) for one in hosts]
            took_s.append(time.monotonic() - began)
        saved, end = newest(workdir), summary(workdir)["step"]
        lab.tell(f"statuses {statuses} after {took_s[-1]:.1f} s; newest checkpoint {saved}; ended at step {end}")
        holds = holds and statuses == [0, 0] and saved == end and took_s[-1] <= within_s
        ends.append(end)
    again = lab.run(workdir, f"config.total_steps={ends[-1] + 2}")
    lab.tell(f"started again: statuses {again}, from step {ends[-1]} to {summary(workdir)['step']}")
    verdict = f"both saved steps {ends} and ended with 0 within {max(took_s):.1f} s: {holds}; went on: {again}"
    return Finding(verdict, holds and again == [0])


def evaluating(lab: Lab, host: int = 1, slow_s: float = 2.0) -> Finding:
    """SIGTERM to one of two hosts during an evaluation of seven slow batches."""
    workdir = lab.workdir("evaluating")
    flags = ("config.total_steps=4", "config.checkpoint_every_steps=100", "config.eval_every_steps=2")
    flags += ("config.data.eval_split=train",)
    slow = {"SLOW_EVALUATION": f"{slow_s}"}
    with ending(lab.start(workdir, *flags, hosts=2, network="occrobnet", environment=slow)) as hosts:
        log = hosts[0].log
        wait_until(lambda: log.exists() and "evaluating" in log.read_text(), HANG_S, "an evaluation")
        began = time.monotonic()
        hosts[host].send(signal.SIGTERM)
        statuses = [one.wait(HANG_S) for one in hosts]
        took_s = time.monotonic() - began
    saved, left_out = checkpoint_steps(workdir), "asked to end during the evaluation of step 2" in log.read_text()
    lab.tell(f"statuses {statuses} after {took_s:.1f} s; checkpoints {saved}; evaluation left out: {left_out}")
    again = lab.run(workdir, *flags, network="occrobnet")
    evaluated = [line["step"] for line in recorded(workdir) if "val/mpjpe_mm" in line]
    lab.tell(f"started again: statuses {again}, to step {summary(workdir)['step']}, evaluated {evaluated}")
    verdict = f"both saved {saved} and ended with {statuses} within {took_s:.1f} s; went on, evaluating {evaluated}"
    holds = statuses == [0, 0] and saved == [2] and left_out and took_s <= 30
    return Finding(verdict, holds and again == [0] and evaluated == [2, 4])


def evaluation(lab: Lab) -> Finding:
    """eval.py on one host and on two, on the same checkpoint."""
    workdir, found = lab.workdir("evaluation"), []
    trained = lab.run(workdir, "config.stop_after_steps=2", network="occrobnet")
    for hosts in (1, 2):
        statuses = lab.run(workdir, "split=train", program="eval.py", hosts=hosts, network="occrobnet")
        if any(trained + statuses):
            return Finding(f"statuses {trained}, then {statuses} on {hosts} hosts", False)
        folder = workdir / "eval" / "train"
        with np.load(folder / "predictions.npz") as records:
            found.append((records["key"].tolist(), json.loads((folder / "metrics.json").read_text())))
    (keys, alone), (others_keys, together) = found
    numbers = [name for name, value in alone.items() if isinstance(value, float)]
    apart = max(abs(together[name] - alone[name]) / max(abs(alone[name]), 1e-3) for name in numbers)
    same_keys = keys == others_keys and len(set(keys)) == EXAMPLES
    verdict = f"{len(keys)} keys, the same in order: {same_keys}; {len(numbers)} metrics apart by at most {apart:.1e}"
    return Finding(verdict, same_keys and len(numbers) > 10 and apart <= 1e-5)


def elastic(lab: Lab, plan: tuple[tuple[int, int], ...] = ((4, 3), (1, 5), (2, 8))) -> Finding:
    """A run whose number of hosts changes at each restart; `plan` has hosts and the step that they go on to."""
    workdir, taken, began = lab.workdir("elastic"), [], 0
    for turn, (hosts, until) in enumerate(plan):
        flags = (f"config.stop_after_steps={until}", "config.checkpoint_every_steps=100")
        statuses = lab.run(workdir, *flags, hosts=hosts, devices=4 // hosts)
        if any(statuses):
            return Finding(f"{hosts} hosts ended with {statuses}", False)
        taken += batches(workdir, turn, hosts)[: until - began]
        lab.tell(f"{hosts} hosts: steps {began + 1} to {until}, {(until - began) * BATCH} examples")
        began = until
    keys = [key for batch in taken for key in batch]
    epoch, beyond = Counter(keys[:EXAMPLES]), Counter(keys[EXAMPLES:])
    once = len(epoch) == EXAMPLES and set(epoch.values()) == {1} and set(beyond.values()) <= {1}
    verdict = (
        f"of {EXAMPLES} keys {len(epoch)} came in the epoch, the most often {max(epoch.values())} times; the batch at "
        f"its end went on with {len(beyond)} keys of the next"
    )
    return Finding(verdict, once and len(keys) == plan[-1][1] * BATCH)


def reporting(lab: Lab, how: str, steps: int = 12) -> Finding:
    """Weights & Biases' server does what `how` says; the run is stopped and started again meanwhile."""
    workdir, ids, statuses, took_s = lab.workdir(f"wandb_{how}"), [], [], []
    with server(how) as address:
        variables = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
        for until in (steps // 2, steps):
            flags = ("config.wandb.mode=online", f"config.stop_after_steps={until}")
            began = time.monotonic()
            statuses += lab.run(workdir, *flags, environment=variables)
            ids.append((workdir / "wandb_id.txt").read_text())
            took_s.append((summary(workdir)["wall_s"], time.monotonic() - began))
    for loop_s, whole_s in took_s:
        lab.tell(f"{how}: trained and saved within {loop_s:.1f} s, process ended after {whole_s:.1f} s")
    complete = list(losses(workdir)) == list(range(1, steps + 1))
    verdict = f"server {how}: statuses {statuses}, every step recorded: {complete}, same id: {ids[0] == ids[1]}"
    return Finding(verdict, statuses == [0, 0] and complete and ids[0] == ids[1])
