import json
from pathlib import Path

import pytest

from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment, WandbConfig
from occrobnet_jax.runs.wandb_evaluation import EvaluationReport, kept_evaluations, read_evaluation
from occrobnet_jax.runs.wandb_run import run_id
from tests.faults.processes import wait_until
from tests.runs.test_wandb_run import as_dict, read_run


def evaluate(workdir: Path, split: str, step: int, folder: str) -> Path:
    """What eval.py leaves of a split's evaluation, and the checkpoint that it was of."""
    path = workdir / "eval" / split / folder
    path.mkdir(parents=True, exist_ok=True)
    metrics = {"mpjpe_mm": 30.0 + step, "num_examples": 3, "protocol": {"words": "", "switches": {"step": step}}}
    (path / "metrics.json").write_text(json.dumps(metrics))
    for name in ("card.json", "report.html", "predictions.npz"):
        (path / name).write_text(name)
    checkpoint = workdir / "checkpoints" / str(step)
    checkpoint.mkdir(parents=True, exist_ok=True)
    (checkpoint / "weights").write_text(str(step))
    return path


def plan(workdir: Path, mode: str) -> None:
    config = config_of(Experiment(total_steps=10, wandb=WandbConfig(mode=mode, project="hands")))
    (workdir / "config.json").write_text(json.dumps(config))


@pytest.mark.filterwarnings("ignore")  # what W&B does with its sockets is its own affair
def test_evaluations_are_lines_and_artifacts_of_the_runs_own_run(tmp_path):
    plan(tmp_path, "offline")
    report = EvaluationReport(tmp_path)
    for step in (5, 10):
        report.add(evaluate(tmp_path, "val[:3]", step, str(step)))
    report.finish()
    wait_until(lambda: any(record.HasField("exit") for record in read_run(tmp_path)), 60, "the end of wandb's file")
    found = read_run(tmp_path)
    assert {record.run.run_id for record in found if record.HasField("run")} == {run_id(tmp_path)}
    rows = [as_dict(record.history.item) for record in found if record.HasField("history")]
    name = "eval/val[:3]/mpjpe_mm"
    assert [(row["step"], row[name]) for row in rows] == [(5, 35.0), (10, 40.0)]
    requests = [record.request for record in found if record.HasField("request")]
    logged = [request.log_artifact.artifact for request in requests if request.HasField("log_artifact")]
    logged += [record.artifact for record in found if record.HasField("artifact")]
    run = run_id(tmp_path)
    assert [(artifact.name, artifact.type, sorted(artifact.aliases)) for artifact in logged] == [
        (f"{run}-eval-val-3", "evaluation", ["latest", "step-5"]),
        (f"{run}-checkpoint", "model", ["latest", "step-5"]),
        (f"{run}-eval-val-3", "evaluation", ["latest", "step-10"]),
        (f"{run}-checkpoint", "model", ["latest", "step-10"]),
    ]
    assert [[file.path for file in artifact.manifest.contents] for artifact in logged[:2]] == [
        ["card.json", "metrics.json", "report.html"],
        ["weights"],
    ]


def test_beside_a_training_that_is_online_evaluations_wait_for_its_end(tmp_path, monkeypatch, capsys):
    """Two that write into a run at the same time overwrite each other's lines."""
    opened = []
    monkeypatch.setattr("occrobnet_jax.runs.wandb_run.open_run", lambda *given, **how: opened.append(how))
    plan(tmp_path, "online")
    report = EvaluationReport(tmp_path)
    report.add(evaluate(tmp_path, "val", 5, "5"))
    report.finish()
    assert capsys.readouterr().out == f"when the training has ended: python -m occrobnet_jax.runs.sync {tmp_path}\n"
    assert opened == []
    (tmp_path / "summary.json").write_text(json.dumps({"step": 10}))
    report.finish()
    assert opened == [{"joins": True}]


@pytest.mark.parametrize("mode", ["disabled", ""])
def test_a_run_that_tells_nothing_tells_nothing_of_its_evaluations(tmp_path, mode, capsys):
    if mode:
        plan(tmp_path, mode)
    report = EvaluationReport(tmp_path)
    report.add(evaluate(tmp_path, "val", 5, ""))
    report.finish()
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "wandb_id.txt").exists()


def test_every_evaluation_of_a_workdir_is_found(tmp_path):
    folders = [
        evaluate(tmp_path, "test", 10, ""),
        evaluate(tmp_path, "val", 10, "10"),
        evaluate(tmp_path, "val", 5, "5"),
    ]
    assert [(found.split, found.step) for found in kept_evaluations(tmp_path)] == [
        ("test", 10),
        ("val", 5),
        ("val", 10),
    ]
    assert read_evaluation(tmp_path, folders[0]).row == {
        "step": 10,
        "eval/test/mpjpe_mm": 40.0,
        "eval/test/num_examples": 3,
    }
    (folders[0] / "metrics.json").write_text("[1]")
    with pytest.raises(ValueError, match="is not an evaluation of this project: it names no step"):
        kept_evaluations(tmp_path)
