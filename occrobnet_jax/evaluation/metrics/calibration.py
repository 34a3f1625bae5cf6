"""Whether probabilities mean what they say, and whether what is said with confidence is right more often.

ECE is the expected calibration error over 15 equally wide bins (Guo et al., ICML 2017): the mean distance between what
a bin says and how often it is right. The risk-coverage curve (El-Yaniv and Wiener, JMLR 2010) has the share of errors
among the most confident part; the area under it is their mean over all parts.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.metrics.joint_errors import within_box_share
from occrobnet_jax.evaluation.metrics.visibility import visible_joints

RIGHT_WITHIN = 0.2  # a joint is right where its 2D error is at most this share of its hand's box
BINS, STEPS = 15, 100  # bins of the ECE, each cut into so many for the risk-coverage curve


class Answers(NamedTuple):
    """What was said of some things, and whether it was so."""

    probability: Float[np.ndarray, " n"]
    is_so: Bool[np.ndarray, " n"]


def answers(records: Records) -> dict[str, Answers]:
    """Return the answers behind each probability of a pose that the records have labels for, by its name.

    `joint_confidence`: the joint lies within 0.2 of its hand's box. `hand_probability`: the hand is there.
    `visibility_probability`: the joint is visible, not hidden.
    """
    right, counts = within_box_share(records, RIGHT_WITHIN)
    visible, known = visible_joints(records)
    hand_known = np.repeat(records["hand_present_known"][:, None], records["hand_present"].shape[1], axis=1)
    labelled = {
        "joint_confidence": (right > 0, counts),
        "hand_probability": (records["hand_present"], hand_known),
        "visibility_probability": (visible, known),
    }
    said = {name: records.get(f"predicted_{name}") for name in labelled}
    return {
        name: Answers(probability[mask].astype(np.float64), is_so[mask])
        for name, (is_so, counts) in labelled.items()
        if (probability := said[name]) is not None and (mask := counts & np.isfinite(probability)).any()
    }


class Reliability:
    """Sums over narrow bins of probability, from which ECE and curves are read; nothing of single answers is kept."""

    def __init__(self) -> None:
        """Begin with no answer."""
        self._sums = np.zeros((3, BINS * STEPS))  # number, what was said, what was so

    def add(self, given: Answers) -> None:
        """Count some answers."""
        bins = np.minimum((given.probability * BINS * STEPS).astype(int), BINS * STEPS - 1)
        for row, weights in enumerate((np.ones_like(given.probability), given.probability, given.is_so)):
            self._sums[row] += np.bincount(bins, weights, minlength=BINS * STEPS)

    def points(self) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
        """Return what is said, how often it is so, and the share of all answers, of each bin that has any."""
        number, said, so = self._sums.reshape(3, BINS, STEPS).sum(2)
        some = number > 0
        return said[some] / number[some], so[some] / number[some], number[some] / number.sum()

    def ece(self) -> float:
        """Return the expected calibration error."""
        said, so, share = self.points()
        return float((share * np.abs(said - so)).sum())

    def risk_coverage(self) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]]:
        """Return the share of answers that is kept, the most confident first, and the share of errors among them."""
        number, _, so = self._sums[:, ::-1].cumsum(axis=1)
        some = number > 0
        return number[some] / number[-1], 1 - so[some] / number[some]

    def area(self) -> float:
        """Return the area under the risk-coverage curve."""
        coverage, risk = self.risk_coverage()
        return float((np.diff(coverage, prepend=0.0) * risk).sum())


class Reliabilities:
    """The reliability of each probability that the records have labels for."""

    def __init__(self) -> None:
        """Begin with no answer."""
        self.by_name: dict[str, Reliability] = {}

    def add(self, records: Records) -> None:
        """Add the answers of a chunk."""
        for name, given in answers(records).items():
            self.by_name.setdefault(name, Reliability()).add(given)

    def metrics(self) -> dict[str, float]:
        """Return `ece/NAME` of each, and `risk_coverage_area/joint_confidence`."""
        metrics = {f"ece/{name}": reliability.ece() for name, reliability in self.by_name.items()}
        if "joint_confidence" in self.by_name:
            metrics["risk_coverage_area/joint_confidence"] = self.by_name["joint_confidence"].area()
        return metrics
