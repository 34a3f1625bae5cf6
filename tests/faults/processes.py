"""Real processes that train together, to be killed, stopped and cut off.

They are forked from a server that has imported everything: what the tests and the laboratory are about begins after
the imports, and those take longer than all the rest.
"""

import atexit
import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from occrobnet_jax.parallel.supervise import HOSTS_FILE_VARIABLE, diagnose, read_hosts
from tests.faults.machines import Machine
from tests.support.xla_flags import xla_flags

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.processes", "tests.faults.worker", "train", "eval"])
POLL_S = 0.02
REPOSITORY = Path(__file__).parents[2]


class Host:
    """One process of a run, with its log; the host's number and names are found as `supervise` finds them."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str], machine: Machine | None):
        self.log, self._hosts_file = log, log.with_suffix(".hosts")
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = environment | {HOSTS_FILE_VARIABLE: str(self._hosts_file)}
        self.process = CONTEXT.Process(target=_inside, args=(arguments, str(log), environment, machine))
        self.process.start()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; one that comes too late is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, number)

    def wait(self, limit_s: float) -> int:
        """The exit status, negative for a signal."""
        self.process.join(limit_s)
        if self.process.exitcode is None:
            raise TimeoutError(f"{self.log} goes on after {limit_s:g} s:\n{self.log.read_text()[-3000:]}")
        return self.process.exitcode

    def diagnosis(self) -> tuple[str, int, bool]:
        """What `supervise` would say of its end."""
        return diagnose(self.process.exitcode or 0, self.log.read_text(), read_hosts(self._hosts_file))


def start(
    arguments: list[str],
    workdir: Path,
    *,
    hosts: int = 1,
    devices: int = 1,
    network: str = "stand_in",
    machines: Sequence[Machine] = (),
    environment: Mapping[str, str] | None = None,
) -> list[Host]:
    """Starts a program as so many hosts with so many devices each, each on its own of the machines, if there are any.

    Logs and keys go to a folder beside `workdir`.
    """
    coordinator = f"{machines[0].address if machines else '127.0.0.1'}:{free_port()}"
    beside = workdir.with_name(workdir.name + "_logs")
    turn = len(list(beside.glob("*.0.log")))
    found = []
    for host in range(hosts):
        variables = {"RECORD_KEYS": str(beside / f"keys_{turn}")} | variables_of(devices, network, environment)
        if hosts > 1:
            names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
            variables |= dict(zip(names, (coordinator, str(hosts), str(host)), strict=True))
        machine = machines[host] if machines else None
        found.append(Host(arguments, beside / f"{turn}.{host}.log", variables, machine))
    return found


def variables_of(devices: int, network: str, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """What the environment says to a process of the laboratory."""
    return {"XLA_FLAGS": xla_flags(devices), "NETWORK": network, **(more or {})}


def run_supervised(arguments: list[str], environment: Mapping[str, str], limit_s: float) -> tuple[int, str]:
    """Exit status and standard error of a program under the real `supervise`, both started as a user does."""
    command = [sys.executable, "-m", "occrobnet_jax.parallel.supervise", "--", "-m", "tests.faults.worker", *arguments]
    variables = os.environ | variables_of(1, "stand_in", environment)
    done = subprocess.run(
        command, cwd=REPOSITORY, env=variables, stderr=subprocess.PIPE, text=True, timeout=limit_s, check=False
    )
    return done.returncode, done.stderr


@contextlib.contextmanager
def ending(hosts: list[Host]) -> Iterator[list[Host]]:
    """Whatever happens in the block, no process outlives it."""
    try:
        yield hosts
    finally:
        for host in hosts:
            if host.process.is_alive():
                host.send(signal.SIGKILL)
                host.process.join()


def wait_until(condition: Callable[[], object], limit_s: float, what: str) -> None:
    """Looks again and again."""
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {limit_s:g} s")
        time.sleep(POLL_S)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _inside(arguments: list[str], log: str, environment: dict[str, str], machine: Machine | None) -> None:
    """What the forked process does: a start like the shell's, then the program, then an end like Python's."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    status = 1
    try:
        if machine:
            machine.enter()
        from tests.faults import worker

        worker.run(arguments)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def scratch() -> Path:
    """A folder of one's own."""
    return Path(tempfile.mkdtemp(prefix="occrobnet_faults_"))
