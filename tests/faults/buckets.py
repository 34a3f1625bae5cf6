"""Runs that live in a bucket, at an S3 on this machine, killed while they save there."""

import itertools
import os
import random
import signal
from collections.abc import Callable, Iterable
from typing import Any

from occrobnet_jax.files.paths import path_of
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.runs.checkpoint_folders import checkpoint_steps
from occrobnet_jax.runs.summary import SUMMARY_FILE
from tests.faults.experiments import Finding, Lab, summary
from tests.faults.processes import ending, start
from tests.support import buckets
from tests.support.limits import HANG_S


class Trap:
    """Stands before an S3, counts the uploads into checkpoints, and kills who does the one that it is set to."""

    def __init__(self) -> None:
        self.set(0)

    def set(self, at: int, *, is_done: bool = True) -> None:
        """Kills `victim` at upload number `at`, from 1, which is then done all the same, or lost; 0 is never."""
        self._numbers, self._at, self._is_done = itertools.count(1), at, is_done
        self.seen = self.victim = 0

    def around(self, application: buckets.Application) -> buckets.Application:
        """The S3 behind the trap."""

        def watched(request: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
            if request["REQUEST_METHOD"] == "PUT" and "/checkpoints/" in request["PATH_INFO"]:
                self.seen = next(self._numbers)
                if self.seen == self._at:
                    os.kill(self.victim, signal.SIGKILL)
                    if not self._is_done:
                        respond("503 Slow Down", [])
                        return []
            return application(request, respond)

        return watched


def bucket(lab: Lab, count: int, *, steps: int = 24, every: int = 6, hosts: int = 2, seed: int = 0) -> Finding:
    """SIGKILL at random uploads of random saves; each run is started again and compared with one on a local disk.

    One undisturbed run, of so many hosts, must end as such a one on a disk does.
    """
    flags = (f"config.total_steps={steps}", f"config.checkpoint_every_steps={every}")
    several = (*flags, f"config.mesh.fsdp={hosts}", "config.mesh.fsdp_min_elements=100")
    trap, same, killed = Trap(), 0, 0
    with buckets.s3(trap.around) as url:
        alike = [_state(lab, "bucket_hosts", several, where, hosts=hosts) for where in ("", f"{url}/hosts")]
        wanted = _state(lab, "bucket_undisturbed", flags, "")
        trap.set(0)
        equal = wanted == _state(lab, "bucket_undisturbed", flags, f"{url}/undisturbed") and alike[0] == alike[1]
        uploads = trap.seen
        lab.tell(f"{steps // every} saves of {uploads} uploads; one host and {hosts}, as on a local disk: {equal}")
        for number in range(count):
            rng, where = random.Random(f"{seed}/{number}"), f"{url}/killed_{number}"
            at, is_done = rng.randint(1, uploads), rng.random() < 0.5
            trap.set(at, is_done=is_done)
            killed += _killed(lab, f"bucket_{number}", flags, where, trap)
            left = checkpoint_steps(path_of(where))
            trap.set(0)
            resumed = _state(lab, f"bucket_{number}", flags, where) == wanted
            same += resumed
            lab.tell(
                f"{number}: upload {at} {'done' if is_done else 'lost'}, whole: {left}; resumed, the same: {resumed}"
            )
    verdict = (
        f"undisturbed as on a local disk: {equal}; {killed} of {count} were killed in a save to a bucket; {same} "
        "ended, resumed, with the undisturbed run's state"
    )
    return Finding(verdict, equal and killed == same == count)


def _state(lab: Lab, name: str, flags: tuple[str, ...], url: str, **topology: Any) -> str:
    """Checksum of the state that a run ends with; it lives in a bucket where a URL is given."""
    workdir = lab.workdir(name)
    if not url:
        lab.run(workdir, *flags, **topology)
        return summary(workdir)["state_sha256"]
    lab.run(workdir, *flags, f"workdir={url}", **topology)
    return read_json(path_of(url) / SUMMARY_FILE)["state_sha256"]


def _killed(lab: Lab, name: str, flags: tuple[str, ...], url: str, trap: Trap) -> bool:
    """Runs into the trap; whether that killed it."""
    workdir = lab.workdir(name)
    with ending(start(lab.command(workdir, *flags, f"workdir={url}"), workdir)) as (host,):
        trap.victim = host.process.pid or 0
        return host.wait(HANG_S) == -signal.SIGKILL
