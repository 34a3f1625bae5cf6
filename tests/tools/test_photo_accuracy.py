"""What is said of a labelled hand, where the answer is known."""

import types

import numpy as np
import pytest

from occrobnet_jax.skeleton import INTERHAND, LEFT, OPENPOSE, RIGHT, permutation
from tools.photo_accuracy import outcome, report

JOINTS_PX = np.random.default_rng(0).uniform(20, 120, (21, 2))  # in OpenPose's order
SIDE_PX = np.ptp(JOINTS_PX, axis=0).max()
LABEL = {"hand": "right", "joints_px": JOINTS_PX.tolist()}


def prediction(hand: int, joints_px: np.ndarray) -> types.SimpleNamespace:
    """One hand in our order of joints, and no other."""
    ours = np.zeros((2, 21, 2))
    ours[hand] = joints_px[permutation(OPENPOSE, INTERHAND)]
    return types.SimpleNamespace(joints_px=ours, hand_probability=np.eye(2)[hand])


def test_errors_are_shares_of_the_box_joint_by_joint():
    moved = JOINTS_PX.copy()
    moved[4, 0] += 0.3 * SIDE_PX  # the tip of the thumb
    moved[9, 1] += 0.1 * SIDE_PX
    said = outcome(LABEL, [prediction(RIGHT, moved)])
    assert said.error == pytest.approx(0.4 / 21)
    assert said.right_joints == pytest.approx(20 / 21)
    assert said.is_side_right


def test_the_hand_that_overlaps_most_is_compared_whatever_its_side():
    said = outcome(LABEL, [prediction(RIGHT, JOINTS_PX + 60), prediction(LEFT, JOINTS_PX + 1)])
    assert said.error == pytest.approx(np.sqrt(2) / SIDE_PX)
    assert not said.is_side_right


def test_a_hand_that_is_not_found_has_no_joint_right():
    for predictions in ([], [prediction(RIGHT, JOINTS_PX + 500)]):
        said = outcome(LABEL, predictions)
        assert np.isnan(said.error)
        assert (said.right_joints, said.is_side_right) == (0, False)
    found = outcome(LABEL, [prediction(RIGHT, JOINTS_PX)])
    assert "2 hands, found 0.500, median error 0.000 of the box, PCK@0.2 0.500, sides right 1.000" in report(
        "homes", [said, found]
    )
