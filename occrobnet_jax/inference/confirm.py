"""Which found hands a closer look confirms, by what it and the finder say of each place together. NumPy only.

A face is a hand to the finder, but its joints are unsure and lie elsewhere than the finder says; and one hand may be
found twice, as a right and a left one, but its joints are in the same places.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from occrobnet_jax.inference.finder import overlap
from occrobnet_jax.inference.inputs import Box

AGREEMENT = 5.0  # weight of the overlap of both boxes beside the log-odds of the joints' confidence
SAME_JOINTS = 0.25  # mean distance of two hands' joints, as a share of the larger hand, up to which they are one
_LEAST_PROBABILITY = 1e-4


@dataclasses.dataclass(frozen=True)
class FindingRule:
    """When a place is a hand [ours]; docs/photo.md has the photos on which it was chosen."""

    least_probability: float = 0.4  # of the finder, from which a place is looked at closely
    least_sureness: float = 2.4  # after that


@dataclasses.dataclass(frozen=True)
class Look:
    """What a closer look says of a hand that was found."""

    found_box_px: Box
    joints_px: Float[np.ndarray, "21 2"]
    confidence: Float[np.ndarray, "21"] | None  # None of a network that doesn't tell it

    @property
    def sureness(self) -> float:
        """How sure it is that there is a hand: log-odds and agreement, unbounded; infinite where it isn't told."""
        if self.confidence is None:
            return np.inf
        mean = np.clip(self.confidence.mean(), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        (x0, y0), (x1, y1) = self.joints_px.min(0), self.joints_px.max(0)
        shared = overlap(self.found_box_px, (float(x0), float(y0), float(x1), float(y1)))
        return float(np.log(mean / (1 - mean)) + AGREEMENT * shared)


def confirmed(looks: Sequence[Look], rule: FindingRule) -> list[int]:
    """Return the numbers of the looks that are hands, in order; of those that mean the same hand the surest one's."""
    kept: list[int] = []
    for i in sorted(range(len(looks)), key=lambda i: -looks[i].sureness):
        is_sure = looks[i].sureness >= rule.least_sureness
        if is_sure and not any(_is_the_same(looks[i].joints_px, looks[j].joints_px) for j in kept):
            kept.append(i)
    return sorted(kept)


def _is_the_same(one_px: Float[np.ndarray, "21 2"], other_px: Float[np.ndarray, "21 2"]) -> bool:
    side_px = max(np.ptp(one_px, axis=0).max(), np.ptp(other_px, axis=0).max())
    return bool(np.linalg.norm(one_px - other_px, axis=-1).mean() <= SAME_JOINTS * side_px)
