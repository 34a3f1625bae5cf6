"""What a network could say of a photo with one hand."""

import numpy as np

from occrobnet_jax.inference.predictor import Prediction

WIDTH, HEIGHT = 96, 64  # of the photo, pixels
HAND_PX = np.random.default_rng(0).uniform(-8, 8, (21, 2))  # a hand's joints around its center


def prediction(hand: int, joints_px: np.ndarray) -> Prediction:
    """One hand at those pixels, and no other."""
    both = np.zeros((2, 21, 2))
    both[hand] = joints_px
    rel_m = np.zeros((2, 21, 3))
    rel_m[hand, :, :2] = joints_px / 100
    return Prediction(
        photo=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        box_px=np.array([0.0, 0, WIDTH, HEIGHT]),
        box_source="found",
        intrinsics=np.diag([100.0, 100.0, 1.0]),
        focal_source="guess",
        joints_rel_m=rel_m,
        joints_cam_m=rel_m + np.array([0, 0, 0.5]),
        joints_px=both,
        root_fit_error_px=np.zeros(2),
        relative_translation_m=np.zeros(3),
        hand_probability=np.where(np.arange(2) == hand, 0.9, 0.0),
        visibility_probability=np.full((2, 21), 0.8),
        keypoints_px=np.zeros((0, 2)),
        keypoint_class=np.zeros(0, int),
        object_rotation=np.eye(3),
        object_translation_m=np.full(3, np.nan),
    )
