"""An evaluation as Weights & Biases shows it: its numbers by step, its files and its checkpoint as artifacts."""

import functools
import re
from typing import Any, NamedTuple

from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.runs.checkpoint_folders import checkpoint_directory
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.experiment import WandbConfig
from occrobnet_jax.runs.summary import EVALUATIONS as FOLDER
from occrobnet_jax.runs.summary import is_finished, kept_config
from occrobnet_jax.runs.wandb_run import WandbRun

UPLOAD_LIMIT_S = 1800.0  # for checkpoints; nobody waits but who has evaluated them
METRICS, REPORT = "metrics.json", "report.html"
FILES = (METRICS, "card.json", REPORT)
"""Not predictions.npz: a split's may be larger than the checkpoint, and score.py needs it here."""


class KeptEvaluation(NamedTuple):
    """An evaluation in a workdir's eval/SPLIT, or eval/SPLIT/STEP."""

    split: str
    step: int
    folder: AnyPath
    metrics: dict[str, float | int]

    @property
    def row(self) -> dict[str, float | int]:
        """Its numbers as a line of the run's history."""
        return {"step": self.step} | {f"{FOLDER}/{self.split}/{name}": value for name, value in self.metrics.items()}


def read_evaluation(workdir: AnyPath, folder: AnyPath) -> KeptEvaluation:
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


def kept_evaluations(workdir: AnyPath) -> list[KeptEvaluation]:
    """Return every evaluation in a workdir, by split and step.

    Raises:
        ValueError: as `read_evaluation`.
    """
    found = [read_evaluation(workdir, path.parent) for path in (workdir / FOLDER).rglob(METRICS)]
    return sorted(found, key=lambda evaluation: evaluation[:2])


def log_artifacts(run: Any, workdir: AnyPath, evaluation: KeptEvaluation, *, checkpoint: bool) -> None:
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


class EvaluationReport:
    """Tells Weights & Biases of evaluations, in the run that their workdir's config.json says.

    Two processes may write into a run at the same time where its mode is "shared" only. An offline part is a file of
    its own, and goes on after the training's when it is uploaded. Otherwise the evaluations wait until the training is
    finished.
    """

    def __init__(self, workdir: AnyPath):
        """Take a run, begun or not; one that was not trained here, such as an imported one, tells nothing."""
        self._workdir = workdir
        self._waiting: list[KeptEvaluation] = []
        self._run: WandbRun | None = None

    def add(self, folder: AnyPath) -> None:
        """Tell of the evaluation in a folder, as soon as that may be."""
        config = self._config()
        if config.mode == "disabled":
            return
        self._waiting.append(read_evaluation(self._workdir, folder))
        if config.mode != "online" or is_finished(self._workdir):
            self._send(config)

    def finish(self) -> None:
        """Send what has waited; where that may not be yet, say how it is sent later."""
        if self._waiting and is_finished(self._workdir):
            self._send(self._config())
        if self._waiting:
            print(f"when the training has ended: python -m occrobnet_jax.runs.sync {self._workdir}", flush=True)
        if self._run:
            self._run.finish(limit_s=UPLOAD_LIMIT_S)

    def _config(self) -> WandbConfig:
        return experiment_from(kept_config(self._workdir)).wandb

    def _send(self, config: WandbConfig) -> None:
        self._run = self._run or WandbRun(config, self._workdir, kept_config(self._workdir), joins=True)
        for evaluation in self._waiting:
            log = functools.partial(log_artifacts, workdir=self._workdir, evaluation=evaluation)
            self._run.log(evaluation.row)
            self._run.apply(functools.partial(log, checkpoint=config.checkpoints))
        self._waiting = []


def _artifact_name(split: str) -> str:
    """Return a split such as "val[:100]" with the characters that an artifact's name may have."""
    return re.sub(r"[^\w.-]+", "-", split).strip("-")
