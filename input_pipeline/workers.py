"""Data workers of a process: what they need of the machine, and what it means when one of them dies."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from input_pipeline.labels import Fields

SHARED_FROM_BYTES = 2**16  # arrays that workers hand over as shared memory; opening it costs more than copying less
SHARED_MEMORY = Path("/dev/shm")  # where Linux keeps it; containers get 64 MB if nobody says otherwise
MORE = (
    "give the container more (docker run --shm-size=8g; in Kubernetes an emptyDir with medium: Memory mounted at "
    f"{SHARED_MEMORY}), or set config.data.num_workers lower; 0 needs none"
)
DIED = re.compile(r"terminated unexpectedly with exit code (-?\d+)")  # grain's words


def check_shared_memory(fields: Fields, examples: int, num_batches: int, folder: Path = SHARED_MEMORY) -> None:
    """Compare the free shared memory with what the workers' batches take; a worker without it dies of SIGBUS.

    Args:
        fields: a batch of one example.
        examples: in a batch of this host.
        num_batches: that wait in shared memory at once.
        folder: of the file system that shared memory is in.

    Raises:
        ValueError: there is less.
    """
    if not folder.is_dir():
        return  # macOS, Windows: no such limit
    sizes = (examples * np.asarray(values).nbytes for values in fields.values())
    needed = num_batches * sum(size for size in sizes if size >= SHARED_FROM_BYTES)
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if needed > free:
        raise ValueError(
            f"data workers hand over up to {num_batches} batches in shared memory, {_mb(needed)}, but {folder} has "
            f"{_mb(free)} free; {MORE}"
        )


@contextlib.contextmanager
def named_deaths() -> Iterator[None]:
    """Say in a sentence what grain reports of a worker that ended without having raised anything.

    Raises:
        ChildProcessError: a worker died.
    """
    try:
        yield
    except RuntimeError as error:
        if (died := DIED.search(str(error))) is None:
            raise
        raise ChildProcessError(cause_of_death(int(died[1]))) from None


def cause_of_death(exit_code: int) -> str:
    """Return one sentence for a worker's exit code (negative for a signal), with what to do."""
    if exit_code >= 0:
        return f"a data worker ended with status {exit_code}; what it said is above"
    name = signal.Signals(-exit_code).name
    match name:
        case "SIGBUS":
            why = f"shared memory ({SHARED_MEMORY}) is full: {MORE}"
        case "SIGKILL":
            why = (
                "most likely by the kernel, because memory ran out (see `dmesg`): ask for more, or set "
                "config.data.num_workers lower; started again, the run goes on from its newest checkpoint"
            )
        case _:
            why = "started again, the run goes on from its newest checkpoint; config.data.num_workers=0 needs no worker"
    return f"a data worker was ended by {name}, {why}"


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.0f} MB"
