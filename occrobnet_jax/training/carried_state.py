"""How the loop of `train.py` carries a state from step to step: as the flat list of its arrays.

At every step the host would walk through nested dictionaries twice, with a thousand arrays; between two steps nobody
looks at any of them. The compiled program is the same.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree

from occrobnet_jax.runs.state import TrainState
from occrobnet_jax.training.metric_window import StepMetrics
from occrobnet_jax.training.step import TrainStep
from occrobnet_jax.types import Batch

Carried = list[Any]
"""The arrays of a state, in the order of `jax.tree.leaves`, or in their places their shapes or layouts."""

CarriedStep = Callable[[Carried, Batch], tuple[Carried, StepMetrics]]


class Carrier:
    """Takes states of one structure apart for the loop, and puts them together again; no array is copied."""

    def __init__(self, state: PyTree[Any]):
        """Learn the structure of `state`, in which arrays or their shapes stand."""
        self._structure: Any = jax.tree.structure(state)

    def carried(self, state: PyTree[Any]) -> Carried:
        """Return a state, or something of its structure, as the loop carries it.

        Raises:
            ValueError: its structure is another.
        """
        return list(self._structure.flatten_up_to(state))

    def state(self, carried: Carried) -> TrainState:
        """Return the state that the loop carries."""
        state: TrainState = self._structure.unflatten(carried)
        return state

    def step(self, step: TrainStep) -> CarriedStep:
        """Return a step that takes and returns what the loop carries."""

        @functools.wraps(step)
        def carried_step(carried: Carried, batch: Batch) -> tuple[Carried, StepMetrics]:
            state, metrics = step(self.state(carried), batch)
            return self.carried(state), metrics

        return carried_step
