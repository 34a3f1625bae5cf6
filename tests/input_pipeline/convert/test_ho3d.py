"""HO-3D and H2O-3D from generated official trees; real frame lists where they are at hand."""

import functools
import gzip
import json
import pickle
import shutil

import cv2
import numpy as np
import pytest

from input_pipeline.convert.ho3d.files import FrameFiles
from input_pipeline.convert.ho3d.h2o3d import H2O3D
from input_pipeline.convert.ho3d.held_out import validation_sequences
from input_pipeline.convert.ho3d.ho3d import HO3D
from input_pipeline.convert.ho3d.labels import SYMMETRIES, mano_parameters
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import validate_example
from occrobnet_jax.files.readers import decode_image, decode_segmentation
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from occrobnet_jax.skeleton import INTERHAND, LEFT, MIDDLE_BASE, RIGHT, WRIST
from tests.official_ho3d import HIDDEN_JOINT, HO3D_NAMES, WITHOUT_FLAGS, write_h2o3d, write_ho3d
from tests.support import python2_pickle
from tests.support.fake_datasets import rotation_matrix
from tests.support.marks import CORNERS_REST_M, joint_colors

FLIP = np.array([1.0, -1.0, -1.0])  # OpenGL's axes to OpenCV's


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    root = tmp_path_factory.mktemp("official")
    return {
        "v2": write_ho3d(root / "v2", "v2", 3, with_ground_truth=True),
        "v3": write_ho3d(root / "v3", "v3", 3),
        "h2o3d": write_h2o3d(root / "h2o3d", 3),
    }


@pytest.fixture(scope="module")
def sources(trees):
    return {"v2": HO3D(trees["v2"], "v2"), "v3": HO3D(trees["v3"], "v3"), "h2o3d": H2O3D(trees["h2o3d"])}


@functools.cache
def examples(source, split):
    """Converting takes long under the tests' type checks: once each."""
    return [source.example(split, index) for index in range(source.splits[split])]


def meta_of(raw, example):
    _, split, sequence, frame = example["key"].split("/")
    path = raw / {"val": "train"}.get(split, split) / sequence / "meta" / f"{frame}.pkl"
    return pickle.loads(path.read_bytes(), encoding="latin1")


def test_all_examples_are_valid(sources):
    for source in sources.values():
        keys = [example["key"] for split in source.splits for example in examples(source, split)]
        assert len(set(keys)) == sum(source.splits.values())
        for split in source.splits:
            for example in examples(source, split):
                validate_example(example)


def test_versions_are_datasets_of_their_own(sources, trees):
    assert [source.name for source in sources.values()] == ["ho3d_v2", "ho3d_v3", "h2o3d"]
    assert sources["v2"].example("train", 0)["image"][:4] == b"\x89PNG"
    assert sources["v3"].example("train", 0)["image"][:2] == b"\xff\xd8"


def test_frames_follow_the_official_lists_and_no_other_files(sources, trees):
    for name, split in (("v2", "train"), ("v3", "evaluation"), ("h2o3d", "evaluation")):
        lines = (trees[name] / f"{split}.txt").read_text().split()
        found = examples(sources[name], split)
        held_out = {line for line in lines if split == "train" and line[:2] == "SB"}
        lines = [line for line in lines if line not in held_out]
        assert ["/".join(example["key"].split("/")[2:]) for example in found] == lines
        rows = list(range(len(lines))) if split == "evaluation" else [-1] * len(lines)
        assert [int(example["evaluation_row"]) for example in found] == rows


def test_joints_lie_on_dots_of_their_own_color(sources):
    """Axes, units, joint order and camera are right if each joint's projection meets its own colour."""
    for example in examples(sources["v2"], "train"):
        pixels = decode_image(example["image"], name="it").astype(int)
        px = np.rint(project(example["joints_cam_m"], example["intrinsics"])).astype(int)
        distance = np.linalg.norm(px[RIGHT][:, None] - px[RIGHT], axis=-1)
        clear = [joint for joint in range(21) if (distance[joint] < 7).sum() == 1]
        assert len(clear) > 5
        for joint in clear:
            assert pixels[px[RIGHT, joint, 1], px[RIGHT, joint, 0]].tolist() == joint_colors()[RIGHT, joint].tolist()


def test_joints_are_the_pickles_by_name(sources, trees):
    for name, split in (("v3", "train"), ("h2o3d", "val"), ("h2o3d", "train")):
        for example in examples(sources[name], split):
            record = meta_of(trees[name], example)
            for hand, side in ((RIGHT, "right"), (LEFT, "left")):
                key = "handJoints3D" if name == "v3" else f"{side}HandJoints3D"
                if name == "v3" and hand == LEFT:
                    assert not example["joints_annotated"][LEFT].any()
                    continue
                named = dict(zip(HO3D_NAMES, record[key] * FLIP, strict=True))
                for joint, joint_name in enumerate(INTERHAND):
                    if example["joints_annotated"][hand, joint]:
                        np.testing.assert_allclose(example["joints_cam_m"][hand, joint], named[joint_name], atol=1e-6)
                length = np.linalg.norm(
                    example["joints_cam_m"][hand, WRIST] - example["joints_cam_m"][hand, MIDDLE_BASE]
                )
                assert 0.05 < length < 0.1


def test_validity_flags_are_permuted_and_optional(sources):
    name = HO3D_NAMES[HIDDEN_JOINT]
    for split in ("train", "val"):
        for example in examples(sources["h2o3d"], split):
            hidden = [] if example["sequence"] == WITHOUT_FLAGS else [INTERHAND.index(name)]
            assert np.flatnonzero(example["joints_annotated"][RIGHT] == 0).tolist() == hidden
            assert example["joints_annotated"][LEFT].all()
            assert not example["joints_cam_m"][RIGHT, hidden].any()


def test_objects_stand_where_their_corners_project(sources, trees):
    for name in sources:
        for example in examples(sources[name], "train"):
            record = meta_of(trees[name], example)
            corners = CORNERS_REST_M @ example["object_rotation"].T + example["object_translation_m"]
            np.testing.assert_allclose(corners, record["objCorners3D"] * FLIP, atol=1e-6)
            assert example["object_id"] == int(record["objName"].split("_")[0])
            symmetric = dict.fromkeys((3, 4, 6, 10, 21), "half_turn_z") | {24: "any_turn_z"}
            assert OBJECT_SYMMETRY[example["object_symmetry"]] == symmetric.get(int(example["object_id"]), "none")


def test_mano_parameters_pose_the_same_hand_in_our_axes():
    """For any hand that turns about its root joint: posing and then changing axes is posing in the new axes."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        root, point, pose, translation = rng.normal(size=3), rng.normal(size=3), rng.normal(size=48), rng.normal(size=3)
        joints = rng.normal(size=(21, 3))
        joints[HO3D_NAMES.index("wrist")] = root + translation
        expected = FLIP * (rotation_matrix(pose[:3]) @ (point - root) + root + translation)
        turned, moved = mano_parameters(pose, translation, joints)
        np.testing.assert_allclose(rotation_matrix(turned[:3]) @ (point - root) + root + moved, expected, atol=1e-9)
        np.testing.assert_array_equal(turned[3:], pose[3:])


def test_hand_parameters_are_stored(sources, trees):
    for example in examples(sources["h2o3d"], "train"):
        record = meta_of(trees["h2o3d"], example)
        assert example["hand_pose_known"].tolist() == [1, 1]
        np.testing.assert_allclose(example["hand_shape"], np.stack([record["handBeta"]] * 2), atol=1e-6)
        np.testing.assert_allclose(example["hand_pose"][LEFT, 3:], record["leftHandPose"][3:], atol=1e-6)
    (example, *_) = examples(sources["v2"], "train")
    assert example["hand_pose_known"].tolist() == [1, 0]
    assert not example["hand_pose"][LEFT].any()


def test_boxes_hold_hands_and_object(sources):
    for name in sources:
        for split in sources[name].splits:
            for example in examples(sources[name], split):
                corners = CORNERS_REST_M @ example["object_rotation"].T + example["object_translation_m"]
                points = [project(corners, example["intrinsics"].astype(float))]
                boxes = example["hand_box_px"][example["hand_present"] > 0]
                points += [boxes[:, :2], boxes[:, 2:]]
                shown = np.concatenate(points)
                np.testing.assert_allclose(example["box_px"], [*shown.min(0), *shown.max(0)], atol=0.01)
                assert (boxes[:, 2:] - boxes[:, :2] > 10).all()


def test_evaluation_knows_wrists_only_unless_the_ground_truth_is_there(sources, trees):
    truth = json.loads((trees["v2"] / "evaluation_xyz.json").read_text())
    for name in sources:
        for row, example in enumerate(examples(sources[name], "evaluation")):
            record = meta_of(trees[name], example)
            wrist = record["rightHandJoints3D" if name == "h2o3d" else "handJoints3D"]
            np.testing.assert_allclose(example["root_cam_m"][RIGHT], wrist * FLIP, atol=1e-6)
            assert example["root_known"].tolist() == ([1, 1] if name == "h2o3d" else [1, 0])
            assert not example["hand_pose_known"].any()
            assert bool(example["labels_complete"]) == (name == "v2")
            assert bool(example["joints_annotated"].any()) == (name == "v2")
            if name == "v2":
                thumb_tip = np.array(truth[row][16]) * FLIP
                np.testing.assert_allclose(
                    example["joints_cam_m"][RIGHT, INTERHAND.index("thumb4")], thumb_tip, atol=1e-6
                )


def test_segmentations_have_the_object_only(sources, trees):
    found = [example for source in sources.values() for example in examples(source, "train")]
    assert any(not example["segmentation"] for example in found)
    for example in found:
        if example["segmentation"]:
            labels = decode_segmentation(example["segmentation"], name="it")
            assert labels.shape == (120, 160)
            assert set(np.unique(labels)) == {0, 3}
            corners = CORNERS_REST_M @ example["object_rotation"].T + example["object_translation_m"]
            hull = cv2.convexHull(project(corners, example["intrinsics"].astype(float)).astype(np.float32) / 4)
            rows, columns = np.nonzero(labels)
            inside = [
                cv2.pointPolygonTest(hull, (float(x), float(y)), True) > -1.5
                for x, y in zip(columns, rows, strict=True)
            ]
            assert all(inside)


def repainted(raw, change, rows=slice(None)):
    """The tree with some of its segmentations changed."""
    for path in sorted(raw.glob("train/*/segr/*.png"))[rows]:
        cv2.imwrite(str(path), change(cv2.imread(str(path))))
    return raw


@pytest.mark.parametrize(("version", "other", "color"), [("v2", "v3", "green"), ("v3", "v2", "blue")])
def test_segmentations_of_the_other_version_are_refused_by_name(tmp_path, version, other, color):
    raw = write_ho3d(tmp_path / version, version, 2)
    shutil.rmtree(raw / "train")
    shutil.copytree(write_ho3d(tmp_path / other, other, 2) / "train", raw / "train")
    with pytest.raises(ValueError, match=rf"not those of ho3d_{version}'s train.*; the object is {color} here"):
        HO3D(raw, version)


def test_masks_of_hands_are_refused_and_those_of_a_few_odd_frames_are_not(tmp_path):
    def exchange(colors):  # the object's green and the left hand's red
        return colors[..., [0, 2, 1]]

    raw = write_h2o3d(tmp_path / "raw", 4)
    H2O3D(repainted(raw, exchange, slice(-1, None)))
    with pytest.raises(ValueError, match=r"not those of h2o3d's val, whose object is green.*the object is red here"):
        H2O3D(repainted(raw, exchange, slice(6)))


def test_label_maps_in_place_of_colors_are_refused(tmp_path):
    raw = write_h2o3d(tmp_path / "raw", 2)
    with pytest.raises(ValueError, match="no colour is bright anywhere; the object is in no colour here"):
        H2O3D(repainted(raw, lambda colors: np.uint8(colors > 0)))


def test_validation_takes_whole_scenes_of_a_tenth_at_least(sources):
    frames = [(f"{scene}{camera}", f"{n:04d}") for scene in "ABCDEFGHIJKLMN" for camera in range(5) for n in range(7)]
    chosen = validation_sequences(frames)
    assert len({name[0] for name in chosen}) == 2  # 2 of 14 scenes are the first to have a tenth
    assert len(chosen) == 10
    assert chosen == validation_sequences(reversed(frames))
    assert len(validation_sequences([(f"{scene}1", "0000") for scene in "ABCDEFGHIJ"])) == 1  # exactly a tenth
    assert validation_sequences([("ONE1", "0000"), ("ONE2", "0000")]) == set()
    assert chosen == {f"{scene}{camera}" for scene in {name[0] for name in chosen} for camera in range(5)}
    for name, expected in (("v2", {"SB10"}), ("v3", {"SB10"}), ("h2o3d", {"BA10", "BA11"})):
        held_out = {example["sequence"] for example in examples(sources[name], "val")}
        assert held_out == expected
        assert not held_out & {example["sequence"] for example in examples(sources[name], "train")}
        assert all(example["labels_complete"] for example in examples(sources[name], "val"))


def test_a_mixture_of_cameras_is_told_by_the_name(sources):
    cameras = {example["sequence"]: example["camera"] for example in examples(sources["v2"], "train")}
    cameras |= {example["sequence"]: example["camera"] for example in examples(sources["v2"], "val")}
    assert cameras == {"ABF10": "0", "ABF11": "1", "SM2": "", "SB10": "0"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: dict.fromkeys(record), "0000.pkl has no annotation: objRot is None"),
        (lambda record: {k: v for k, v in record.items() if k != "camMat"}, "0000.pkl has no entry camMat"),
        (lambda record: record | {"handJoints3D": None}, "0000.pkl: handJoints3D is a NoneType"),
        (lambda record: record | {"handPose": np.zeros(45)}, r"0000.pkl: handPose has the shape \(45,\)"),
        (lambda record: record | {"objName": "mug"}, "0000.pkl: objName is 'mug' where"),
    ],
)
def test_frames_that_cannot_be_used_name_file_and_key(tmp_path, change, message):
    raw = write_ho3d(tmp_path, "v3", frames=1)
    source = HO3D(raw, "v3")
    first = source.example("train", 0)
    path = raw / "train" / first["sequence"] / "meta" / "0000.pkl"
    path.write_bytes(python2_pickle.dumps(change(meta_of(raw, first))))
    with pytest.raises(UnusableExample, match=message):
        source.example("train", 0)
    path.unlink()
    with pytest.raises(UnusableExample, match=r"0000.pkl can't be read"):
        source.example("train", 0)


def test_missing_photos_and_malicious_metadata_are_refused(tmp_path):
    raw = write_ho3d(tmp_path, "v2", frames=1)
    sequence = HO3D(raw, "v2").example("evaluation", 0)["sequence"]
    files = FrameFiles(raw, "evaluation", sequence, "0000")
    next(raw.glob(f"evaluation/{sequence}/rgb/0000.*")).unlink()
    with pytest.raises(UnusableExample, match=r"rgb/0000.* can't be read"):
        files.image()
    files.meta_path.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    with pytest.raises(UnusableExample, match=r"asks for 'os.system'"):
        files.meta()


def test_absent_splits_and_wrong_lists_are_named(tmp_path, trees):
    raw = write_ho3d(tmp_path / "v3", "v3", frames=1)
    shutil.rmtree(raw / "train")
    assert HO3D(raw, "v3").absent_splits == ("train",)
    for content, message in (
        ("SM1/0000 ../../etc/0001\n", r"line 2 is '../../etc/0001'"),
        ("SM1/0000\nSM1/0000\n", "names 1 frames twice"),
        ("", "is empty"),
    ):
        (raw / "evaluation.txt").write_text(content)
        with pytest.raises(ValueError, match=f"evaluation.txt.*{message}"):
            HO3D(raw, "v3")
    shutil.rmtree(raw / "evaluation")
    with pytest.raises(ValueError, match=r"holds no split: train/ beside train.txt"):
        HO3D(raw, "v3")
    (trees["v2"] / "evaluation_xyz.json").write_text("[[[1, 2, 3]]]")
    with pytest.raises(ValueError, match=r"evaluation_xyz.json .*shape \(1, 1, 3\) where \(6, 21, 3\)"):
        HO3D(trees["v2"], "v2")


def test_the_real_lists_have_the_published_counts(tmp_path, fixtures):
    for split in ("train", "evaluation"):
        (tmp_path / split).mkdir()
    (tmp_path / "train.txt").write_bytes(gzip.decompress((fixtures / "ho3d_v2" / "train.txt.gz").read_bytes()))
    shutil.copy(fixtures / "ho3d_v2" / "evaluation.txt", tmp_path)
    source = HO3D(tmp_path, "v2")
    assert source.splits == {"train": 58_445, "val": 7_589, "evaluation": 11_524}
    assert source.splits["train"] + source.splits["val"] == 66_034
    assert source.settings["validation_sequences"] == ["SB10", "SB12", "SB14", "SS1", "SS2", "SS3"]
    with pytest.raises(ValueError, match=r"train.txt names 66,034 frames: that is HO-3D v2; pass v2"):
        HO3D(tmp_path, "v3")


POSE_VALID = ("poseValidRight", "poseValidLeft")


@pytest.mark.parametrize("hand", [RIGHT, LEFT])
def test_a_pose_of_which_one_number_is_not_valid_is_unknown(tmp_path, hand):
    raw = write_h2o3d(tmp_path, 1)
    source = H2O3D(raw)
    first = source.example("train", 0)
    path = raw / "train" / first["sequence"] / "meta" / "0000.pkl"
    flags = np.ones(48)
    flags[7] = 0
    valid = {"poseValidRight": np.ones(48), "poseValidLeft": np.ones(48)} | {POSE_VALID[hand]: flags}
    path.write_bytes(python2_pickle.dumps(meta_of(raw, first) | valid))
    assert source.example("train", 0)["hand_pose_known"].tolist() == [hand != RIGHT, hand != LEFT]


def test_symmetries_are_those_of_keypoint_transformer_s_loss():
    assert SYMMETRIES == {
        **{3: "half_turn_z", 4: "half_turn_z", 6: "half_turn_z", 10: "half_turn_z", 21: "half_turn_z"},
        24: "any_turn_z",
    }
