"""What training steps say of themselves: left on the device until a line of the record is due, then averaged."""

import contextlib
import math
import time
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float

MAY_BREAK = ("loss", "gradient_norm")


@struct.dataclass
class StepMetrics:
    """Named numbers of a step as one array: each array that a step returns costs the host some microseconds."""

    values: Float[Array, " n"]
    names: tuple[str, ...] = struct.field(pytree_node=False)

    @classmethod
    def of(cls, numbers: Mapping[str, Float[Array, ""]]) -> "StepMetrics":
        """Put numbers together, in float32; still on the device."""
        return cls(jnp.stack([jnp.asarray(number, jnp.float32) for number in numbers.values()]), tuple(numbers))

    def numbers(self) -> dict[str, float]:
        """Return the numbers by their names; wait for the device."""
        return dict(zip(self.names, np.asarray(self.values).tolist(), strict=True))


class MetricWindow:
    """Averages metrics over steps, measures the speed, and looks for numbers that aren't finite.

    Reading a number waits for the device, so steps only hand in what they will know.
    """

    def __init__(self, global_batch_size: int, step_at_peak_s: float | None = None):
        """Make an empty window, whose clock starts when the first step, which includes compilation, is over.

        Args:
            global_batch_size: images a step.
            step_at_peak_s: what a step would take at the devices' published peak (`utilization.py`), if that is known.
        """
        self._global_batch_size, self._step_at_peak_s = global_batch_size, step_at_peak_s
        self._steps: list[tuple[int, StepMetrics]] = []
        self._timed, self._waited_s, self._started_s = 0, 0.0, math.nan

    def restart_clock(self) -> None:
        """Leave out of the speed what has passed, such as an evaluation."""
        self._timed, self._waited_s, self._started_s = 0, 0.0, time.perf_counter()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Measure the time that a step waits for its batch."""
        started_s = time.perf_counter()
        yield
        self._waited_s += time.perf_counter() - started_s

    def add(self, step: int, metrics: StepMetrics) -> None:
        """Take what step number `step` returned."""
        self._steps.append((step, metrics))
        self._timed += 1
        if math.isnan(self._started_s):
            jax.block_until_ready(metrics)
            self.restart_clock()

    def read(self) -> dict[str, float]:
        """Return means over the window, which begins anew.

        Raises:
            FloatingPointError: the loss or the gradient of one of the steps isn't finite; it names the first such
                step and the terms and blocks of the network concerned.
        """
        values = [metrics.numbers() for metrics in jax.device_get([metrics for _, metrics in self._steps])]
        for (step, _), metrics in zip(self._steps, values, strict=True):
            check_finite(step, metrics)
        means = {name: math.fsum(metrics[name] for metrics in values) / len(values) for name in values[0]}
        if self._timed:
            means |= self._speed(time.perf_counter() - self._started_s)
        self._steps = []
        self.restart_clock()
        return means

    def _speed(self, elapsed_s: float) -> dict[str, float]:
        step_s = elapsed_s / self._timed
        speed = {"images_per_s": self._global_batch_size / step_s, "step_time_s": step_s}
        speed["data_wait_share"] = self._waited_s / elapsed_s
        return speed if self._step_at_peak_s is None else speed | {"mfu_share": self._step_at_peak_s / step_s}

    def __len__(self) -> int:
        """Return the number of steps in the window."""
        return len(self._steps)


def check_finite(step: int, metrics: Mapping[str, float]) -> None:
    """Raise a FloatingPointError where the loss or the gradient of a step isn't finite."""
    broken = [name for name, value in metrics.items() if name.split("/")[0] in MAY_BREAK and not math.isfinite(value)]
    if broken:
        terms = [name for name in broken if "/" in name] or broken
        raise FloatingPointError(
            f"step {step}: {', '.join(terms)} not finite, so the run stops and no checkpoint is written; the last one "
            "is sound, try a lower optimizer.learning_rate, or optimizer.clip_norm, from there"
        )
