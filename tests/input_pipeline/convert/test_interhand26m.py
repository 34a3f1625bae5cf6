import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from input_pipeline.config import DataConfig
from input_pipeline.convert.interhand26m.source import InterHand26M
from input_pipeline.convert.manifest import report
from input_pipeline.convert.shards import write_dataset
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.manifest import dataset_manifest
from input_pipeline.pipeline import eval_batches
from input_pipeline.schema import validate_example
from input_pipeline.transforms import crop_example
from occrobnet_jax.files.readers import decode_image
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import MIDDLE_BASE, VISIBILITY, WRIST
from tests.support.fake_interhand import HAND_TYPES, OUT_OF_VIEW, write_fake_interhand

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    return write_fake_interhand(tmp_path_factory.mktemp("interhand"))


@pytest.fixture(scope="module")
def real(fixtures, tmp_path_factory):
    raw = tmp_path_factory.mktemp("laid out") / "raw"
    tool = REPOSITORY / "tools" / "layout_interhand_fixtures.py"
    subprocess.run([sys.executable, tool, f"--fixtures={fixtures}", f"--output={raw}"], check=True)
    return raw


def opened(raw, **options):
    return InterHand26M(raw, raw / "index", **options)


@pytest.fixture(params=["fake", "real"])
def source(request):
    return opened(request.getfixturevalue(request.param))


def examples(source):
    return [source.example("test", index) for index in range(source.splits["test"])]


def test_splits_that_are_absent_are_named(source):
    assert source.splits == {"test": 4}
    assert source.absent_splits == ("train", "val")


def test_examples_are_valid_and_have_their_own_keys(source):
    taken = examples(source)
    for example in taken:
        validate_example(example)
        assert not any(example[name] for name in ("segmentation", "object_known", "rootnet_known"))
    assert len({example["key"] for example in taken}) == 4


def test_boxes_are_a_fifth_larger_than_the_joints(source):
    for example in examples(source):
        seen = (example["joints_annotated"] & example["joints_in_image"]) > 0
        px = project(example["joints_cam_m"].astype(float), example["intrinsics"].astype(float))[seen]
        center, half = (px.min(0) + px.max(0)) / 2, 0.6 * (px.max(0) - px.min(0))
        np.testing.assert_allclose(example["box_px"], np.concatenate([center - half, center + half]), atol=0.1)


def test_hands_have_the_size_of_hands_in_front_of_the_camera(real):
    for example in examples(opened(real)):
        for hand in np.flatnonzero(example["hand_present"]):
            joints = example["joints_cam_m"][hand]
            assert 0.07 < np.linalg.norm(joints[WRIST] - joints[MIDDLE_BASE]) < 0.10
            assert 0.9 < joints[:, 2].min() < joints[:, 2].max() < 1.2
            np.testing.assert_array_equal(example["root_cam_m"][hand], joints[WRIST])


def test_real_frames_are_stored_as_downloaded(real, fixtures):
    (example, *_) = examples(opened(real))
    assert example["key"] == "Capture3/0390_dh_touchROM/cam400026/image69148"
    assert (example["sequence"], example["camera"]) == ("Capture3/0390_dh_touchROM", "400026")
    assert example["annotation_id"] == 326750
    assert example["image"] == (fixtures / "interhand2.6m" / "image69148.jpg").read_bytes()
    assert [each["hand_present"].tolist() for each in examples(opened(real))] == [[1, 1], [1, 1], [0, 1], [1, 0]]


def test_masks_are_raw_and_masked_joints_are_zero(fake):
    for example, hand_type in zip(examples(opened(fake)), HAND_TYPES, strict=True):
        annotated = example["joints_annotated"]
        assert example["hand_present"].tolist() == annotated[:, WRIST].tolist() == example["root_known"].tolist()
        assert bool(annotated[0, 5]) == (hand_type == "right")
        assert not example["joints_cam_m"][annotated == 0].any()


def test_joints_beyond_the_image_are_outside_and_the_others_unknown(fake):
    for number, example in enumerate(examples(opened(fake))):
        outside = (example["joints_annotated"] > 0) & (example["joints_in_image"] == 0)
        assert outside.any() == (number == OUT_OF_VIEW)
        expected = np.where(outside, VISIBILITY.index("outside"), VISIBILITY.index("unknown"))
        np.testing.assert_array_equal(example["visibility"], expected)


def test_hand_boxes_hold_their_own_hand(fake):
    for example in examples(opened(fake)):
        px = project(example["joints_cam_m"], example["intrinsics"])
        for hand in range(2):
            annotated = example["joints_annotated"][hand] > 0
            box = example["hand_box_px"][hand]
            if annotated.any():
                expected = [*px[hand][annotated].min(0), *px[hand][annotated].max(0)]
                np.testing.assert_allclose(box, expected, atol=1e-3)
            else:
                assert not box.any()


def test_joints_lie_on_the_drawn_discs(fake):
    """Red discs are right hands', blue ones left hands': rotation, translation and units are right if they are hit."""
    for example in examples(opened(fake)):
        fields = crop_example(example, DataConfig(name="interhand26m"), 2)
        for hand, channel in ((0, 0), (1, 2)):
            x, y = np.rint(fields["joints_px"][hand][fields["joint_in_crop"][hand]]).astype(int).T
            if len(x):
                assert np.median(fields["image"][y, x, channel]) > 200
                assert np.median(fields["image"][y, x, 2 - channel]) < 100


def test_images_may_lie_in_the_folder_they_are_downloaded_in(tmp_path):
    source = opened(write_fake_interhand(tmp_path, images_below="InterHand2.6M_5fps_batch1"))
    assert decode_image(source.example("test", 0)["image"], name="it").shape == (512, 334, 3)


def test_the_source_can_be_sent_to_another_process(fake):
    sent = pickle.loads(pickle.dumps(opened(fake)))
    assert sent.example("test", 2)["key"] == "Capture3/0001_fake/cam400002/image112"


def test_several_splits(tmp_path):
    write_fake_interhand(tmp_path, "train", capture=0)
    source = opened(write_fake_interhand(tmp_path, "val", capture=1))
    assert source.splits == {"train": 4, "val": 4}
    assert source.example("val", 0)["sequence"] == "Capture1/0001_fake"


def edit(raw, kind, change):
    path = raw / "annotations" / "test" / f"InterHand2.6M_test_{kind}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("data", lambda data: data.pop("images"), "data.json has no entry images"),
        ("data", lambda data: data["images"].pop(0), "has an annotation of image 0, which it lacks"),
        ("data", lambda data: data["images"][0].pop("camera"), "data.json has no entry camera"),
        ("data", lambda data: data["images"][0].update(id="x"), "data.json: images holds a value that is no number"),
        ("data", lambda data: data["images"][0].update(file_name="a" * 200), "image with more than 160 characters"),
        ("data", lambda data: data["images"][0].update(file_name="../../secret.jpg"), "outside of its folder"),
        ("data", lambda data: data["images"][0].update(file_name="/etc/passwd"), "outside of its folder"),
        ("data", lambda data: data["images"][0].update(file_name="no.jpg"), "no.jpg can't be read"),
        ("data", lambda data: data["annotations"][0].update(hand_type="both"), "1000 has the hand_type 'both'"),
        ("data", lambda data: data["annotations"][0].update(bbox=[1, 2, 3]), "bbox of 1000 has the shape"),
        ("data", lambda data: data["annotations"][0].update(joint_valid=[1] * 41), "joint_valid of 1000 has the shape"),
        ("data", lambda data: data["annotations"][0].update(joint_valid=[2] * 42), "joint_valid of 1000 holds other"),
        ("camera", lambda data: data["3"]["focal"].pop("400000"), "camera.json has no entry 3/focal/400000"),
        ("camera", lambda data: data["3"]["camrot"].update({"400000": [[1]]}), "3/camrot/400000 has the shape"),
        ("joint_3d", lambda data: data["3"].pop("100"), "joint_3d.json has no entry 3/100"),
        ("joint_3d", lambda data: data["3"]["100"]["world_coord"].pop(), "3/100/world_coord has the shape"),
        ("joint_3d", lambda data: data["3"]["100"].update(joint_valid=[["x"]] * 42), "3/100/joint_valid is not"),
    ],
)
def test_damaged_annotations_are_named(tmp_path, kind, change, message):
    edit(write_fake_interhand(tmp_path), kind, change)
    with pytest.raises(ValueError, match=message):
        opened(tmp_path).example("test", 0)


def test_damage_of_one_record_leaves_the_others(tmp_path):
    edit(write_fake_interhand(tmp_path), "joint_3d", lambda data: data["3"].pop("100"))
    source = opened(tmp_path)
    with pytest.raises(UnusableExample, match=r"joint_3d.json has no entry 3/100"):
        source.example("test", 0)
    assert source.example("test", 1)["key"].endswith("image106")


def test_truncated_images_are_left_out_and_named(tmp_path):
    image = next(write_fake_interhand(tmp_path).rglob("image100.jpg"))
    image.write_bytes(image.read_bytes()[:1000])
    next(tmp_path.rglob("image106.jpg")).unlink()
    folder = write_dataset(opened(tmp_path), tmp_path / "data", show_progress=False)
    text = report(folder)
    assert re.search(r"left out of test: 1, image damaged\n", text)
    assert re.search(r"left out of test: 1, image missing\n", text)
    assert "image of Capture3/0001_fake/cam400000/image100 is not a complete JPEG" in text
    assert "image106.jpg can't be read: No such file" in text
    partial = dataset_manifest(tmp_path / "data", "interhand26m")["partial"]
    assert "interhand26m: test lacks 1 of 4 examples: image missing" in partial
    assert len(tfds.data_source("interhand26m", data_dir=tmp_path / "data", split="test")) == 2


def test_a_split_of_which_nothing_is_left_is_no_dataset(tmp_path):
    shutil.rmtree(write_fake_interhand(tmp_path) / "images" / "test" / "Capture3")
    with pytest.raises(ValueError, match=r"no example of test can be used: .*can't be read.*delete .* start again"):
        write_dataset(opened(tmp_path), tmp_path / "data", show_progress=False)
    assert not list((tmp_path / "data").rglob("dataset_info.json"))


def test_truncated_annotations_are_named(tmp_path):
    annotations = next(write_fake_interhand(tmp_path).rglob("*joint_3d.json"))
    annotations.write_text(annotations.read_text()[:1000])
    with pytest.raises(ValueError, match=r"joint_3d.json is not valid JSON"):
        opened(tmp_path)
    assert not list((tmp_path / "index").glob("*joint_3d*"))


def test_a_folder_without_the_layout_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"must hold one folder images/ .*, it holds none"):
        opened(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(ValueError, match="holds no folder annotations/"):
        opened(tmp_path)
    (tmp_path / "annotations").mkdir()
    with pytest.raises(ValueError, match=r"holds none of the splits"):
        opened(tmp_path)
    for rate in (5, 30):
        (tmp_path / f"InterHand2.6M_{rate}fps_batch1" / "images").mkdir(parents=True)
    with pytest.raises(ValueError, match="it holds 2 of them"):
        opened(tmp_path)


def test_a_split_with_a_missing_file_is_refused(tmp_path):
    next(write_fake_interhand(tmp_path).rglob("*camera.json")).unlink()
    with pytest.raises(ValueError, match=r"test_camera.json can't be read: No such file"):
        opened(tmp_path)


def test_the_layout_tool_refuses_a_folder_without_fixtures(tmp_path):
    tool = REPOSITORY / "tools" / "layout_interhand_fixtures.py"
    call = [sys.executable, tool, f"--fixtures={tmp_path}", f"--output={tmp_path / 'raw'}"]
    result = subprocess.run(call, capture_output=True, text=True)
    assert result.returncode == 1
    assert "test_interhand2.6m_data.json can't be read" in result.stderr
    assert not (tmp_path / "raw").exists()


def test_prepared_frames_become_batches(source, tmp_path):
    write_dataset(source, tmp_path, show_progress=False)
    data = DataConfig(name="interhand26m", data_dir=str(tmp_path), input_size_px=64)
    (batch,) = eval_batches(data, "test", heatmap_stride=2, global_batch_size=4)
    assert [key.decode() for key in batch["key"]] == [example["key"] for example in examples(source)]
    reprojected = project(batch["joints_cam_m"], batch["intrinsics"])
    np.testing.assert_allclose(
        reprojected[batch["joint_annotated"]], batch["joints_px"][batch["joint_annotated"]], atol=0.01
    )
