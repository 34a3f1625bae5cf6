"""What other programs say about examples, as columns of records."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.skeleton import LEFT, RIGHT, WRIST

SAME_POINT_M = 1e-9


@dataclasses.dataclass(frozen=True)
class Poses:
    """Poses in metres, OpenCV axes and our joint order; NaN for what a program doesn't say."""

    joints_m: Float[np.ndarray, "n 2 21 3"]  # camera frame, or relative to a point that both hands share
    step_m: Float[np.ndarray, "n 3"]  # left wrist minus right wrist
    hand_probability: Float[np.ndarray, "n 2"]
    object_rotation: Float[np.ndarray, "n 3 3"]
    object_translation_m: Float[np.ndarray, "n 3"]  # from the right wrist
    vertices_m: Float[np.ndarray, "n h 778 3"] | None = None  # the frame of the joints


def poses_from(joints_m: Float[np.ndarray, "n 2 21 3"], **known: Any) -> Poses:
    """Return poses of which only the joints must be known.

    The step between the hands is that of the joints, unless all wrists lie at one point: then each hand is relative to
    its own wrist, and nothing is said about the step.
    """
    count = len(joints_m)
    step = joints_m[:, LEFT, WRIST] - joints_m[:, RIGHT, WRIST]
    unknown: dict[str, Any] = {
        "step_m": step if (np.abs(step) > SAME_POINT_M).any() else np.full((count, 3), np.nan),
        "hand_probability": np.full((count, 2), np.nan),
        "object_rotation": np.full((count, 3, 3), np.nan),
        "object_translation_m": np.full((count, 3), np.nan),
    }
    return Poses(joints_m, **(unknown | known))


def predicted_columns(poses: Poses) -> Records:
    """Return the `predicted_*` columns of poses that have no 2D points and no tokens."""
    count, wrists = len(poses.joints_m), poses.joints_m[:, :, WRIST]
    records: Records = {
        "joints_rel_m": poses.joints_m - wrists[:, :, None],
        "joints_px": np.full((count, 2, 21, 2), np.nan),
        "joints_cam_m": poses.joints_m,
        "root_cam_m": wrists,
        "root_fit_error_px": np.zeros((count, 2)),
        "relative_translation_m": poses.step_m,
        "hand_probability": poses.hand_probability,
        "visibility_probability": np.full((count, 2, 21), np.nan),
        "keypoints_px": np.zeros((count, 0, 2)),
        "keypoint_valid": np.zeros((count, 0), bool),
        "keypoint_class": np.zeros((count, 0), np.int32),
        "object_rotation": poses.object_rotation,
        "object_translation_m": poses.object_translation_m,
    }
    if poses.vertices_m is not None:
        hands = poses.vertices_m.shape[1]
        records["vertices_rel_m"] = poses.vertices_m - wrists[:, :hands, None]
    return {f"predicted_{name}": values for name, values in records.items()}


def labels_of_right_hands(joints_m: Float[np.ndarray, "n 2 21 3"]) -> Records:
    """Return label columns where right hands are known and nothing else is."""
    count = len(joints_m)
    right = np.tile([True, False], (count, 1))
    return {
        "joints_cam_m": joints_m,
        "joint_annotated": np.repeat(right[:, :, None], joints_m.shape[2], axis=2),
        "hand_present": right,
        "hand_present_known": np.ones(count, bool),
        "root_cam_m": joints_m[:, :, WRIST],
        "root_known": right,
        "object_known": np.zeros(count, bool),
        "object_id": np.zeros(count, np.int32),
        "example_index": np.arange(count),
        "evaluation_row": np.arange(count),
    }
