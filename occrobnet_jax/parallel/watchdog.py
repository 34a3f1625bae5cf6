"""Ends a process in which nothing moves any more, and shows where it hangs.

The timer is `faulthandler`'s, a thread in C: it prints the stacks of all threads even while one of them, inside a
collective that never returns, keeps Python's lock. A process has one.
"""

import contextlib
import faulthandler
from collections.abc import Iterator

_limit_s = 0.0


@contextlib.contextmanager
def watching(minutes: float) -> Iterator[None]:
    """Demand that within the block `beat` is called at least every so many minutes; 0 is no watchdog.

    Otherwise the stacks of all threads are printed and the process ends with status 1.
    """
    global _limit_s
    _limit_s = 60 * minutes
    beat()
    try:
        yield
    finally:
        _limit_s = 0.0
        faulthandler.cancel_dump_traceback_later()


def beat() -> None:
    """Say that something has moved: a step or a batch of an evaluation has ended."""
    if _limit_s:
        faulthandler.dump_traceback_later(_limit_s, exit=True)
