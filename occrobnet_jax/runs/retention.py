"""Which checkpoints of a run stay: the newest, one every so many steps, and the best."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Retention:
    """A rule; the same object answers orbax, whose `PreservationPolicy` it is."""

    newest: int
    every_steps: int = 0  # 0: none
    best: str = ""  # name of a metric, such as "mpjpe_mm"; "": none
    best_is: Literal["lowest", "highest"] = "lowest"
    metrics_of: Callable[[int], Mapping[str, float]] = lambda step: {}  # those of an evaluated step

    def kept(self, steps: Sequence[int]) -> set[int]:
        """Return those of the steps, in ascending order, that stay."""
        kept = set(steps[-self.newest :])
        if self.every_steps:
            kept |= {step for step in steps if step % self.every_steps == 0}
        values = {step: value for step in steps if (value := self.metrics_of(step).get(self.best)) is not None}
        if values:
            kept.add((min if self.best_is == "lowest" else max)(values, key=values.__getitem__))
        return kept

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """Answer orbax: which of the checkpoints (with their `step`) stay."""
        kept = self.kept([checkpoint.step for checkpoint in checkpoints])
        return [checkpoint.step in kept for checkpoint in checkpoints]
