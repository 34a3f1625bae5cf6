import numpy as np
import pytest

from input_pipeline.synthetic.contact import self_penetration_m
from input_pipeline.synthetic.gestures import GESTURES, gesture_angles, natural_angles
from occrobnet_jax.hands.embedded_hand import LIMITS_DEG, Pose
from occrobnet_jax.skeleton import INTERHAND, RIGHT

TIPS = [INTERHAND.index(f"{finger}4") for finger in ("thumb", "index", "middle", "ring", "pinky")]


def _joints(angles):
    return Pose(RIGHT, angles, np.zeros(10, np.float32), np.zeros(3)).joints_m


@pytest.mark.parametrize("name", GESTURES)
def test_gestures_are_possible(name):
    assert self_penetration_m(_joints(gesture_angles(name))) < 0.008


def test_gestures_look_as_they_are_called():
    reach = {name: np.linalg.norm(_joints(gesture_angles(name))[TIPS], axis=-1) for name in GESTURES}
    assert (reach["fist"][1:] < 0.6 * reach["open"][1:]).all()
    assert reach["pointing"][1] > 0.95 * reach["open"][1]
    ring = _joints(gesture_angles("ring"))[TIPS]
    assert np.linalg.norm(ring[0] - ring[1]) < 0.03


def test_poses_stay_within_limits_and_fill_them():
    drawn = np.stack([natural_angles(np.random.default_rng(k)) for k in range(60)])
    lowest, highest = np.deg2rad(LIMITS_DEG[..., 0]), np.deg2rad(LIMITS_DEG[..., 1])
    assert (drawn >= lowest - 1e-9).all()
    assert (drawn <= highest + 1e-9).all()
    used = (drawn.max(0) - drawn.min(0)) / (highest - lowest)
    assert used.min() > 0.7
