"""Whether the network knows which joints are hidden."""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.metrics.groups import EVERYTHING, HIDDEN, grouped
from occrobnet_jax.evaluation.metrics.measures import Measures
from occrobnet_jax.skeleton import VISIBILITY

AT_ONCE = 1_000_000  # positives that are ranked


def visibility_measures(records: Records) -> Measures:
    """Yield the accuracy at 0.5 over joints known to be visible or hidden inside the image, and the visible share.

    Nothing counts of a network without the visibility head.
    """
    is_visible, known = visible_joints(records)
    probability = records["predicted_visibility_probability"]
    yield from grouped("visibility_accuracy", ((probability > 0.5) == is_visible).astype(float), known, EVERYTHING)
    yield from grouped("visible_joint_share", is_visible.astype(float), known, EVERYTHING)


class VisibilityRanks:
    """The area under the ROC curve of all joints, which is no mean: it ranks each joint among all others.

    Four bytes of every joint that counts are kept.
    """

    def __init__(self) -> None:
        """Begin with no joint."""
        self._scores: dict[bool, list[Float[np.ndarray, " n"]]] = {True: [], False: []}

    def add(self, records: Records) -> None:
        """Add the joints of a chunk."""
        is_visible, known = visible_joints(records)
        probability = records["predicted_visibility_probability"]
        for visible, parts in self._scores.items():
            parts.append(probability[known & (is_visible == visible)])

    def metrics(self) -> dict[str, float]:
        """Return `visibility_auc`; nothing where all joints are of one kind."""
        visible, hidden = (np.concatenate(self._scores[kind]) for kind in (True, False))
        return {"visibility_auc": area_under_roc(visible, hidden)} if visible.size and hidden.size else {}


def area_under_roc(positives: Float[np.ndarray, " p"], negatives: Float[np.ndarray, " n"]) -> float:
    """Return the probability that a positive has a higher score than a negative, ties counting half (Mann-Whitney)."""
    ranked, above = np.sort(negatives), 0
    for start in range(0, len(positives), AT_ONCE):
        part = positives[start : start + AT_ONCE]
        above += sum(int(np.searchsorted(ranked, part, side).sum()) for side in ("left", "right"))
    return above / 2 / (len(positives) * len(negatives))


def visible_joints(records: Records) -> tuple[Bool[np.ndarray, "n 2 21"], Bool[np.ndarray, "n 2 21"]]:
    """Return which joints are visible, and of which it is known and predicted."""
    visibility = records["visibility"]
    is_visible = visibility == VISIBILITY.index("visible")
    is_known = is_visible | np.isin(visibility, HIDDEN)
    return is_visible, is_known & np.isfinite(records["predicted_visibility_probability"])
