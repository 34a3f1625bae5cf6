"""What every benchmark number is made of: per-example values, their mean, and how sure it is.

A measure is a table, a row an example and a column a cell (a joint, a vertex, or one for everything). Its mean is that
of each cell over its valid values, and then over the cells that have any: the way in which InterHand2.6M and HO-3D
average. With one cell it is the plain mean. PCK and its area fit in as well, since they are means of a function of one
error.

Examples of one video resemble each other, so confidence intervals draw sequences, not examples.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

DRAWS = 1000  # of the bootstrap
CONFIDENCE = 0.95
AUC_LIMIT_MM = 50.0
AUC_STEPS = 100


class Measure(NamedTuple):
    """Sums of what examples (rows) have of valid values in each cell (columns), and how many these are."""

    totals: Float[np.ndarray, "n cells"]
    counts: Float[np.ndarray, "n cells"]


class Score(NamedTuple):
    """A number, the interval that a bootstrap over sequences gives it, and how many values are behind it."""

    value: float
    low: float | None  # None where there is one sequence only, or their names are unknown
    high: float | None
    num_values: int


def per_joint(values: Float[np.ndarray, "n *joints"], valid: Bool[np.ndarray, "n *joints"]) -> Measure:
    """Each joint, vertex or whatever an example has several of is a cell."""
    rows = (len(values), -1)
    return Measure(np.where(valid, values, 0.0).reshape(rows).astype(np.float64), valid.reshape(rows).astype(float))


def pooled(values: Float[np.ndarray, "n *joints"], valid: Bool[np.ndarray, "n *joints"]) -> Measure:
    """One cell: the plain mean of all valid values."""
    cells = per_joint(values, valid)
    return Measure(cells.totals.sum(axis=1, keepdims=True), cells.counts.sum(axis=1, keepdims=True))


def score(measure: Measure, sequences: Int[np.ndarray, " n"] | None = None, seed: int = 0) -> Score | None:
    """Mean and interval of a measure; None where nothing is valid.

    Args:
        measure: what is averaged.
        sequences: number of each example's sequence; None if unknown.
        seed: of the bootstrap.
    """
    totals, counts = measure.totals.sum(axis=0), measure.counts.sum(axis=0)
    if not counts.any():
        return None
    low, high = (None, None) if sequences is None else _interval(measure, sequences, seed)
    return Score(float(_mean_of_means(totals, counts)), low, high, int(counts.sum()))


def _mean_of_means(totals: Float[np.ndarray, "*b cells"], counts: np.ndarray) -> Float[np.ndarray, "*b"]:
    """Mean over the cells that have a value; NaN where none has."""
    filled = counts > 0
    means = np.where(filled, totals / np.maximum(counts, 1), 0.0).sum(axis=-1)
    return np.where(filled.any(axis=-1), means / np.maximum(filled.sum(axis=-1), 1), np.nan)


def _interval(measure: Measure, sequences: Int[np.ndarray, " n"], seed: int) -> tuple[float, float] | tuple[None, None]:
    """Percentiles of the mean over sequences drawn with replacement, as many as there are."""
    order = np.argsort(sequences, kind="stable")
    starts = np.flatnonzero(np.diff(sequences[order], prepend=-1))
    if len(starts) < 2:
        return None, None
    totals, counts = (np.add.reduceat(part[order], starts, axis=0) for part in measure)
    drawn = np.random.default_rng(seed).multinomial(len(starts), np.full(len(starts), 1 / len(starts)), size=DRAWS)
    means = _mean_of_means(drawn @ totals, drawn @ counts)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(means, [tail, 100 - tail])
    return float(low), float(high)


def within(errors_mm: Float[np.ndarray, "*n"], threshold_mm: float | int) -> Float[np.ndarray, "*n"]:
    """PCK's question of each error: 1 where it is at most the threshold."""
    return (errors_mm <= threshold_mm).astype(np.float64)


def auc(
    errors_mm: Float[np.ndarray, "*n"], limit_mm: float = AUC_LIMIT_MM, steps: int = AUC_STEPS
) -> Float[np.ndarray, "*n"]:
    """Each error's share in the area under the PCK curve, by the trapezoid over equidistant thresholds from 0.

    The mean of it is the area that HO-3D's script computes from the whole curve, since both are sums.
    """
    step = limit_mm / (steps - 1)
    reached = steps - np.searchsorted(np.linspace(0.0, limit_mm, steps), errors_mm, side="left")  # thresholds >= error
    ends = 0.5 * (reached > 0) + 0.5 * (errors_mm <= 0)  # the first and the last threshold have half the weight
    return step * (reached - ends) / limit_mm


def sequence_numbers(names: np.ndarray | None) -> Int[np.ndarray, " n"] | None:
    """Numbers for the names of sequences; None for None."""
    return None if names is None else np.unique(names, return_inverse=True)[1].astype(int)
