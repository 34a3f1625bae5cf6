"""The sweep with a stand-in for the network, and once through eval.py with the tiny one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import eval as eval_script
from input_pipeline.corruptions import Corruption
from input_pipeline.pipeline import eval_batches
from occrobnet_jax.evaluation.corruptions import PAGE, TABLE, sweep
from occrobnet_jax.evaluation.evaluate import gather
from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.metrics import Metrics, compute_metrics
from occrobnet_jax.parallel.mesh import MeshConfig, make_mesh
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.types import Batch, Pose
from tests.support.fake_datasets import write_fake_dataset
from tests.support.fake_records import perfect_pose
from tests.support.fake_runs import tiny_experiment, write_run
from tests.support.tiny import INPUT_SIZE_PX

OF = {"step": 5, "checkpoint": "abc", "dataset": "synthetic_hands", "split": "val"}
SOME = (Corruption("bars", 0.4), Corruption("bars", 0.8), Corruption("focal", 1.5), Corruption("light", 2.5))


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return tiny_experiment(write_fake_dataset(tmp_path_factory.mktemp("data"), 6, 64))


def blinded_by_covers(batch: Batch) -> Pose:
    """A network that knows all but what is before hidden joints, where it is 3 cm off, and trusts its camera."""
    fields = perfect_pose({name: np.asarray(value) for name, value in vars(batch).items()})
    hidden = np.asarray(batch.visibility == 4)
    fields["joints_rel_m"] = fields["joints_rel_m"] + 0.03 * hidden[..., None] * np.array([1.0, 0, 0])
    focal = np.asarray(batch.intrinsics)[:, 0, 0] / 64
    fields["joints_cam_m"] = fields["joints_cam_m"] + 0.01 * focal[:, None, None, None]
    return Pose(**{name: jnp.asarray(value) for name, value in fields.items()})


def records_under(experiment: Experiment, corruption: Corruption | None) -> Iterator[Records]:
    """What that network says of the split."""
    batches = eval_batches(experiment.data, "val", heatmap_stride=4, global_batch_size=8, corruption=corruption)
    return gather(blinded_by_covers, batches, 1, make_mesh(MeshConfig()), 42)


def scorer(experiment: Experiment, asked: list[Corruption | None]):
    def score(corruption: Corruption | None) -> Metrics:
        asked.append(corruption)
        return compute_metrics(records_under(experiment, corruption), Setting(INPUT_SIZE_PX), seed=None)

    return score


def test_each_corruption_costs_what_the_network_loses_by_it(experiment: Experiment, tmp_path: Path) -> None:
    rows = {row.name: row.metrics for row in sweep(scorer(experiment, []), tmp_path, OF, SOME)}
    assert list(rows) == ["clean", "bars_0.4", "bars_0.8", "focal_1.5", "light_2.5"]
    assert rows["clean"]["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert 5 < rows["bars_0.4"]["mpjpe_mm"] < rows["bars_0.8"]["mpjpe_mm"] < 30
    assert rows["bars_0.8"]["mpjpe_mm/object"] == pytest.approx(30, abs=0.1)  # that is: hidden by an object
    assert rows["focal_1.5"]["absolute_error_mm"] == pytest.approx(1.5 * rows["clean"]["absolute_error_mm"], rel=1e-3)
    for name in ("focal_1.5", "light_2.5"):
        assert rows[name]["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    table = json.loads((tmp_path / TABLE).read_text())
    assert table["of"] == OF
    assert table["metrics"]["bars_0.4"]["mpjpe_mm"] == rows["bars_0.4"]["mpjpe_mm"]
    page = (tmp_path / PAGE).read_text()
    assert "times the true focal length" in page
    assert f"{rows['bars_0.8']['mpjpe_mm']:.1f}" in page
    assert all(f"mpjpe_mm, {kind}" in page for kind in ("bars", "focal", "light"))


def test_a_sweep_goes_on_where_it_was_stopped_and_begins_anew_with_another_checkpoint(
    experiment: Experiment, tmp_path: Path
) -> None:
    asked: list[Corruption | None] = []
    sweep(scorer(experiment, asked), tmp_path, OF, SOME[:1])
    first = json.loads((tmp_path / TABLE).read_text())
    sweep(scorer(experiment, asked), tmp_path, OF, SOME[:2])
    assert asked == [None, *SOME[:2]]
    assert json.loads((tmp_path / TABLE).read_text())["metrics"].items() > first["metrics"].items()
    sweep(scorer(experiment, asked), tmp_path, OF | {"checkpoint": "def"}, SOME[:1])
    assert asked == [None, *SOME[:2], None, SOME[0]]
    (tmp_path / "clean.json").write_text("[5]")  # nothing that a sweep wrote
    sweep(scorer(experiment, asked), tmp_path, OF | {"checkpoint": "def"}, SOME[:1])
    assert asked[5:] == [None]


def test_eval_sweeps_the_checkpoint_that_is_asked_for(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All of eval.py but the network, whose records these are."""

    def make_predict(*_: Any) -> Any:
        return lambda variables, corruption: records_under(experiment, corruption)

    stand_ins = {
        "make_predict": make_predict,
        "restore_variables": lambda model, size, workdir, step, mesh: ({}, 7 if step is None else step),
        "checkpoint_sha256": lambda workdir, step: f"of {step}",
        "sweep": lambda score, folder, of: sweep(score, folder, of, SOME[1:3]),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(eval_script, name, stand_in)
    eval_script.evaluate_corrupted(experiment, tmp_path, "val", None)
    table = json.loads((tmp_path / "eval" / "val" / "corruptions" / TABLE).read_text())
    assert [table["of"][name] for name in ("step", "checkpoint", "split")] == [7, "of 7", "val"]
    assert table["metrics"]["clean"]["mpjpe_mm"] < 1e-3 < 5 < table["metrics"]["bars_0.8"]["mpjpe_mm"]
    assert "3/3  focal_1.5" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.usefixtures("shallow_resnet18")
def test_the_network_sees_the_corruption_and_is_not_moved_by_a_focal_length(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, experiment, step=5)
    monkeypatch.setattr(eval_script, "sweep", lambda score, folder, of: sweep(score, folder, of, SOME[1:3]))
    eval_script.evaluate_corrupted(experiment, tmp_path, "val", None)
    folder = tmp_path / "eval" / "val" / "corruptions"
    table = json.loads((folder / TABLE).read_text())
    assert table["of"]["step"] == 5
    assert table["of"]["split"] == "val"
    clean, bars, focal = (table["metrics"][name] for name in ("clean", "bars_0.8", "focal_1.5"))
    assert clean["mpjpe_mm"] != bars["mpjpe_mm"]
    assert clean["mpjpe_mm"] == focal["mpjpe_mm"]
    assert "3/3  focal_1.5" in capsys.readouterr().out
