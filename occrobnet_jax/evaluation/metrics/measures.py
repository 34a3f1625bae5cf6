"""What every number of an evaluation is made of: per-example values, their mean, and how sure it is.

A measure is a table, a row an example and a column a cell (a joint, a vertex, or one for everything). Its mean is that
of each cell over its valid values, and then over the cells that have any: the way in which InterHand2.6M and HO-3D
average. With one cell it is the plain mean. PCK and its area fit in as well, since they are means of a function of one
error.

Means are sums, so a split is read in chunks: a `Tally` keeps the sums of each sequence and nothing of single examples.
Examples of one video resemble each other, so confidence intervals draw sequences, not examples.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

DRAWS = 1000  # of the bootstrap
DRAWS_AT_ONCE = 50  # of all sequences, in memory
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


Measures = Iterable[tuple[str, Measure]]
"""Measures of some examples, by the names of numbers."""


def per_joint(values: Float[np.ndarray, "n *joints"], valid: Bool[np.ndarray, "n *joints"]) -> Measure:
    """Return a measure in which each joint, vertex or whatever an example has several of is a cell."""
    rows = (len(values), -1)
    return Measure(np.where(valid, values, 0.0).reshape(rows).astype(np.float64), valid.reshape(rows).astype(float))


def pooled(values: Float[np.ndarray, "n *joints"], valid: Bool[np.ndarray, "n *joints"]) -> Measure:
    """Return a measure of one cell: the plain mean of all valid values."""
    cells = per_joint(values, valid)
    return Measure(cells.totals.sum(axis=1, keepdims=True), cells.counts.sum(axis=1, keepdims=True))


class Tally:
    """The sums of measures over chunks of examples, by sequence: all that means and intervals need.

    Its size is that of the sequences times the cells, whatever the number of examples.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._places: dict[bytes | int, int] = {}  # of the sequences, in the tables
        self._tables: dict[str, np.ndarray] = {}

    def add(self, measures: Measures, sequences: Shaped[np.ndarray, " n"] | None) -> None:
        """Add the measures of a chunk.

        Args:
            measures: of the same examples.
            sequences: name or number of each example's sequence; None if unknown.
        """
        order = None if sequences is None else np.argsort(sequences, kind="stable")
        names, starts = ([0], [0]) if sequences is None else np.unique(sequences[order], return_index=True)
        keys = names if isinstance(names, list) else names.tolist()
        rows = [self._places.setdefault(key, len(self._places)) for key in keys]
        for name, measure in measures:
            sums = [np.add.reduceat(part if order is None else part[order], starts, axis=0) for part in measure]
            self._table(name, measure.totals.shape[1])[:, rows] += sums

    def scores(self, seed: int | None = 0) -> dict[str, Score]:
        """Return mean and interval of each measure that has a valid value.

        Args:
            seed: of the bootstrap; None leaves the intervals out.
        """
        sequences, tables = self.tables()
        filled = {name: table for name, table in tables.items() if has_value(table)}
        drawn: dict[str, list[np.ndarray]] = {name: [] for name in filled}
        for draws in drawn_sequences(len(sequences), seed):
            for name, (totals, counts) in filled.items():
                drawn[name].append(mean_of_means(draws @ totals, draws @ counts))
        return {name: _score(table, drawn[name]) for name, table in filled.items()}

    def tables(self) -> tuple[list[bytes | int], dict[str, Float[np.ndarray, "2 sequences cells"]]]:
        """Return the sequences, in order of their names, and each measure's totals and counts by them."""
        keys = sorted(self._places)  # whatever order the examples came in
        order = [self._places[key] for key in keys]
        return keys, {name: self._table(name)[:, order] for name in self._tables}

    def _table(self, name: str, cells: int = 0) -> Float[np.ndarray, "2 sequences cells"]:
        """Return the table of a measure, with room for every sequence so far."""
        table = self._tables.get(name, np.zeros((2, 0, cells)))
        if table.shape[1] < len(self._places):
            room = 2 * len(self._places) - table.shape[1]
            table = np.concatenate([table, np.zeros((2, room, table.shape[2]))], axis=1)
            self._tables[name] = table
        return table


def has_value(table: Float[np.ndarray, "2 sequences cells"]) -> bool:
    """Return whether a measure has a mean: counts that are differences, as those of a fraction, may come to nothing."""
    return bool((table[1].sum(axis=0) > 0).any())


def score(measure: Measure, sequences: Shaped[np.ndarray, " n"] | None = None, seed: int = 0) -> Score | None:
    """Return mean and interval of one measure of all examples; None where nothing is valid."""
    tally = Tally()
    tally.add([("", measure)], sequences)
    return tally.scores(seed).get("")


def drawn_sequences(sequences: int, seed: int | None) -> Iterator[Float[np.ndarray, "draws sequences"]]:
    """Yield how often each sequence is drawn, with replacement, as many as there are; nothing of fewer than two."""
    if seed is None or sequences < 2:
        return
    rng = np.random.default_rng(seed)
    for _ in range(0, DRAWS, DRAWS_AT_ONCE):
        yield rng.multinomial(sequences, np.full(sequences, 1 / sequences), size=DRAWS_AT_ONCE).astype(np.float64)


def _score(table: Float[np.ndarray, "2 sequences cells"], drawn: list[np.ndarray]) -> Score:
    totals, counts = table.sum(axis=1)
    low, high = interval(np.concatenate(drawn)) if drawn else (None, None)
    return Score(float(mean_of_means(totals, counts)), low, high, int(counts.sum()))


def interval(means: Float[np.ndarray, " draws"]) -> tuple[float, float]:
    """Return the percentiles between which the share `CONFIDENCE` of the drawn means lies."""
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.nanpercentile(means, [tail, 100 - tail])
    return float(low), float(high)


def mean_of_means(totals: Float[np.ndarray, "*b cells"], counts: np.ndarray) -> Float[np.ndarray, "*b"]:
    """Return the mean over the cells that have a value; NaN where none has."""
    filled = counts > 0
    means = np.where(filled, totals / np.maximum(counts, 1), 0.0).sum(axis=-1)
    return np.where(filled.any(axis=-1), means / np.maximum(filled.sum(axis=-1), 1), np.nan)


def within(errors_mm: Float[np.ndarray, "*n"], threshold_mm: float | int) -> Float[np.ndarray, "*n"]:
    """Return PCK's answer for each error: 1 where it is at most the threshold."""
    return (errors_mm <= threshold_mm).astype(np.float64)


def auc(
    errors_mm: Float[np.ndarray, "*n"], limit_mm: float = AUC_LIMIT_MM, steps: int = AUC_STEPS
) -> Float[np.ndarray, "*n"]:
    """Return each error's share in the area under the PCK curve, by the trapezoid over equidistant thresholds from 0.

    The mean of it is the area that HO-3D's script computes from the whole curve, since both are sums.
    """
    step = limit_mm / (steps - 1)
    reached = steps - np.searchsorted(np.linspace(0.0, limit_mm, steps), errors_mm, side="left")  # thresholds >= error
    ends = 0.5 * (reached > 0) + 0.5 * (errors_mm <= 0)  # the first and the last threshold have half the weight
    return step * (reached - ends) / limit_mm
