"""Differences between two networks on the same examples: what both find hard falls out, and small ones can be told.

Both are drawn together, sequence by sequence. Of several trainings (seeds), each is paired with its partner, and pairs
are drawn as well, so that the interval knows of the noise between trainings.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from occrobnet_jax.evaluation.metrics.measures import Tally, drawn_sequences, has_value, interval, mean_of_means


class Difference(NamedTuple):
    """One number of a network minus the same of another."""

    value: float  # mean over the pairs
    low: float | None  # None where there is one sequence only
    high: float | None
    by_pair: tuple[float, ...]
    by_sequence: dict[str, float]  # mean over the pairs; of the sequences that have such values

    @property
    def in_words(self) -> str:
        """Whether it is more than chance, and in how many sequences it has its sign."""
        if self.low is None or self.high is None:
            return "one sequence: no interval"
        same = sum(value * self.value > 0 for value in self.by_sequence.values())
        verdict = "within the noise" if self.low <= 0 <= self.high else "beyond the noise"
        return f"{verdict}; of that sign in {same} of {len(self.by_sequence)} sequences"


def differences(pairs: Sequence[tuple[Tally, Tally]], seed: int = 0) -> dict[str, Difference]:
    """Return the second minus the first of each pair, for every number that all of them have.

    Args:
        pairs: of networks on the same examples; one for each seed.
        seed: of the bootstrap.

    Raises:
        ValueError: they are of other sequences.
    """
    tables = [tally.tables() for pair in pairs for tally in pair]
    sequences = tables[0][0]
    if any(keys != sequences for keys, _ in tables):
        raise ValueError("the runs are of other sequences, so that they can't be paired")
    names = [name for name in tables[0][1] if all(name in each and has_value(each[name]) for _, each in tables)]
    return {name: _difference(np.stack([each[name] for _, each in tables]), sequences, seed) for name in names}


def _difference(tables: Float[np.ndarray, "runs 2 sequences cells"], sequences: list, seed: int) -> Difference:
    """Return the difference that runs make of which each second one is the partner of the one before."""
    totals, counts = tables[:, 0], tables[:, 1]
    by_pair = _paired(mean_of_means(totals.sum(axis=1), counts.sum(axis=1)))
    drawn = [_paired(mean_of_means(draws @ totals, draws @ counts)) for draws in drawn_sequences(len(sequences), seed)]
    low, high = _interval_over_pairs(np.concatenate(drawn, axis=1), seed) if drawn else (None, None)
    of_each = zip(sequences, np.mean(_paired(mean_of_means(totals, counts)), axis=0), strict=True)
    by_sequence = {_text(name): float(value) for name, value in of_each if np.isfinite(value)}
    return Difference(float(by_pair.mean()), low, high, tuple(by_pair.tolist()), by_sequence)


def _paired(values: Float[np.ndarray, "runs *n"]) -> Float[np.ndarray, "pairs *n"]:
    return values[1::2] - values[::2]


def _interval_over_pairs(drawn: Float[np.ndarray, "pairs draws"], seed: int) -> tuple[float, float]:
    """Return the pairs are drawn too, with replacement."""
    count = len(drawn)
    shares = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=drawn.shape[1]) / count
    return interval((shares * drawn.T).sum(axis=1))


def _text(sequence: bytes | int) -> str:
    return sequence.decode(errors="replace") if isinstance(sequence, bytes) else str(sequence)
