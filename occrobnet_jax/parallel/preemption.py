"""The end that a scheduler or the user asks for: all hosts end together and save the same step."""

import os
import signal
import types
from typing import Any

from jax.experimental import multihost_utils

from occrobnet_jax.parallel import hosts

STANDARD_ERROR = 2
SAVING = b"\ninterrupted: this step is saved, then the run ends; Ctrl-C again ends it at once, with nothing saved\n"


class Preemption:
    """Within its context SIGTERM does not end the process; it is asked for after every step and batch.

    Nor does the first Ctrl-C, which is told and taken for SIGTERM; the second one ends the process. Between several
    hosts JAX's preemption service carries the notice and picks the place; see `hosts.initialize`.
    """

    def __init__(self) -> None:
        """Nothing is due."""
        self._is_due, self._calls = False, 0
        self._handlers_before: dict[int, Any] = {}
        self.by_user = False  # Ctrl-C has come to this process

    def __enter__(self) -> "Preemption":
        """Listen."""
        listeners: dict[int, Any] = {} if hosts.num_hosts() > 1 else {signal.SIGTERM: self._note}
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as a shell leaves it to what runs in the background
            listeners[signal.SIGINT] = self._interrupt
        self._handlers_before = {number: signal.signal(number, listen) for number, listen in listeners.items()}
        return self

    def __exit__(self, *error: object) -> None:
        """Let the signals do again what they did before."""
        for number, handler in self._handlers_before.items():
            signal.signal(number, handler)

    def is_due(self) -> bool:
        """Return whether to save and end: the same on all hosts, which must call it equally often. Once due, it stays
        so.
        """
        self._calls += 1
        if hosts.num_hosts() > 1 and not self._is_due:
            self._is_due = multihost_utils.reached_preemption_sync_point(self._calls)
        return self._is_due

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self._is_due = True

    def _interrupt(self, number: int, frame: types.FrameType | None) -> None:
        self.by_user = True
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.write(STANDARD_ERROR, SAVING)  # print is not to be called within a handler: it may be at work
        os.kill(os.getpid(), signal.SIGTERM)
