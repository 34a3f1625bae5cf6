"""An evaluation as Weights & Biases shows it: its numbers by step, its files and its checkpoint as artifacts."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from occrobnet_jax.files.readers import read_json
from occrobnet_jax.runs.checkpoint import checkpoint_directory

FOLDER = "eval"
METRICS, REPORT = "metrics.json", "report.html"
FILES = (METRICS, "card.json", REPORT)
"""Not predictions.npz: a split's may be larger than the checkpoint, and score.py needs it here."""


class KeptEvaluation(NamedTuple):
    """An evaluation in a workdir's eval/SPLIT, or eval/SPLIT/STEP."""

    split: str
    step: int
    folder: Path
    metrics: dict[str, float]

    @property
    def row(self) -> dict[str, float]:
        """Its numbers as a line of the run's history."""
        return {"step": self.step} | {f"{FOLDER}/{self.split}/{name}": value for name, value in self.metrics.items()}


def read_evaluation(workdir: Path, folder: Path) -> KeptEvaluation:
    """Return what an evaluation's folder holds.

    Raises:
        ValueError: there is no metrics.json in it, or not one of ours.
    """
    content = read_json(folder / METRICS)
    try:
        step = int(content["protocol"]["switches"]["step"])
        numbers = {name: value for name, value in content.items() if isinstance(value, int | float)}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / METRICS} is not an evaluation of this project: it names no step") from error
    return KeptEvaluation(folder.relative_to(workdir / FOLDER).parts[0], step, folder, numbers)


def kept_evaluations(workdir: Path) -> list[KeptEvaluation]:
    """Return every evaluation in a workdir, by split and step.

    Raises:
        ValueError: as `read_evaluation`.
    """
    found = [read_evaluation(workdir, path.parent) for path in (workdir / FOLDER).rglob(METRICS)]
    return sorted(found, key=lambda evaluation: evaluation[:2])


def log_artifacts(run: Any, workdir: Path, evaluation: KeptEvaluation, *, checkpoint: bool) -> None:
    """Log the files of an evaluation, and its checkpoint where that is still there, as artifacts of wandb's run."""
    from wandb import Artifact

    alias = f"step-{evaluation.step}"
    files = Artifact(f"{run.id}-{FOLDER}-{_artifact_name(evaluation.split)}", "evaluation", metadata=evaluation.row)
    for path in (evaluation.folder / name for name in FILES):
        if path.is_file():
            files.add_file(str(path), skip_cache=True)
    run.log_artifact(files, aliases=["latest", alias])
    directory = checkpoint_directory(workdir, evaluation.step)
    if checkpoint and directory.is_dir():
        weights = Artifact(f"{run.id}-checkpoint", "model", metadata={"step": evaluation.step})
        weights.add_dir(str(directory), skip_cache=True)
        run.log_artifact(weights, aliases=["latest", alias])


def _artifact_name(split: str) -> str:
    """A split such as "val[:100]" with the characters that an artifact's name may have."""
    return re.sub(r"[^\w.-]+", "-", split).strip("-")
