"""The end that a scheduler asks for: SIGTERM to any host, and all hosts end together and save the same step."""

import signal
import types
from typing import Any

from jax.experimental import multihost_utils

from occrobnet_jax.parallel import hosts


class Preemption:
    """Within its context SIGTERM does not end the process; it is asked for after every step and batch.

    Between several hosts JAX's preemption service carries the notice and picks the place; see `hosts.initialise`.
    """

    def __init__(self) -> None:
        """Nothing is due."""
        self._is_due, self._calls = False, 0
        self._handler_before: Any = None

    def __enter__(self) -> "Preemption":
        """Listens."""
        if hosts.num_hosts() == 1:
            self._handler_before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        """SIGTERM does again what it did before."""
        if hosts.num_hosts() == 1:
            signal.signal(signal.SIGTERM, self._handler_before)

    def is_due(self) -> bool:
        """Whether to save and end: the same on all hosts, which must call it equally often. Once due, it stays so."""
        self._calls += 1
        if hosts.num_hosts() > 1 and not self._is_due:
            self._is_due = multihost_utils.reached_preemption_sync_point(self._calls)
        return self._is_due

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self._is_due = True
