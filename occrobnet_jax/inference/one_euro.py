"""The one-euro filter (Casiez, Roussel and Vogel, CHI 2012): a low-pass whose cutoff rises with speed.

A hand at rest doesn't tremble, and a fast one isn't dragged behind.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

DERIVATIVE_CUTOFF_HZ = 1.0  # of the speed's own low-pass, as in the paper


@dataclasses.dataclass(frozen=True)
class OneEuro:
    """The filter's parameters, for values whose unit is about the size of the picture or a metre."""

    min_cutoff_hz: float = 1.0  # at rest: lower trembles less and lags more
    beta: float = 10.0  # Hz that the cutoff rises by for each unit a second: higher lags less

    def __post_init__(self) -> None:
        if not (0 < self.min_cutoff_hz < math.inf and 0 <= self.beta < math.inf):
            raise ValueError(f"--min_cutoff_hz={self.min_cutoff_hz} must be positive and --beta={self.beta} at least 0")


class Smoothed:
    """One signal on its way through the filter."""

    def __init__(self, parameters: OneEuro) -> None:
        """Begin with no value."""
        self._parameters = parameters
        self._time_s, self._value, self._speed = math.nan, np.zeros(()), np.zeros(())

    def __call__(self, value: Float[np.ndarray, "*n"], time_s: float) -> Float[np.ndarray, "*n"]:
        """Return the filtered value of a later time than the last one's; the first one is taken as it is."""
        if math.isnan(self._time_s):
            self._speed = np.zeros_like(value)
        else:
            step_s = time_s - self._time_s
            speed = (value - self._value) / step_s
            self._speed = _blend(self._speed, speed, DERIVATIVE_CUTOFF_HZ, step_s)
            cutoff_hz = self._parameters.min_cutoff_hz + self._parameters.beta * np.abs(self._speed)
            value = _blend(self._value, value, cutoff_hz, step_s)
        self._time_s, self._value = time_s, value
        return value


def _blend(
    old: Float[np.ndarray, "*n"],
    new: Float[np.ndarray, "*n"],
    cutoff_hz: float | Float[np.ndarray, "*n"],
    step_s: float,
) -> Float[np.ndarray, "*n"]:
    """Exponential smoothing of that cutoff: the paper's equations 1 and 2."""
    alpha = 1 / (1 + 1 / (2 * np.pi * cutoff_hz * step_s))
    return alpha * new + (1 - alpha) * old
