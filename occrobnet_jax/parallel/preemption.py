"""The end that a scheduler asks for: SIGTERM to any host, and all hosts save the same step."""

import signal
import types
from typing import Any

from jax.experimental import multihost_utils

from occrobnet_jax.parallel import hosts


class Preemption:
    """Within its context SIGTERM does not end the process; it is asked for at every step.

    Between several hosts JAX's preemption service carries the notice and picks the step; see `hosts.initialise`.
    """

    def __init__(self) -> None:
        self._asked = False
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

    def is_due(self, step: int) -> bool:
        """Whether to save after this step and end; the same on all hosts. All hosts must call it at every step."""
        if hosts.num_hosts() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._asked

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self._asked = True
