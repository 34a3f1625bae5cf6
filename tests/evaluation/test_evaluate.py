import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import eval as eval_script
from input_pipeline.manifest import dataset_manifest
from input_pipeline.pipeline import eval_batches, open_split, split_size
from occrobnet_jax.evaluation.card import checked_parts, contradictions
from occrobnet_jax.evaluation.evaluate import Interrupted, gather
from occrobnet_jax.evaluation.formats import records as records_of
from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.records import Setting
from occrobnet_jax.evaluation.metrics.mean_pose import mean_pose
from occrobnet_jax.evaluation.metrics.metrics import compute_metrics, example_errors_mm
from occrobnet_jax.evaluation.metrics.protocols.catalogue import find
from occrobnet_jax.evaluation.metrics.protocols.conventions import Extras
from occrobnet_jax.evaluation.pictures import overlays, typical_and_worst
from occrobnet_jax.evaluation.report import CARDS, _cards
from occrobnet_jax.parallel import hosts
from occrobnet_jax.parallel.mesh import MeshConfig, make_mesh
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.history import read_history
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.restore import restore_variables
from occrobnet_jax.skeleton import LEFT, RIGHT
from occrobnet_jax.types import Batch, Pose
from tests.support.fake_datasets import fake_example, write_fake_dataset
from tests.support.fake_records import perfect_pose, perfect_records
from tests.support.fake_runs import tiny_experiment, write_run
from tests.support.scored import result_of
from tests.support.tiny import INPUT_SIZE_PX

pytestmark = pytest.mark.usefixtures("shallow_resnet18")

MESH = make_mesh(MeshConfig())


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return tiny_experiment(write_fake_dataset(tmp_path_factory.mktemp("data"), 12, 64))


@pytest.fixture(scope="module")
def workdir(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose checkpoint of step 5 eval.py has evaluated on the first 3 examples."""
    workdir = tmp_path_factory.mktemp("run")
    write_run(workdir, experiment, step=5)
    history = [{"step": step, "loss": 1 / step, "val/mpjpe_mm": 20.0, "images_per_s": None} for step in (1, 2, 3)]
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    eval_script.evaluate(experiment, workdir, "val[:3]", None)
    return workdir


def know_everything(batch: Batch) -> Pose:
    fields = perfect_pose({name: np.asarray(value) for name, value in vars(batch).items()})
    return Pose(**{name: jnp.asarray(value) for name, value in fields.items()})


def batches_of(experiment: Experiment, size: int) -> Iterator[dict[str, np.ndarray]]:
    return eval_batches(experiment.data, "val", heatmap_stride=4, global_batch_size=size)


def test_every_real_example_is_scored_once_in_order(experiment: Experiment) -> None:
    """5 examples in batches of 8 leave 3 rows of padding; labels, predictions and keys belong to the same example."""
    split = open_split(experiment.data, "val")
    assert len(split) % 8 != 0
    (records,) = gather(know_everything, batches_of(experiment, 8), 1, MESH, 42)
    np.testing.assert_array_equal(records["example_index"], np.arange(len(split)))
    assert [key.decode() for key in records["key"]] == [split[i]["key"] for i in range(len(split))]
    np.testing.assert_allclose(
        records["joints_cam_m"], [split[i]["joints_cam_m"] for i in range(len(split))], atol=1e-6
    )
    assert records["predicted_keypoints_px"].shape[1] == 42
    metrics = compute_metrics([records], Setting(INPUT_SIZE_PX))
    assert metrics["num_examples"] == len(split)
    assert metrics["mpjpe_mm"] < 1e-3
    assert metrics["token_recall"] == 1


def test_devices_have_the_next_batch_before_the_last_one_is_read(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []

    def predict(batch: Batch) -> Pose:
        events.append("predict")
        return know_everything(batch)

    def fetch(tree: dict[str, jax.Array]) -> dict[str, np.ndarray]:
        events.append("fetch")
        return jax.device_get(tree)

    monkeypatch.setattr(hosts, "fetch", fetch)
    batches = itertools.chain.from_iterable(batches_of(experiment, 8) for _ in range(3))
    parts = list(gather(predict, batches, 3, MESH, 42))
    assert events == ["predict", "predict", "fetch", "predict", "fetch", "fetch"]
    assert sum(map(records_of.num_rows, parts)) == 3 * split_size(experiment.data, "val")


def test_an_evaluation_that_is_asked_to_end_does_so_after_a_batch(experiment: Experiment) -> None:
    answers = iter([False, True])
    batches = itertools.chain.from_iterable(batches_of(experiment, 8) for _ in range(9))
    with pytest.raises(Interrupted):
        list(gather(know_everything, batches, 9, MESH, 42, lambda: next(answers)))
    assert next(answers, None) is None


def test_eval_script_leaves_its_files(workdir: Path) -> None:
    folder = workdir / "eval" / "val[:3]"
    files = ["card.json", "metrics.json", "predictions.npz", "report.html"]
    assert sorted(path.name for path in folder.iterdir()) == files
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["num_examples"] == 3
    assert metrics["mpjpe_mm"] > 1
    assert metrics["mpjpe_mm/mean_pose"] > 1
    switches = metrics.pop("protocol")["switches"]
    assert (switches["step"], switches["split"]) == (5, "val[:3]")
    records, setting = records_file.load(folder / "predictions.npz")
    assert compute_metrics([records], setting) == metrics


def test_the_card_of_an_evaluation_is_true(workdir: Path, experiment: Experiment) -> None:
    folder = workdir / "eval" / "val[:3]"
    assert contradictions(folder) == []
    assert "checkpoint" in checked_parts(folder)
    card = json.loads((folder / "card.json").read_text())
    assert card["config"]["data"]["name"] == card["data"]["name"] == "synthetic_hands"
    assert card["data"]["version"] == "1.0.0"
    assert (
        card["data"]["content_sha256"]
        == dataset_manifest(experiment.data.data_dir, "synthetic_hands")["content_sha256"]
    )
    assert card["checkpoint"]["step"] == 5
    assert "git_sha" in card["code"]


def test_predictions_carry_what_benchmarks_ask_for(workdir: Path, experiment: Experiment) -> None:
    records, setting = records_file.load(workdir / "eval" / "val[:3]" / "predictions.npz")
    split = open_split(experiment.data, "val")
    assert records.keys() >= set(records_of.FACTS)
    assert records["sequence"].tolist() == [split[row]["sequence"].encode() for row in range(3)]
    assert records["annotation_id"].tolist() == [-1, -1, -1]
    np.testing.assert_array_equal(records["joint_in_image"], [split[row]["joints_in_image"] > 0 for row in range(3)])
    assert setting.switches["representation"] == experiment.model.representation
    convention = find("interhand26m/own")[0]
    assert result_of(records, setting, convention, Extras()).numbers["mpjpe_mm/all"].value > 1


def test_the_fields_of_a_pose_are_known_without_jax() -> None:
    assert tuple(field.name for field in dataclasses.fields(Pose)) == records_of.POSE + records_of.OPTIONAL


def test_report_is_one_file_without_links(workdir: Path) -> None:
    page = (workdir / "eval" / "val[:3]" / "report.html").read_text()
    assert not re.search(r"https?:|//[a-z]+\.|<link|\bsrc=\"(?!data:)|@import|url\((?!#)", page)
    assert page.count('src="data:image/jpeg;base64,') == 3
    assert "<svg" in page
    assert "fake/1/000000" in page
    scenes = re.findall(r'<script type="application/json">(.*?)</script>', page)
    assert [{group["name"] for group in json.loads(scene)["groups"]} for scene in scenes] == 3 * [
        {"prediction", "truth"}
    ]


def test_overlays_show_the_same_examples_in_three_panels(workdir: Path, experiment: Experiment) -> None:
    records, _ = records_file.load(workdir / "eval" / "val[:3]" / "predictions.npz")
    first, last = overlays(records_of.select(records, [0, 2]), experiment.data, "val[:3]")
    assert first.shape == last.shape == (6 * INPUT_SIZE_PX, 3 * 6 * INPUT_SIZE_PX + 8, 3)
    np.testing.assert_array_equal(overlays(records, experiment.data, "val[:3]")[2], last)


def test_history_stops_at_a_half_written_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert read_history(path) == []
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_history(path) == [{"step": 1, "loss": 2.0}]


def test_mean_pose_by_hand() -> None:
    examples = [fake_example(i) for i in (0, 3)]  # two right hands
    examples[1]["joints_annotated"][RIGHT, 5] = 0
    pose = mean_pose(examples)
    relative = [example["joints_cam_m"][RIGHT] - example["joints_cam_m"][RIGHT, 20] for example in examples]
    np.testing.assert_allclose(pose[RIGHT, :5], np.mean(relative, axis=0)[:5], atol=1e-6)
    np.testing.assert_allclose(pose[RIGHT, 5], relative[0][5], atol=1e-6)
    np.testing.assert_allclose(pose[LEFT], pose[RIGHT] * [-1, 1, 1])
    np.testing.assert_allclose(mean_pose(examples, most=1)[RIGHT], relative[0], atol=1e-6)
    for example in examples:
        example["joints_annotated"][:, 20] = 0
    assert mean_pose(examples) is None


def test_a_checkpoint_of_another_network_is_refused(experiment: Experiment, workdir: Path, tmp_path: Path) -> None:
    other = tiny_experiment(Path(experiment.data.data_dir), width=64)
    with pytest.raises(ValueError, match=r"does not fit the config's model: \d+ arrays differ, the first is params/"):
        restore_variables(make_model(other), INPUT_SIZE_PX, workdir, None, MESH)
    with pytest.raises(ValueError, match="no checkpoint"):
        restore_variables(make_model(experiment), INPUT_SIZE_PX, tmp_path, None, MESH)


def test_typical_and_worst_examples() -> None:
    records = perfect_records(6)
    order = [3, 1, 5, 0, 2, 4]
    for rank, row in enumerate(order):
        records["predicted_joints_rel_m"][row, :, :20] += 0.001 * rank
    errors_mm = example_errors_mm(records)
    assert typical_and_worst(errors_mm, 1) == ([5], [4])
    assert typical_and_worst(errors_mm, 2) == ([5, 0], [4, 2])
    assert typical_and_worst(errors_mm, 10) == ([3, 1, 5], [4, 2, 0])
    records["joint_annotated"][:, :, 20] = False
    assert typical_and_worst(example_errors_mm(records), 2) == ([], [])


def test_the_report_s_ratio_is_the_network_s_error_over_the_mean_pose_s() -> None:
    (name, *_, baseline) = next(card for card in CARDS if card[3])
    (card,) = _cards({name: 10.0, baseline: 40.0})
    assert card["note"] == "0.25 × mean pose"
