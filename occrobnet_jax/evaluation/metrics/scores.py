"""The numbers of predictions under conventions, each with its convention's name."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import methodcaller
from typing import Any

import numpy as np

from occrobnet_jax.evaluation.formats.records import Records, Setting, select
from occrobnet_jax.evaluation.metrics.measures import Score, Tally
from occrobnet_jax.evaluation.metrics.protocols.conventions import Convention, Extras
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.skeleton import HAND_NAMES, INTERHAND

SEED = 0  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class Result:
    """All numbers of a convention."""

    protocol: str
    words: str
    notes: tuple[str, ...]
    num_examples: int
    numbers: Mapping[str, Score]
    tally: Tally  # of which they are made, for differences


def score_all(
    chunks: Iterable[Records],
    setting: Setting,
    conventions: Sequence[Convention],
    extras: Extras,
    seed: int = SEED,
) -> tuple[list[Result], dict[str, str]]:
    """Return results of the conventions that apply, and the reason of each other one, by its name.

    Args:
        chunks: the records in parts of any size, which are read once and not kept.
        setting: what is the same for all of them.
        conventions: to score under, side by side.
        extras: what they may need.
        seed: of the bootstrap.

    Raises:
        ValueError: no convention applies, or the predictions aren't finite.
    """
    running = {each.name: _Scoring(each, setting, extras) for each in conventions}
    refused: dict[str, str] = {}

    def each_that_applies(call: Callable[[_Scoring], Any]) -> list[Any]:
        returned = []
        for name, scoring in list(running.items()):
            try:
                returned.append(call(scoring))
            except ValueError as error:
                refused[name] = str(error)
                del running[name]
        return returned

    for records in chunks:
        check_finite(records)
        each_that_applies(methodcaller("add", records))
    results: list[Result] = each_that_applies(methodcaller("result", seed))
    if not results:
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in refused.items()))
    return results, refused


class _Scoring:
    """One convention on its way through the chunks."""

    def __init__(self, convention: Convention, setting: Setting, extras: Extras) -> None:
        self._convention, self._setting, self._extras = convention, setting, extras
        self._tally, self._num_examples, self._num_counting = Tally(), 0, 0
        self._notes: list[list[str]] = []  # of each chunk

    def add(self, records: Records) -> None:
        """Add a chunk.

        Raises:
            ValueError: the records lack something that the convention needs.
        """
        applied = self._convention.resolve(self._setting)
        rows = applied.rows(records, self._extras)
        self._num_examples += len(rows)
        if not rows.any():
            return
        counting = records if rows.all() else select(records, rows)
        self._num_counting += int(rows.sum())
        self._notes.append(applied.notes(counting, self._setting))
        self._tally.add(applied.measures(counting, self._setting, self._extras), counting.get("sequence"))

    def result(self, seed: int) -> Result:
        """Return every number that has a valid value.

        Raises:
            ValueError: nothing counts.
        """
        applied, count = self._convention.resolve(self._setting), self._num_counting
        if not count:
            why = f": {applied.if_none}" if applied.if_none else ""
            raise ValueError(f"none of the {self._num_examples:,} predictions counts under {applied.name}{why}")
        notes = [note for note in self._notes[0] if all(note in others for others in self._notes)]
        if applied.num_expected not in (None, count):
            expected = f"{applied.num_expected:,}"
            notes.append(f"{count:,} frames where the evaluation split has {expected}: not the benchmark")
        notes += [f"partial data: {each}" for each in self._setting.switches.get("partial", ())]
        return Result(applied.name, applied.words, tuple(notes), count, self._tally.scores(seed), self._tally)


def check_finite(records: Records) -> None:
    """Refuse predictions of joints that are no numbers.

    Raises:
        ValueError: some aren't.
    """
    joints = records["predicted_joints_rel_m"]
    bad: np.ndarray = np.asarray(~np.isfinite(joints).reshape(len(joints), -1).all(axis=1))
    if bad.any():
        first = records["example_index"][bad.argmax()]
        raise ValueError(f"{int(bad.sum())} of {len(bad)} predictions aren't finite, the first in row {first}")


def as_lines(result: Result, with_joints: bool) -> list[str]:
    """Return numbers with their intervals, each behind the name of its convention; those of single joints
    on request.
    """
    shown = {name: each for name, each in result.numbers.items() if with_joints or not is_of_a_joint(name)}
    width = max((len(name) for name in shown), default=0)
    return [f"{result.protocol}  {name:{width}s}  {_figure(each)}" for name, each in shown.items()]


def is_of_a_joint(name: str) -> bool:
    """Return whether the number of that name is a single joint's: metric/alignment/[hand_]joint."""
    parts = name.split("/")  # h2o3d's mpjpe_mm/right_wrist is aligned at that wrist, and of all joints
    return len(parts) > 2 and parts[-1] in _JOINT_NAMES


_JOINT_NAMES = frozenset(f"{hand}{joint}" for joint in INTERHAND for hand in ("", *(f"{name}_" for name in HAND_NAMES)))


def write_scores(
    path: AnyPath, results: Sequence[Result], refused: Mapping[str, str], about: Mapping[str, Any]
) -> None:
    """Keep the results as JSON."""
    content = {**about, "scores": {each.protocol: as_json(each) for each in results}, "refused": dict(refused)}
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def as_json(result: Result) -> dict[str, Any]:
    """Return a result as it is kept."""
    return {
        "words": result.words,
        "notes": list(result.notes),
        "num_examples": result.num_examples,
        "numbers": {name: each._asdict() for name, each in result.numbers.items()},
    }


def _figure(score: Score) -> str:
    interval = f"[{score.low:.3f}, {score.high:.3f}]" if score.low is not None and score.high is not None else ""
    return f"{score.value:10.3f}  {interval:22s}n={score.num_values:,}"
