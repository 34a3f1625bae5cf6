"""The generated official tree of InterHand2.6M: layouts, subsets, optional files and documented oddities."""

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from input_pipeline.convert.frame_checks import check_hands
from input_pipeline.convert.interhand26m.source import InterHand26M
from input_pipeline.convert.manifest import report
from input_pipeline.convert.occlusion import Occlusion
from input_pipeline.convert.shards import write_dataset
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.manifest import dataset_manifest
from input_pipeline.schema import validate_example
from occrobnet_jax.files.readers import decode_image
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.hands.mano_roots import load_mano_roots
from occrobnet_jax.skeleton import LEFT, RIGHT, WRIST
from tests.official_interhand import BLACK, CAMERAS, INVALID_WRIST, WITHOUT_FIT, write_interhand
from tests.support.fake_datasets import rotation_matrix
from tests.support.fake_mano import mano_record, write_mano

COUNTS = {"train": 2 * 2 * 4 * 4, "val": 2 * 2 * 4, "test": 2 * 4 * 4}


def opened(raw, **options):
    return InterHand26M(raw, raw / "index", **options)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_interhand(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def source(raw):
    return opened(raw)


@functools.cache
def examples(source, split="train"):
    """Converting takes long under the tests' type checks: once each."""
    return [source.example(split, index) for index in range(source.splits[split])]


def moment_of(example):
    return (int(example["key"].rsplit("image", 1)[1]) % 1000) // 18


def test_every_example_of_every_split_is_valid(source):
    assert source.splits == COUNTS
    assert (source.name, source.version, source.absent_splits) == ("interhand26m", "1.0.0", ())
    keys = []
    for split in COUNTS:
        for example in examples(source, split):
            validate_example(example)
            keys.append((split, example["key"]))
    assert len(set(keys)) == sum(COUNTS.values())


def test_images_of_both_shapes_and_gray_cameras_are_as_their_records_say(source):
    shapes = set()
    for example in examples(source):
        pixels = decode_image(example["image"], name="it")
        assert pixels.shape[:2] == (example["height"], example["width"])
        shapes.add(pixels.shape)
        is_gray = int(np.ptp(pixels.astype(int), axis=-1).max()) == 0
        is_black = (example["camera"], moment_of(example)) == BLACK
        assert is_gray == (example["camera"].startswith("41") or is_black)
    assert shapes == {(512, 334, 3), (334, 512, 3)}


def test_boxes_are_a_fifth_larger_than_the_annotated_joints(source):
    for example in examples(source):
        px = project(example["joints_cam_m"].astype(float), example["intrinsics"].astype(float))
        px = px[example["joints_annotated"] > 0]
        center, half = (px.min(0) + px.max(0)) / 2, 0.6 * (px.max(0) - px.min(0))
        np.testing.assert_allclose(example["box_px"], np.concatenate([center - half, center + half]), atol=0.1)


def test_an_invalid_wrist_leaves_the_other_joints_as_they_are(source):
    found = [example for example in examples(source) if moment_of(example) == INVALID_WRIST]
    assert len(found) == 2 * 2 * len(CAMERAS)
    for example in found:
        assert example["root_known"].tolist() == [1, 0]
        assert example["joints_annotated"][LEFT].tolist() == [1] * WRIST + [0]
        assert example["joints_annotated"][RIGHT, 5] == 0  # though the file has its coordinates
        assert not example["joints_cam_m"][RIGHT, 5].any()


def test_rootnet_is_taken_where_it_is(source):
    first, *others = examples(source, "test")
    assert not first["rootnet_known"]
    assert not any(example["rootnet_known"] for example in examples(source, "train"))
    for example in others:
        assert example["rootnet_known"]
        np.testing.assert_allclose(example["rootnet_depth_m"], [0.7, 0.73], atol=1e-6)
        x0, y0, x1, y1 = example["rootnet_box_px"]
        assert x1 - x0 == pytest.approx(y1 - y0, abs=1e-3)
        assert (x0 + x1) / 2 == pytest.approx((example["box_px"][0] + example["box_px"][2]) / 2, abs=1e-3)
    (note,) = [note for note in source.notes if "RootNet" in note]
    assert f"RootNet's file of test lacks 1 of {len(others) + 1} examples, the first " in note
    assert first["key"].rpartition("/")[2] in note


def test_the_same_examples_come_from_every_layout(tmp_path, source):
    for layout, version in (("code", "1.0.0"), ("v0.0", "0.0.0")):
        other = opened(write_interhand(tmp_path / layout, layout))
        assert other.version == version
        assert other.splits == source.splits
        for index in (0, 37):
            expected = source.example("train", index)
            for name, value in other.example("train", index).items():
                np.testing.assert_array_equal(value, expected[name])


def test_v0_is_marked_in_the_metadata(tmp_path):
    source = opened(write_interhand(tmp_path, "v0.0", splits=("val",)))
    folder = write_dataset(source, tmp_path / "data", show_progress=False)
    assert dataset_manifest(tmp_path / "data", "interhand26m")["version"] == "0.0.0"
    assert "note: annotations of the withdrawn v0.0 layout: not comparable" in report(folder)
    assert source.absent_splits == ("train", "test")


def test_30_fps_is_a_dataset_of_its_own(tmp_path, raw):
    source = opened(write_interhand(tmp_path, fps=30, splits=("train", "test")), fps=30)
    assert (source.name, source.published) == ("interhand26m_30fps", {})
    assert source.example("test", 1)["rootnet_known"]
    shutil.move(tmp_path / "InterHand2.6M_30fps_batch1" / "images", tmp_path / "images")
    with pytest.raises(ValueError, match=r"frames of train are 3 apart, where 18 make 5 .*; pass --fps 30"):
        opened(tmp_path, fps=5)


def test_subsets_are_chosen_by_annotation_id(raw, source):
    everything = {split: {int(e["annotation_id"]) for e in examples(source, split)} for split in COUNTS}
    human = opened(raw, subset="human", ids=raw / "ids")
    machine = opened(raw, subset="machine", ids=raw / "ids")
    assert (human.name, human.absent_splits) == ("interhand26m_human", ())  # val was never annotated by people
    assert list(human.splits) == ["train", "test"]
    assert list(machine.splits) == ["train", "val", "test"]
    assert machine.published == {}  # what only the machine annotated is not what was published as M
    for split in ("train", "test"):
        ids = {int(example["annotation_id"]) for example in examples(human, split)}
        assert ids == {each for each in everything[split] if each % 3}
        assert {int(example["annotation_id"]) for example in examples(machine, split)} == everything[split] - ids
    with pytest.raises(ValueError, match=r"subset 'human' of v1.0 needs the lists aid_human_annot"):
        opened(raw, subset="human")


def test_lists_that_fit_nothing_are_named(raw, tmp_path):
    for content, message in (("1\n2\n", "lists no annotation of"), ("a\n", "is not a list of annotation ids")):
        (tmp_path / "aid_human_annot_train.txt").write_text(content)
        with pytest.raises(ValueError, match=rf"aid_human_annot_train.txt {message}"):
            opened(raw, subset="human", ids=tmp_path)


def test_damaged_records_leave_out_their_own_examples_only(tmp_path):
    raw = write_interhand(tmp_path, "code", splits=("val",))
    folder = raw / "annotations" / "val"
    fits = json.loads((folder / "InterHand2.6M_val_MANO_NeuralAnnot.json").read_text())
    frame = next(iter(fits["0"]))
    fits["0"][frame]["right"]["pose"].pop()
    (folder / "InterHand2.6M_val_MANO_NeuralAnnot.json").write_text(json.dumps(fits))
    data = json.loads((folder / "InterHand2.6M_val_data.json").read_text())
    data["annotations"][-1]["hand_type"] = ["right"]
    data["images"][-2]["file_name"] = "\ud800.jpg"
    (folder / "InterHand2.6M_val_data.json").write_text(json.dumps(data))
    said = report(write_dataset(opened(raw), tmp_path / "data", show_progress=False))
    assert f"left out of val: {len(CAMERAS) + 1}, annotation damaged" in said
    assert f"{frame}/right/pose has the shape (47,) where (48,) is expected" in said
    assert "has the hand_type ['right']" in said
    assert "left out of val: 1, image missing" in said


def test_fits_need_the_users_mano(source):
    assert not any(example["hand_pose_known"].any() for example in examples(source))
    assert any("they need your MANO files" in note for note in source.notes)


def test_fits_place_the_hand_where_the_world_has_it(raw, tmp_path, monkeypatch):
    """Any point of the posed hand, brought into the camera's frame, is the hand posed there."""
    monkeypatch.setattr(Occlusion, "check", lambda *_: None)  # these models look like no hand
    rng = np.random.default_rng(0)
    right, left = mano_record(rng), mano_record(rng)
    left["shapedirs"] = right["shapedirs"] * 1.0  # so alike only where the sign is wrong
    left["shapedirs"][:, 1:] += 0.01
    write_mano(tmp_path / "MANO_RIGHT.pkl", right)
    write_mano(tmp_path / "MANO_LEFT.pkl", left)
    source = opened(raw, mano=tmp_path)
    fits = json.loads((raw / "annotations/train/InterHand2.6M_train_MANO_NeuralAnnot.json").read_text())
    cameras = json.loads((raw / "annotations/train/InterHand2.6M_train_camera.json").read_text())
    known = 0
    for example in examples(source):
        capture, frame = example["sequence"].split("/")[0][7:], example["key"].rsplit("image", 1)[1]
        assert example["hand_pose_known"].any() == (moment_of(example) != WITHOUT_FIT)
        for hand, (side, model) in enumerate((("right", right), ("left", left))):
            fit = fits[capture].get(frame, {}).get(side)
            assert example["hand_pose_known"][hand] == (fit is not None)
            if fit is None:
                continue
            known += 1
            shape, mirror = np.array(fit["shape"]), np.array([-1.0 if hand == LEFT else 1.0, 1.0, 1.0])
            rest = model["v_template"] + (model["shapedirs"] * mirror[:, None]) @ shape
            root, point = model["J_regressor"][0] @ rest, rest[100]
            world = rotation_matrix(fit["pose"][:3]) @ (point - root) + root + fit["trans"]
            rotation = np.array(cameras[capture]["camrot"][example["camera"]])
            expected = rotation @ (world - np.array(cameras[capture]["campos"][example["camera"]]) / 1000)
            turn = rotation_matrix(example["hand_pose"][hand, :3])
            placed = turn @ (point - root) + root + example["hand_translation_m"][hand]
            np.testing.assert_allclose(placed, expected, atol=1e-5)
            np.testing.assert_allclose(
                example["hand_pose"][hand, 3:], np.array(fit["pose"][3:]) + model["hands_mean"], atol=1e-6
            )
    assert known > 30


def test_a_left_model_that_is_right_already_keeps_its_sign(tmp_path):
    rng = np.random.default_rng(0)
    right, left = mano_record(rng), mano_record(rng)
    write_mano(tmp_path / "MANO_RIGHT.pkl", right)
    write_mano(tmp_path / "MANO_LEFT.pkl", left)
    expected = np.einsum("v,vcs->sc", left["J_regressor"][0], left["shapedirs"])
    np.testing.assert_allclose(load_mano_roots(tmp_path).root_shape_m[LEFT], expected)
    with pytest.raises(ValueError, match=r"MANO_RIGHT.pkl can't be read"):
        load_mano_roots(Path(tmp_path / "elsewhere"))


def test_tables_are_kept_while_the_files_stay(tmp_path):
    raw = write_interhand(tmp_path, splits=("val",))
    opened(raw)
    (kept,) = (raw / "index").iterdir()
    stamp = kept.stat().st_mtime_ns
    opened(raw)
    assert [path.stat().st_mtime_ns for path in (raw / "index").iterdir()] == [stamp]
    annotations = raw / "annotations" / "val" / "InterHand2.6M_val_data.json"
    annotations.write_text(annotations.read_text() + " ")
    opened(raw)
    assert len(list((raw / "index").iterdir())) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rootnet_output/rootnet_interhand2.6m_output_test.json", '[{"annot_id": 1}]', "has no entry bbox"),
        ("annotations/test/InterHand2.6M_test_MANO_NeuralAnnot.json", '{"1": 5}', "1 is no dictionary of frames"),
        ("annotations/test/InterHand2.6M_test_data.json", '{"images": [], "annotations": []}', "has no entry images"),
        ("annotations/test/InterHand2.6M_test_joint_3d.json", "[" * 1000, "nested more than 32 levels"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, message):
    write_interhand(tmp_path, "code", splits=("test",))
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{Path(name).name}.*{message}"):
        opened(tmp_path)


def edited(folder, change):
    """Return a tree whose test annotations were changed."""
    write_interhand(folder)
    path = folder / "annotations/test/InterHand2.6M_test_data.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return opened(folder)


def test_a_photo_annotated_twice_is_there_once(tmp_path):
    def repeat(content):
        annotations, images = content["annotations"], content["images"]
        annotations += [annotations[1] | {"id": 999_001}, annotations[1]]
        images.append(images[2] | {"id": 999_002})
        annotations.append(annotations[2] | {"id": 999_003, "image_id": 999_002})

    source = edited(tmp_path / "raw", repeat)
    count = source.splits["test"]
    for row in range(count - 3, count):
        with pytest.raises(
            UnusableExample, match=r"annotation \d+ is of Capture.*jpg, as annotation \d+ before"
        ) as error:
            source.example("test", row)
        assert error.value.reason == "photo annotated twice"
    keys = [source.example("test", row)["key"] for row in range(count - 3)]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("box", [[10, 10, 0, 0], [10, 10, 50, 0], [100, 100, -50, -50], [9, 9, 0.5, 2]])
def test_a_frame_whose_box_has_no_pixel_is_left_out(tmp_path, box):
    def change(content):
        content["annotations"][0]["bbox"] = box
        content["annotations"][1]["bbox"] = [-300, -300, 2000, 2000]

    source = edited(tmp_path / "raw", change)
    with pytest.raises(UnusableExample, match=r"annotation \d+ has the box .*, without a pixel"):
        source.example("test", 0)
    source.example("test", 1)


def test_splits_whose_images_are_not_there_are_absent(tmp_path):
    write_interhand(tmp_path)
    for split in ("train", "val"):
        shutil.rmtree(tmp_path / "InterHand2.6M_5fps_batch1" / "images" / split)
    source = opened(tmp_path)
    assert (list(source.splits), source.absent_splits) == (["test"], ("train", "val"))
    shutil.rmtree(tmp_path / "InterHand2.6M_5fps_batch1" / "images" / "test")
    with pytest.raises(ValueError, match=r"images holds none of the folders \['train', 'val', 'test'\]; unpack"):
        opened(tmp_path)


def test_a_moment_that_is_no_number_is_left_out_alone(tmp_path):
    write_interhand(tmp_path, splits=("test",))
    path = tmp_path / "annotations/test/InterHand2.6M_test_joint_3d.json"
    content = json.loads(path.read_text())
    capture = next(iter(content.values()))
    next(iter(capture.values()))["world_coord"][3] = [float("nan")] * 3
    path.write_text(json.dumps(content))
    source = opened(tmp_path)
    reasons = [reason_of(source, index) for index in range(source.splits["test"])]
    assert 0 < reasons.count("annotation damaged") == len(reasons) - reasons.count("")
    assert reasons.count("")


def reason_of(source, index):
    try:
        source.example("test", index)
    except UnusableExample as error:
        return error.reason
    return ""


def test_fits_under_the_name_of_another_version_are_named(tmp_path):
    write_interhand(tmp_path, splits=("test",))
    folder = tmp_path / "annotations/test"
    (folder / "InterHand2.6M_test_MANO_NeuralAnnot.json").rename(folder / "InterHand2.6M_test_MANO.json")
    opened(tmp_path)
    with pytest.raises(ValueError, match=r"test_MANO.json is not the name .*test_MANO_NeuralAnnot.json is v1.0's"):
        InterHand26M(tmp_path, tmp_path / "index", mano=tmp_path)


@pytest.mark.parametrize(("factor", "unit"), [(1000.0, "as mm"), (0.01, "no usual unit"), (100.0, "as cm")])
def test_hands_that_are_none_in_meters_are_refused(source, factor, unit):
    frames = [example | {"joints_cam_m": factor * example["joints_cam_m"]} for example in examples(source)]
    with pytest.raises(ValueError, match=rf"a hand of it lie up to .* are a hand's; .*{unit}"):
        check_hands("it", frames)
    check_hands("it", examples(source))
    check_hands("it", [*frames[:10], *examples(source)])  # single ones may be mislabelled


@pytest.mark.parametrize("valid", [0, 1])
def test_hands_are_known_where_their_kind_is_valid(tmp_path, valid):
    source = edited(tmp_path / "raw", lambda content: content["annotations"][0].update(hand_type_valid=valid))
    assert source.example("test", 0)["hand_present_known"] == valid
