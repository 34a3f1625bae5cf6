"""What is said of a labelled hand, where the answer is known."""

import json
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import INTERHAND, LEFT, OPENPOSE, RIGHT, permutation
from tests.support.fake_datasets import fake_example
from tools.photo_accuracy import (
    TONES,
    Label,
    LabelledPhoto,
    Outcome,
    accuracy,
    dataset_photos,
    labelled_photos,
    outcomes,
    report,
    tone,
)

JOINTS_PX = np.random.default_rng(0).uniform(20, 120, (21, 2))
SIDE_PX = np.ptp(JOINTS_PX, axis=0).max()
LABEL = Label("right", JOINTS_PX)


def prediction(hand: int, joints_px: np.ndarray) -> types.SimpleNamespace:
    """One hand and no other."""
    both = np.zeros((2, 21, 2))
    both[hand] = joints_px
    return types.SimpleNamespace(joints_px=both, hand_probability=np.eye(2)[hand])


def test_errors_are_shares_of_the_box_joint_by_joint():
    moved = JOINTS_PX.copy()
    moved[4, 0] += 0.3 * SIDE_PX
    moved[9, 1] += 0.1 * SIDE_PX
    (said,) = outcomes([LABEL], [prediction(RIGHT, moved)])
    assert said.error == pytest.approx(0.4 / 21)
    assert said.right_joints == pytest.approx(20 / 21)
    assert said.is_side_right


def test_the_hand_that_overlaps_most_is_compared_whatever_its_side():
    (said,) = outcomes([LABEL], [prediction(RIGHT, JOINTS_PX + 60), prediction(LEFT, JOINTS_PX + 1)])
    assert said.error == pytest.approx(np.sqrt(2) / SIDE_PX)
    assert not said.is_side_right


def test_a_hand_that_is_not_found_has_no_joint_right():
    for predictions in ([], [prediction(RIGHT, JOINTS_PX + 500)]):
        (said,) = outcomes([LABEL], predictions)
        assert np.isnan(said.error)
        assert (said.right_joints, said.is_side_right) == (0, False)
    (found,) = outcomes([LABEL], [prediction(RIGHT, JOINTS_PX)])
    assert (
        "2 hands, found 0.500, box IoU 1.00, median error 0.000 of the box, PCK@0.2 0.500, sides right 1.000"
        in report("homes", [said, found])
    )


def test_joints_without_a_label_count_nowhere():
    joints_px = JOINTS_PX.copy()
    joints_px[5] = np.nan
    moved = JOINTS_PX.copy()
    moved[5] += 500
    assert outcomes([Label("right", joints_px)], [prediction(RIGHT, moved)]) == [(0, 1, True, 1)]


def test_one_predicted_hand_is_not_two_labelled_ones():
    other = Label("left", JOINTS_PX + 5)
    found, missed = outcomes([LABEL, other], [prediction(RIGHT, JOINTS_PX)])
    assert (found.error, found.is_side_right) == (0, True)
    assert np.isnan(missed.error)
    swapped = outcomes([LABEL, other], [prediction(LEFT, JOINTS_PX + 5), prediction(RIGHT, JOINTS_PX)])
    assert swapped == [Outcome(0, 1, True, 1), Outcome(0, 1, True, 1)]


def test_labels_of_a_list_get_our_order_of_joints(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images" / name).write_bytes(name.encode())
    label = {"image": "b.jpg", "hand": "left", "set": "homes", "joints_px": JOINTS_PX.tolist()}
    (tmp_path / "labels.json").write_text(json.dumps([label, label | {"image": "a.jpg", "set": "letters"}]))
    (photo,) = labelled_photos(tmp_path / "labels.json", ["homes"])
    assert (photo.group, photo.encoded) == ("homes", b"b.jpg")
    np.testing.assert_array_equal(photo.hands[0].joints_px, JOINTS_PX[permutation(OPENPOSE, INTERHAND)])


def test_labels_of_a_dataset_are_its_joints_projected(monkeypatch):
    example = fake_example(0)
    monkeypatch.setattr("tools.photo_accuracy.open_split", lambda *_: [example])
    (photo,) = dataset_photos(Path("data"), ["fake/test"])
    assert (photo.group, photo.encoded) == ("fake/test", example["image"])
    assert [label.hand for label in photo.hands] == [
        name for name, known in zip(("right", "left"), example["joints_annotated"].any(1), strict=True) if known
    ]
    hand = ("right", "left").index(photo.hands[0].hand)
    known = example["joints_annotated"][hand] > 0
    expected = project(example["joints_cam_m"][hand][known], example["intrinsics"])
    np.testing.assert_allclose(photo.hands[0].joints_px[known], expected, rtol=1e-6)
    assert np.isnan(photo.hands[0].joints_px[~known]).all()


def test_tones_go_by_lightness_and_yellow_of_what_is_inside_the_hand():
    """Angles by hand: L* 75, b* 15 is 59 degrees; 60, 20 is 27; 30, 15 is -53."""
    for lightness, yellow, name in ((75, 15, "very light"), (60, 20, "tan"), (30, 15, "dark")):
        color = cv2.cvtColor(np.array([[[lightness, 8, yellow]]], np.float32), cv2.COLOR_LAB2RGB)[0, 0]
        photo = np.full((140, 140, 3), 255, np.uint8)
        photo[18:122, 18:122] = np.round(255 * color)
        assert tone(photo, LABEL) == name
    assert list(TONES.values()) == sorted(TONES.values(), reverse=True)


def test_hands_that_nobody_labelled_are_too_many_where_all_are_labelled():
    said = {b"a": [prediction(RIGHT, JOINTS_PX)], b"b": [prediction(RIGHT, JOINTS_PX)] * 2, b"c": [], b"d": []}
    said[b"d"] = said[b"b"]
    photos = [
        LabelledPhoto("homes", b"a", [LABEL], True),
        LabelledPhoto("homes", b"b", [LABEL], True),
        LabelledPhoto("homes", b"d", [LABEL], False),
        LabelledPhoto("homes", b"c", [], True),
        LabelledPhoto("homes", b"a", [], True),
    ]
    by_group, too_many, speed = accuracy(said.__getitem__, photos, by_tone=False)
    assert len(by_group["homes"]) == 3
    assert too_many == {"homes": [0, 1], "homes, without a hand": [0, 1]}
    assert speed > 0
