"""The numbers of predictions under conventions, each with its convention's name."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.measures import Score, score, sequence_numbers
from occrobnet_jax.evaluation.metrics.protocols.conventions import Convention, Extras, rows_of
from occrobnet_jax.files.atomic import write_atomically
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


def score_all(
    records: Records, setting: Setting, conventions: Sequence[Convention], extras: Extras, seed: int = SEED
) -> tuple[list[Result], dict[str, str]]:
    """Results of the conventions that apply, and the reason of each other one, by its name.

    Raises:
        ValueError: no convention applies, or the predictions aren't finite.
    """
    check_finite(records)
    results, refused = [], {}
    for convention in conventions:
        try:
            results.append(result_of(records, setting, convention, extras, seed))
        except ValueError as error:
            refused[convention.name] = str(error)
    if not results:
        raise ValueError("; ".join(f"{name}: {reason}" for name, reason in refused.items()))
    return results, refused


def result_of(records: Records, setting: Setting, convention: Convention, extras: Extras, seed: int = SEED) -> Result:
    """Every number of a convention that has a valid value.

    Raises:
        ValueError: the records lack something that it needs, or nothing counts.
    """
    applied = convention.resolve(setting)
    counting = rows_of(applied, records, extras)
    sequences = sequence_numbers(counting.get("sequence"))
    scored = {name: score(measure, sequences, seed) for name, measure in applied.measures(counting, setting, extras)}
    numbers = {name: each for name, each in scored.items() if each is not None}
    notes = (
        *applied.notes(counting, setting),
        *(f"partial data: {each}" for each in setting.switches.get("partial", ())),
    )
    return Result(applied.name, applied.words, notes, len(counting["hand_present"]), numbers)


def check_finite(records: Records) -> None:
    """Predictions of joints must be numbers.

    Raises:
        ValueError: some aren't.
    """
    joints = records["predicted_joints_rel_m"]
    bad: np.ndarray = np.asarray(~np.isfinite(joints).reshape(len(joints), -1).all(axis=1))
    if bad.any():
        raise ValueError(f"{int(bad.sum())} of {len(bad)} predictions aren't finite, the first in row {bad.argmax()}")


def as_lines(result: Result, with_joints: bool) -> list[str]:
    """Numbers with their intervals, each behind the name of its convention; those of single joints on request."""
    shown = {name: each for name, each in result.numbers.items() if with_joints or not is_of_a_joint(name)}
    width = max((len(name) for name in shown), default=0)
    return [f"{result.protocol}  {name:{width}s}  {_figure(each)}" for name, each in shown.items()]


def is_of_a_joint(name: str) -> bool:
    """Whether the number of that name is a single joint's: metric/alignment/[hand_]joint."""
    parts = name.split("/")  # h2o3d's mpjpe_mm/right_wrist is aligned at that wrist, and of all joints
    return len(parts) > 2 and parts[-1] in _JOINT_NAMES


_JOINT_NAMES = frozenset(f"{hand}{joint}" for joint in INTERHAND for hand in ("", *(f"{name}_" for name in HAND_NAMES)))


def write_scores(path: Path, results: Sequence[Result], refused: Mapping[str, str], about: Mapping[str, Any]) -> None:
    """Keeps the results as JSON."""
    content = {**about, "scores": {each.protocol: as_json(each) for each in results}, "refused": dict(refused)}
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def as_json(result: Result) -> dict[str, Any]:
    """A result as it is kept."""
    return {
        "words": result.words,
        "notes": list(result.notes),
        "num_examples": result.num_examples,
        "numbers": {name: each._asdict() for name, each in result.numbers.items()},
    }


def _figure(score: Score) -> str:
    interval = f"[{score.low:.3f}, {score.high:.3f}]" if score.low is not None and score.high is not None else ""
    return f"{score.value:10.3f}  {interval:22s}n={score.num_values:,}"
