"""A dataset of one's own: the format, its errors, what 2D joints become, and the walk-through in docs/ line by line."""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.augment import Augmentation
from input_pipeline.config import DataConfig
from input_pipeline.convert.custom import CustomDataset, example_key
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.prepare import main as prepare
from input_pipeline.schema import KEY_BYTES, validate_example
from input_pipeline.splits import open_split
from input_pipeline.transforms import augment_example, crop_example, label_box
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.hands.embedded_hand import LIMITS_DEG, finger_pose, load_hand
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.keypoints import teacher_keypoints
from occrobnet_jax.skeleton import HO3D, INTERHAND, OPENPOSE, permutation
from occrobnet_jax.training import targets
from occrobnet_jax.types import Batch
from tests.support.limits import HANG_S

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "custom_dataset.md"
INTRINSICS = [[300.0, 0.0, 79.5], [0.0, 310.0, 59.5], [0.0, 0.0, 1.0]]
RNG = np.random.default_rng(0)
CAM = np.column_stack([RNG.uniform(-0.1, 0.1, (21, 2)), RNG.uniform(0.5, 0.6, 21)])  # in our order
PX = RNG.uniform(20, 100, (21, 2))


def entry(**changes: Any) -> dict[str, Any]:
    given = {
        "file": "a.png",
        "intrinsics": INTRINSICS,
        "left": {"joints_cam": CAM.tolist()},
        "right": {"joints_px": PX.tolist()},
    }
    return {name: value for name, value in (given | changes).items() if value is not None}


def write(folder: Path, *images: dict[str, Any], **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), np.full((120, 160, 3), 90, np.uint8))
    labels = {"joint_order": "interhand26m", "images": list(images or [entry()])} | changes
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def one_example(folder: Path, *images: dict[str, Any], **changes: Any) -> dict[str, Any]:
    example = CustomDataset(write(folder, *images, **changes)).example("train", 0)
    validate_example(example)
    return example


def test_joints_in_3d_and_in_2d_come_through_shards(tmp_path):
    write(tmp_path / "raw", entry(), entry(split="val"), entry(file="b.png"))
    assert prepare(["custom", "--raw", str(tmp_path / "raw"), "--data_dir", str(tmp_path), "--num_processes", "1"]) == 0
    data = DataConfig(name="custom", data_dir=str(tmp_path))
    assert [len(open_split(data, split)) for split in ("train", "val")] == [2, 1]
    example = open_split(data, "train")[1]
    np.testing.assert_allclose(example["joints_cam_m"][1], CAM, rtol=1e-6)
    np.testing.assert_allclose(example["joints_px"][0], PX, rtol=1e-6)
    assert example["joints_annotated"].sum(1).tolist() == [0, 21]
    assert example["joints_px_only"].sum(1).tolist() == [21, 0]
    assert (example["root_known"].tolist(), example["hand_present"].tolist()) == ([0, 1], [1, 1])
    write(tmp_path / "raw", entry(), entry(split="val"), entry(file="b.png", sequence="another"))
    assert prepare(["custom", "--raw", str(tmp_path / "raw"), "--data_dir", str(tmp_path)]) == 1


def test_an_image_stands_once_in_a_split(tmp_path):
    left, right = entry(right=None), entry(left=None)
    with pytest.raises(ValueError, match=r"labels.json names the image 'a.png' 2 times in the split 'train'; put both"):
        CustomDataset(write(tmp_path, left, entry(split="val"), entry(file="b.png"), right))


@pytest.mark.parametrize(
    ("name", "order"), [("openpose", OPENPOSE), ("mediapipe", OPENPOSE), ("ho3d", HO3D), ("mano", HO3D)]
)
def test_named_orders_are_brought_into_ours(tmp_path, name, order):
    theirs = CAM[permutation(INTERHAND, order)].tolist()
    example = one_example(tmp_path, entry(left={"joints_cam": theirs}, right=None), joint_order=name)
    np.testing.assert_allclose(example["joints_cam_m"][1], CAM, rtol=1e-6)


def test_any_subset_in_any_order_with_gaps_and_millimeters(tmp_path):
    hand = {"joints_cam": [[10, 20, 600], None, [30, 40, 650]], "joints_px": [[84.5, 69.8], [33, 44], None]}
    example = one_example(tmp_path, entry(left=None, right=hand), joint_order=["wrist", "index4", "thumb2"], unit="mm")
    wrist, index, thumb = (INTERHAND.index(name) for name in ("wrist", "index4", "thumb2"))
    np.testing.assert_allclose(
        example["joints_cam_m"][0, [wrist, thumb]], [[0.01, 0.02, 0.6], [0.03, 0.04, 0.65]], rtol=1e-6
    )
    np.testing.assert_allclose(example["joints_px"][0, index], [33, 44])
    assert np.flatnonzero(example["joints_annotated"][0]).tolist() == sorted([wrist, thumb])
    assert np.flatnonzero(example["joints_px_only"][0]).tolist() == [index]
    np.testing.assert_allclose(example["box_px"][:2], [33, 44], atol=1e-4)


def test_a_2d_joint_keeps_its_place_in_the_crop_and_has_no_3d_one(tmp_path):
    example = one_example(tmp_path)
    fields = crop_example(example, DataConfig(input_size_px=128), 2)
    crop = fields["crop_from_image"]
    np.testing.assert_allclose(fields["joints_px"][0], PX @ crop[:, :2].T + crop[:, 2], rtol=1e-4)
    assert fields["joint_px_annotated"].all()
    assert fields["joint_annotated"].tolist() == [[False] * 21, [True] * 21]
    assert not fields["joints_cam_m"][0].any()
    flipped = augment_example(example, DataConfig(input_size_px=128), 2, Augmentation(flip=True))
    assert flipped["joint_px_annotated"].all()
    assert flipped["joint_annotated"].tolist() == [[True] * 21, [False] * 21]
    both = np.concatenate([PX, project(CAM, np.array(INTRINSICS))])
    np.testing.assert_allclose(label_box(example), [*both.min(0), *both.max(0)], rtol=1e-5)


def test_where_other_hands_may_be_nothing_is_taught_of_them(tmp_path):
    example = one_example(tmp_path, entry(left=None, box=[10, 10, 110, 110], all_hands=False))
    fields = crop_example(example, DataConfig(input_size_px=128), 2)
    batch = Batch(**{name: jnp.asarray(value)[None] for name, value in fields.items() if name != "key"})
    assert not batch.hand_present_known.any()
    assert targets.fully_annotated(batch).tolist() == [False]
    keypoints = teacher_keypoints(batch, ModelConfig(with_object=False))
    elsewhere = keypoints.replace(xy_hm=keypoints.xy_hm.at[0, 0].set(0.0))
    _, known = targets.token_classes(elsewhere, batch, 2, 0.01)
    assert np.asarray(known)[0, :21].tolist() == [False] + [True] * 20  # the first token may be another hand's joint
    with pytest.raises(ValueError, match="all_hands must be true or false"):
        one_example(tmp_path, entry(all_hands="no"))


def test_2d_joints_teach_heatmap_tokens_and_two_axes_but_no_depth(tmp_path):
    example = one_example(tmp_path, entry(left=None, box=[10, 10, 110, 110]))
    fields = crop_example(example, DataConfig(input_size_px=128), 2)
    batch = Batch(**{name: jnp.asarray(value)[None] for name, value in fields.items() if name != "key"})
    config = ModelConfig(representation="2.5d", with_object=False, bins=64)
    assert targets.fully_annotated(batch).tolist() == [True]
    lost = batch.replace(joint_px_annotated=batch.joint_px_annotated.at[0, 0, 7].set(False))
    assert targets.fully_annotated(lost).tolist() == [False]
    _, valid = targets.axis_targets(batch, config, 1.25)
    assert np.asarray(valid)[0].sum((0, 1)).tolist() == [21, 21, 0]
    keypoints = teacher_keypoints(batch, config)
    np.testing.assert_allclose(keypoints.xy_hm[0, :21], fields["joints_px"][0] / 2, rtol=1e-6)
    classes, known = targets.token_classes(keypoints, batch, 2, 0.01)
    assert np.asarray(classes)[0, :21].tolist() == list(range(1, 22))
    assert np.asarray(known)[0].sum() == 21


def test_a_2d_joint_beside_a_3d_one_teaches_its_two_axes(tmp_path):
    """Its parent's depth says nothing about it."""
    cam = [None if name == "index3" else values for name, values in zip(INTERHAND, CAM.tolist(), strict=True)]
    px = [PX[0].tolist() if name == "index3" else None for name in INTERHAND]
    hand = {"joints_cam": cam, "joints_px": px}
    example = one_example(tmp_path, entry(left=None, right=hand, box=[0, 0, 160, 120]))
    fields = crop_example(example, DataConfig(input_size_px=128), 2)
    batch = Batch(**{name: jnp.asarray(value)[None] for name, value in fields.items() if name != "key"})
    _, valid = targets.axis_targets(batch, ModelConfig(representation="2.5d", with_object=False), 1.25)
    assert np.asarray(valid)[0, 0, INTERHAND.index("index3")].tolist() == [True, True, False]
    assert np.asarray(valid)[0, 0, INTERHAND.index("index4")].tolist() == [True, True, False]  # its child


WRONG = {
    "joint_order": ({"joint_order": ["wrist", "pinkie1"]}, r"'pinkie1'\] are none of them"),
    "repeated joint": ({"joint_order": ["wrist", "wrist"]}, "a list of different names"),
    "unit": ({"unit": "cm"}, r"unit='cm' .* must be one of \['m', 'mm'\]"),
    "no images": ({"images": []}, "at least one image"),
    "top level": ({"split": "train"}, r"\['split'\] is not among the names"),
    "image key": ({"images": [entry(bbox=[1, 2, 3, 4])]}, r"image 0: \['bbox'\] is not among .*'box'"),
    "split": ({"images": [entry(split="../x")]}, "takes? the split|has the split '../x'"),
    "file": ({"images": [entry(file="c.png")]}, r"c\.png can't be read"),
    "outside": ({"images": [entry(file="../a.png")]}, "lies outside of its folder"),
    "hand": ({"images": [entry(left=[1, 2])]}, "left hand: list is not among"),
    "hand key": (
        {"images": [entry(left={"joints_2d": []})]},
        r"left hand: \['joints_2d'\] .*'joints_cam', 'joints_px'",
    ),
    "count": ({"images": [entry(left={"joints_px": [[1, 2]] * 20})]}, "joints_px must list 21 joints.* it has 20"),
    "shape": ({"images": [entry(left={"joints_px": [[1, 2, 3]] * 21})]}, r"joints_px: thumb4 has the shape \(3,\)"),
    "camera": ({"images": [entry(intrinsics=None)]}, "3D joints and no intrinsics"),
    "behind": ({"images": [entry(left={"joints_cam": (-CAM).tolist()})]}, "in front of the camera; its axes"),
    "units": (
        {
            "images": [
                entry(
                    left={
                        "joints_cam": CAM.tolist(),
                        "joints_px": (project(CAM, np.array(INTRINSICS)) + [20, 0]).tolist(),
                    }
                )
            ]
        },
        r"lies up to 20 px from joints_px when projected; check unit",
    ),
    "nothing": ({"images": [entry(left={}, right=None)]}, "neither a box .* nor two joints"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_its_place(tmp_path, name):
    changes, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        one_example(tmp_path / "raw", **changes)
    # The same through the command line: one sentence, no traceback.
    assert prepare(["custom", "--raw", str(tmp_path / "raw"), "--data_dir", str(tmp_path), "--num_processes", "1"]) == 1


HAND = load_hand().models[0].joints.rest_m.astype(float)


def hand_cam(hand: int = 0, at: tuple[float, float, float] = (0.0, 0.0, 0.6)) -> np.ndarray:
    """The embedded hand before the camera."""
    return (HAND - HAND.mean(0)) * ([1, 1, 1] if hand == 0 else [-1, 1, 1]) + at


def right_3d(joints: np.ndarray, **changes: Any) -> dict[str, Any]:
    return entry(right={"joints_cam": joints.tolist()}, left=None, **changes)


def right_2d(joints: np.ndarray, **changes: Any) -> dict[str, Any]:
    return entry(right={"joints_px": joints.tolist()}, left=None, **changes)


HAND_PX = project(hand_cam(), np.array(INTRINSICS))


@pytest.mark.parametrize(
    ("scale", "unit", "advice"),
    [(1000, "m", "as mm"), (100, "m", "as cm"), (39.4, "m", "as inches"), (3.28, "m", "as feet"), (1, "mm", "as m ")],
)
def test_a_hand_of_another_size_than_hands_is_refused_with_the_unit_that_fits(tmp_path, scale, unit, advice):
    with pytest.raises(ValueError, match=rf"right hand: joints_cam: .* apart, where 0.03 to 0.4 m .*{advice}"):
        one_example(tmp_path, right_3d(scale * hand_cam()), unit=unit)
    for sound in (0.5, 1.0, 1.5):
        one_example(tmp_path, right_3d(sound * hand_cam()))


MISSING = {
    "shares": (right_2d(HAND_PX / [160, 120]), "within .* px of each other; shares of the photo's size"),
    "a point": (right_2d(0 * HAND_PX + 50), "within 0 px of each other; check the unit"),
    "two zeros": (
        right_2d(np.where(np.arange(21)[:, None] < 2, 0, HAND_PX)),
        "2 joints at exactly 0, 0; write null",
    ),
    "one zero": (right_2d(np.where(np.arange(21)[:, None] < 1, 0, HAND_PX)), "1 joints at exactly 0, 0; write null"),
    "another photo": (right_2d(HAND_PX + 200), "all 21 joints lie outside of the photo of 160 x 120 px"),
    "box beside": (right_2d(HAND_PX, box=[0, 0, 10, 10]), "21 of 21 joints lie outside of the box"),
    "box outside": (right_2d(HAND_PX, box=[200, 0, 300, 10]), r"lies outside of the photo of 160 x 120 px"),
    "box as size": (right_2d(HAND_PX, box=[50, 40, 40, 50]), r"x, y, width and height would be \[50.0, 40.0, 90.0, 90"),
}


@pytest.mark.parametrize("name", MISSING)
def test_labels_that_miss_the_photo_are_refused(tmp_path, name):
    image, message = MISSING[name]
    with pytest.raises(ValueError, match=message):
        one_example(tmp_path, image)


def test_a_joint_in_the_corner_and_a_hand_half_outside_are_sound(tmp_path):
    corner = HAND_PX - HAND_PX[0]
    inside = np.abs(corner)
    one_example(tmp_path, right_2d(inside))
    example = CustomDataset(write(tmp_path, right_2d(HAND_PX + [0, 40])))
    outside = 21 - int(example.example("train", 0)["joints_in_image"].sum())
    assert 0 < outside < 10
    assert example.notes == [f"{outside} of the 21 joints in 1 photos looked at lie outside of their photo"]


def test_a_dataset_whose_joints_mostly_lie_outside_is_refused(tmp_path):
    with pytest.raises(ValueError, match="photos of another size, or made before their EXIF turn"):
        CustomDataset(write(tmp_path, right_2d(HAND_PX + [90, 0])))


def bent_hand() -> np.ndarray:
    """Joints of a right hand that bends its fingers, before the camera."""
    pose = finger_pose(0.7 * np.deg2rad(LIMITS_DEG)[..., 1]).astype(float)
    return load_hand().models[0].joints_m(pose, np.zeros(10), np.zeros(3)) * [1, 1, -1] * [1, -1, 1] + [0, 0, 0.6]


@pytest.mark.parametrize(("side", "message"), [("right", None), ("left", "fingers of 12 of 12 hands .* swapped, or")])
def test_sides_as_in_a_mirror_are_told_by_the_way_in_which_fingers_bend(tmp_path, side, message):
    labels = {"joints_cam": bent_hand().tolist()}
    hands = {"right": None, "left": None, side: labels}
    images = [entry(split=f"s{number}", box=[0, 0, 160, 120], **hands) for number in range(12)]
    with pytest.raises(ValueError, match=message) if message else contextlib.nullcontext():
        CustomDataset(write(tmp_path, *images))


ODD = {
    "split all": (entry(split="all"), "but not 'all'"),
    "long sequence": (entry(sequence="a" * 201), "sequence must be a text of up to 200"),
    "list as sequence": (entry(sequence=["a"]), "sequence must be a text"),
    "text as number": (right_2d(HAND_PX, box=["1", 2, 100, 100]), "box holds what is no number"),
    "boolean": (entry(left={"joints_px": [[True, 5.0]] * 21}), "joints_px: thumb4 holds what is no number"),
    "not a file": (entry(file=["a.png"]), "isn't the name of a file"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_are_one_sentence(tmp_path, name):
    image, message = ODD[name]
    with pytest.raises(ValueError, match=message):
        one_example(tmp_path, image)


def test_odd_documents_are_one_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"unit='\[\]' \(of 3D joints\) must be one of"):
        one_example(tmp_path, unit=[])
    labels = tmp_path / "labels.json"
    text = labels.read_text()
    labels.write_text(text.replace('"file"', '"file": "b.png", "file"', 1))
    with pytest.raises(ValueError, match="the name 'file' stands twice in one place"):
        CustomDataset(tmp_path)
    labels.write_text("\ufeff" + text.replace('"unit": []', '"unit": "m"').replace("{", "{\r\n", 1))
    assert CustomDataset(tmp_path).splits == {"train": 1}  # a BOM and line ends of Windows


def test_long_names_have_keys_that_differ(tmp_path):
    names = [f"{'手' * 40}{number}.png" for number in range(2)]
    keys = [example_key("train", name) for name in names]
    assert len(set(keys)) == 2
    assert all(
        len(key.encode()) <= KEY_BYTES and key.endswith(name[-8:]) for key, name in zip(keys, names, strict=True)
    )
    assert example_key("train", "a.png") == "train/a.png"
    assert example_key("val", names[0]) != keys[0]


def test_bad_photos_are_left_out_and_all_named(tmp_path, capsys):
    raw = write(tmp_path / "raw", *(entry(file=f"{name}.png") for name in "abcd"), entry(file="e.jpg"))
    whole = (raw / "a.png").read_bytes()
    (raw / "b.png").write_bytes(whole[: len(whole) // 2])
    (raw / "c.png").write_bytes(b"\0\0\0\x18ftypheic" + whole)
    (raw / "d.png").write_bytes(b"")
    jpeg = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
    (raw / "e.jpg").write_bytes(jpeg + b"a phone's own data, \xff\xda\xff and so on")
    assert prepare(["custom", "--raw", str(raw), "--data_dir", str(tmp_path), "--num_processes", "1"]) == 0
    said = capsys.readouterr().out
    for sentence in ("b.png is truncated", "c.png is a HEIC or AVIF image; convert it", "d.png is not a complete"):
        assert sentence in said
    assert "partial: custom: train lacks 2 of 5 examples: image damaged" in said
    assert len(open_split(DataConfig(name="custom", data_dir=str(tmp_path)), "train")) == 2
    (raw / "e.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    with pytest.raises(UnusableExample, match=r"e\.jpg is truncated"):
        CustomDataset(raw).example("train", 4)


def test_a_replaced_photo_is_noticed(tmp_path, capsys):
    raw = write(tmp_path / "raw", entry())
    arguments = ["custom", "--raw", str(raw), "--data_dir", str(tmp_path), "--num_processes", "1"]
    assert [prepare(arguments), prepare(arguments)] == [0, 0]
    cv2.imwrite(str(raw / "a.png"), np.full((120, 160, 3), 91, np.uint8))
    assert prepare(arguments) == 1
    assert "made with other settings (photos_sha256" in capsys.readouterr().err


def test_links_are_followed_where_the_user_says_so(tmp_path):
    raw = write(tmp_path / "raw", entry())
    (raw / "a.png").rename(tmp_path / "elsewhere.png")
    (raw / "a.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(ValueError, match="a link that leads outside of its folder; --follow_links allows it"):
        CustomDataset(raw)
    CustomDataset(raw, follow_links=True).example("train", 0)
    (raw / "a.png").unlink()
    (raw / "a.png").symlink_to("a.png")
    with pytest.raises(ValueError, match=r"a\.png"):
        CustomDataset(raw).example("train", 0)
    (raw / "a.png").unlink()
    os.mkfifo(raw / "a.png")
    with pytest.raises(UnusableExample, match=r"a\.png can't be read: it is no ordinary file"):
        CustomDataset(raw).example("train", 0)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.long
def test_the_walk_through_works_as_written(tmp_path):
    """In an empty folder that has the project's files in it, as a clone has."""
    for path in REPOSITORY.iterdir():
        if path.suffix == ".py" or path.name in ("configs", "input_pipeline", "occrobnet_jax"):
            (tmp_path / path.name).symlink_to(path)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    lines = [["python", "-c", block] for block in blocks("python")]
    lines += [shlex.split(line) for block in blocks("sh") for line in block.splitlines()]
    assert [line[1].split(".")[0] for line in lines] == ["-c", "-m", "train", "eval"]
    for line in lines:
        done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG_S)
        assert done.returncode == 0, f"{shlex.join(line)}\n{done.stderr}"
    metrics = json.loads((tmp_path / "runs/my_hands/eval/val/metrics.json").read_text())
    assert (metrics["num_examples"], metrics["num_joints"]) == (4, 4 * 20)
    assert metrics["error_2d_px"] > 0
    assert "training" in (tmp_path / "runs/my_hands/eval/val/report.html").read_text()


def test_a_guessed_camera_looks_through_the_middle_of_the_pixels(tmp_path):
    example = one_example(tmp_path, entry(intrinsics=None, left=None))
    assert example["intrinsics"][:2, 2].tolist() == [79.5, 59.5]
