"""Hands posed by a model before a camera, and their parameters: for examples whose fits are true."""

import cv2
import numpy as np

from occrobnet_jax.hands.embedded_hand import LIMITS_DEG, finger_pose
from occrobnet_jax.hands.hand_model import HandModel, mirrored_pose
from occrobnet_jax.skeleton import LEFT, MIDDLE_BASE, RIGHT, WRIST
from tests.support.fake_datasets import rotation_matrix
from tests.support.official_frames import WRISTS_M

Parameters = tuple[np.ndarray, np.ndarray, np.ndarray]
UPRIGHT = np.diag([1.0, -1.0, -1.0])  # fingers that point along y, to the top of the picture


def random_parameters(rng: np.random.Generator, models: tuple[HandModel, HandModel], spread: float) -> list[Parameters]:
    """Pose (48, flat mean), shape (10, of one person) and translation of both hands, side by side before a camera.

    Args:
        rng: draws them.
        models: right and left.
        spread: of the shape numbers.
    """
    shape = rng.uniform(0, spread, 10)
    return [_one_hand(rng, models[hand], hand, shape) for hand in (RIGHT, LEFT)]


def _one_hand(rng: np.random.Generator, model: HandModel, hand: int, shape: np.ndarray) -> Parameters:
    low, high = np.moveaxis(np.deg2rad(LIMITS_DEG), -1, 0)
    pose = finger_pose(0.6 * rng.uniform(low, high)).astype(np.float64)
    pose = mirrored_pose(pose) if hand == LEFT else pose
    turn = rotation_matrix(rng.uniform(-0.6, 0.6, 3)) @ UPRIGHT @ _fingers_along_y(model)
    pose[:3] = rotation_vector(turn)
    pivot_m = model.pivots_m[0] + shape @ model.shape_pivots_m[:, 0]
    return pose, shape, WRISTS_M[hand] - pivot_m


def _fingers_along_y(model: HandModel) -> np.ndarray:
    """The turn about z after which the middle finger points along y."""
    x, y, _ = model.joints.rest_m[MIDDLE_BASE] - model.joints.rest_m[WRIST]
    return rotation_matrix(np.array([0.0, 0.0, np.arctan2(x, y)]))


def rotation_vector(turn: np.ndarray) -> np.ndarray:
    """Axis-angle of a rotation matrix."""
    return cv2.Rodrigues(turn)[0][:, 0]
