"""HInt on a generated tree in its official layout: what each joint becomes, and what is left out."""

import json
from pathlib import Path
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh

from input_pipeline.config import DataConfig
from input_pipeline.convert.hint import FOLDERS, HInt
from input_pipeline.convert.sources import OfficialSource, UnusableExample
from input_pipeline.pipeline import eval_batches
from input_pipeline.prepare import main as prepare
from input_pipeline.schema import validate_example
from input_pipeline.splits import open_split
from occrobnet_jax.evaluation.evaluate import gather
from occrobnet_jax.evaluation.formats.records import Setting
from occrobnet_jax.evaluation.metrics.metrics import compute_metrics
from occrobnet_jax.skeleton import INTERHAND, LEFT, OPENPOSE, RIGHT, VISIBILITY
from occrobnet_jax.types import Batch, Pose
from tests.support.fake_records import perfect_pose

NEWDAYS = ("ND_J6tTGJTQNHU_frame003001_r", "ND_J6tTGJTQNHU_frame004001_l", "ND__xGfgKCYT7A_frame005751_l")
EPICK = ("EK_0064_P03_10_frame_0000000249_r",)
EGO4D = ("037b816e-98e8-4f54-8046-eb8593b3d127_d60098ce-3716-4e9b-adde-ac8868b57d98_505_pnr_frame_r",)
PX = np.random.default_rng(0).uniform(20, 100, (21, 2))
OCCLUDED, MISSING, OUTSIDE = "index4", "pinky1", "thumb4"


def annotation(**changes: Any) -> list[dict[str, Any]]:
    px = PX.copy()
    px[OPENPOSE.index(OUTSIDE)] = [170, 50]
    flags = {name: [int(joint == name) for joint in OPENPOSE] for name in (OCCLUDED, MISSING)}
    hand = {
        "bbox": [[15.0, 18.0, 105.0, 104.0]],
        "keypoints": px.tolist(),
        "occlusion": flags[OCCLUDED],
        "existence": [1 - flag for flag in flags[MISSING]],
    }
    return [hand | changes]


def write_hint(raw: Path) -> Path:
    """The partial download: Ego4D's annotations come without frames."""
    for folder, names in (("TEST_newdays_img", NEWDAYS), ("TRAIN_epick_img", EPICK), ("TEST_ego4d_img", EGO4D)):
        (raw / folder).mkdir(parents=True)
        for name in names:
            (raw / folder / f"{name}.json").write_text(json.dumps(annotation()))
            if "ego4d" not in folder:
                cv2.imwrite(str(raw / folder / f"{name}.jpg"), np.full((120, 160, 3), 90, np.uint8))
    return raw


def test_a_hand_has_visible_and_occluded_joints_on_its_side(tmp_path):
    source = HInt(write_hint(tmp_path))
    assert isinstance(source, OfficialSource)
    example = source.example("test_newdays_img", 0)
    validate_example(example)
    classes = {name: VISIBILITY[value] for name, value in zip(INTERHAND, example["visibility"][RIGHT], strict=True)}
    special = {OCCLUDED: "something", MISSING: "unknown", OUTSIDE: "outside"}
    assert classes == dict.fromkeys(INTERHAND, "visible") | special
    assert not example["joints_px_only"][LEFT].any()
    assert example["joints_px_only"][RIGHT].sum() == 20
    tip = INTERHAND.index(OCCLUDED)
    np.testing.assert_allclose(example["joints_px"][RIGHT, tip], PX[OPENPOSE.index(OCCLUDED)], rtol=1e-6)
    np.testing.assert_allclose(example["box_px"], [15, 18, 105, 104])
    assert (example["hand_present"].tolist(), int(example["hand_present_known"])) == ([1, 1], 0)
    assert source.example("test_newdays_img", 1)["joints_px_only"].sum(1).tolist() == [0, 20]


def test_folders_are_splits_and_those_without_photos_are_absent(tmp_path):
    source = HInt(write_hint(tmp_path))
    assert source.splits == {"test_newdays_img": 3, "train_epick_img": 1}
    assert "test_ego4d_img" in source.absent_splits
    assert len(source.absent_splits) + len(source.splits) == len(FOLDERS) == 11
    with pytest.raises(ValueError, match="has no photos and annotations in TRAIN_newdays_img"):
        HInt(tmp_path / "TEST_newdays_img")


def test_frames_of_one_video_are_one_sequence(tmp_path):
    source = HInt(write_hint(tmp_path))
    videos = [source.example("test_newdays_img", index)["sequence"] for index in range(3)]
    assert videos == ["ND_J6tTGJTQNHU", "ND_J6tTGJTQNHU", "ND__xGfgKCYT7A"]
    assert source.example("train_epick_img", 0)["sequence"] == "EK_0064_P03_10"
    cv2.imwrite(str(tmp_path / "TEST_ego4d_img" / f"{EGO4D[0]}.jpg"), np.full((120, 160, 3), 90, np.uint8))
    example = HInt(tmp_path).example("test_ego4d_img", 0)
    validate_example(example)  # its name is longer than a key may be
    assert example["sequence"] == "037b816e-98e8-4f54-8046-eb8593b3d127"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (annotation() * 2, "isn't a list of one hand"),
        ({}, "isn't a list of one hand"),
        ([{"bbox": [[0, 0, 1, 1]]}], "has no entry keypoints"),
        (annotation(keypoints=[[1.0, 2.0]]), r"keypoints has the shape \(1, 2\)"),
    ],
)
def test_damaged_annotations_are_left_out_by_name(tmp_path, content, words):
    raw = write_hint(tmp_path)
    (raw / "TEST_newdays_img" / f"{NEWDAYS[0]}.json").write_text(json.dumps(content))
    with pytest.raises(UnusableExample, match=words):
        HInt(raw).example("test_newdays_img", 0)


def test_photos_that_are_missing_or_damaged_are_left_out_by_name(tmp_path):
    raw = write_hint(tmp_path)
    photo = raw / "TEST_newdays_img" / f"{NEWDAYS[0]}.jpg"
    photo.write_bytes(photo.read_bytes()[:100])
    with pytest.raises(UnusableExample, match=NEWDAYS[0]):
        HInt(raw).example("test_newdays_img", 0)
    photo.unlink()
    with pytest.raises(UnusableExample, match="is missing"):
        HInt(raw).example("test_newdays_img", 0)


def off_by_a_hand_where_hidden(batch: Batch) -> Pose:
    """A network that knows where visible joints are in the picture."""
    fields = perfect_pose({name: np.asarray(value) for name, value in vars(batch).items()})
    hidden = np.asarray(batch.visibility) == VISIBILITY.index("something")
    fields["joints_px"] = fields["joints_px"] + 100.0 * hidden[..., None]
    return Pose(**{name: jnp.asarray(value) for name, value in fields.items()})


def test_it_goes_through_shards_to_batches_and_metrics(tmp_path):
    raw = write_hint(tmp_path / "raw")
    (raw / "TEST_newdays_img" / f"{NEWDAYS[2]}.jpg").unlink()
    assert prepare(["hint", "--raw", str(raw), "--data_dir", str(tmp_path), "--num_processes", "1"]) == 0
    data = DataConfig(name="hint", data_dir=str(tmp_path), input_size_px=64)
    assert len(open_split(data, "test_newdays_img")) == 2
    (batch,) = batches = list(eval_batches(data, "test_newdays_img", heatmap_stride=4, global_batch_size=2))
    assert batch["joint_px_annotated"].sum((1, 2)).tolist() == [20, 20]
    assert batch["joint_in_crop"].sum((1, 2)).tolist() == [19, 19]
    assert not batch["joint_annotated"].any()
    assert {hand for _, hand, _ in np.argwhere(batch["joint_in_crop"])} == {RIGHT, LEFT}
    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
    records = gather(off_by_a_hand_where_hidden, iter(batches), 1, mesh, 42)
    metrics = compute_metrics(records, Setting(64))
    assert (metrics["pck_0.05/visible"], metrics["pck_0.15/occluded"]) == (1, 0)
    assert metrics["pck_0.15"] == pytest.approx(36 / 38)
    assert "mpjpe_mm" not in metrics
