"""How far a long reading of examples has come."""

import contextlib
import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

LOG_EVERY_S = 30.0  # where what was written stays


def progress(
    items: Iterable[Any] | None,
    what: str,
    total: int,
    *,
    unit: str = "it",
    is_shown: bool = True,
    delay_s: float = 0.0,
) -> tqdm:
    """Return the items, with a bar on standard error: redrawn on a terminal, and a line of a log each half minute
    elsewhere.

    Args:
        items: to go through; None where the caller moves the bar with `update`.
        what: is done with them.
        total: how many there are.
        unit: what they are; "B" for bytes, of which thousands are one k.
        is_shown: on one host of several.
        delay_s: nothing is shown of what is over sooner.
    """
    every_s = 0.1 if sys.stderr.isatty() else LOG_EVERY_S
    when: dict[str, Any] = {"disable": not is_shown, "delay": delay_s, "mininterval": every_s, "maxinterval": every_s}
    looks: dict[str, Any] = {"unit": unit, "unit_scale": unit == "B", "leave": False}
    return tqdm(items, what, total, file=_Unheard(sys.stderr), **looks, **when)


class _Unheard:
    """A stream whose reader may be gone: a run whose `supervise` was killed must still get to its checkpoint."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
