"""The baseline every network must beat: the training split's mean hand."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int

from input_pipeline.schema import Example
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.progress import progress
from occrobnet_jax.skeleton import LEFT, RIGHT, WRIST

MOST_EXAMPLES = 20_000
MIRROR = np.array([-1.0, 1.0, 1.0])


@runtime_checkable
class Examples(Protocol):
    """A split of a dataset, or a list. Scoring imports this module and must start without the libraries of datasets."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int, /) -> Example:
        """Return one of them."""


def mean_pose(examples: Examples, most: int = MOST_EXAMPLES) -> Float[np.ndarray, "2 21 3"] | None:
    """Return mean wrist-relative joints (m, camera axes) of the right and the left hand.

    A hand that never occurs gets the mirror image of the other.

    Args:
        examples: a split, by index; only labels are read. Each joint is averaged over the examples that annotate
            it together with its wrist.
        most: of a larger split, so many examples at equal distances are read.

    Returns:
        None where no example annotates a hand.
    """
    total, count = np.zeros((2, 21, 3)), np.zeros((2, 21))
    rows = equally_spaced(len(examples), most)
    for row in progress(rows, "mean pose", len(rows), delay_s=2.0):
        example = examples[int(row)]
        annotated = example["joints_annotated"].astype(bool)
        valid = annotated & annotated[:, WRIST:]
        total += np.where(valid[..., None], root_relative(example["joints_cam_m"].astype(np.float64)), 0.0)
        count += valid
    return _filled(total / np.maximum(count, 1)[..., None], count.max(axis=1) > 0)


def equally_spaced(size: int, most: int) -> Int[np.ndarray, " rows"]:
    """Return `most` rows at equal distances through `size` of them, or all."""
    return np.unique(np.linspace(0, size - 1, min(most, size)).astype(int))


def _filled(pose: Float[np.ndarray, "2 21 3"], occurs: Bool[np.ndarray, "2"]) -> Float[np.ndarray, "2 21 3"] | None:
    if not occurs.any():
        return None
    for hand, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
        if not occurs[hand]:
            pose[hand] = pose[other] * MIRROR
    return pose
