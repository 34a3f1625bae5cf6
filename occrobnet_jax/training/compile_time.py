"""How long a run's start takes while nothing is seen but that it compiles; the next start says it in advance."""

import contextlib
import time
from collections.abc import Iterator

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath

FILE = "compile_s.txt"


@contextlib.contextmanager
def told(workdir: AnyPath, what: str) -> Iterator[None]:
    """Say that `what` is compiled in the body, how long that took the last time in this workdir, and how long it took.

    What XLA's cache has takes seconds, so that the last time may have been much shorter or longer.
    """
    print(f"compiling {what}; {_last_time(workdir / FILE)}", flush=True)
    began_s = time.monotonic()
    yield
    took_s = time.monotonic() - began_s
    print(f"compiled in {took_s:.0f} s", flush=True)
    write_atomically(workdir / FILE, f"{took_s:.1f}\n")


def _last_time(path: AnyPath) -> str:
    try:
        return f"last time it took {float(path.read_text()):.0f} s"
    except (OSError, ValueError):  # the first start, or half a file
        return "that may take minutes where it isn't in the cache yet"
