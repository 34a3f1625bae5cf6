"""Per-joint errors of 3D and 2D poses, each with the mask of the joints that count; float64, mm and px."""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.geometry.alignment import procrustes_align, root_relative
from occrobnet_jax.skeleton import LEFT, RIGHT, WRIST

MM_PER_M = 1000.0
LEAST_JOINTS_OF_PROCRUSTES = 4
"""Three points or fewer leave almost no error behind a similarity."""

Errors = tuple[Float[np.ndarray, "n 2 21"], Bool[np.ndarray, "n 2 21"]]


def root_relative_errors_mm(joints_m: Float[np.ndarray, "n 2 21 3"], records: Records) -> Errors:
    """Return distances after each hand's wrists are joined.

    Joints count where they and their hand's wrist are annotated. The wrist itself, whose error is 0 by construction,
    does not count.
    """
    difference = root_relative(joints_m.astype(np.float64)) - root_relative(_truth(records))
    annotated = records["joint_annotated"]
    valid = annotated & annotated[..., WRIST:]
    valid[..., WRIST] = False
    return _distances_mm(difference), valid


def both_hands(valid: Bool[np.ndarray, "n 2 21"]) -> Bool[np.ndarray, "n 2 21"]:
    """Return the joints of examples in which joints of either hand count."""
    has_joints: Bool[np.ndarray, "n 2"] = np.asarray(valid.any(axis=2))
    return valid & (has_joints[:, RIGHT] & has_joints[:, LEFT])[:, None, None]


def best_assignment_errors_mm(joints_m: Float[np.ndarray, "n 2 21 3"], records: Records) -> Errors:
    """Return `root_relative_errors_mm` after the better assignment of the predicted hands to the true ones.

    Each example with two hands has the assignment with the lower mean: as the network named them, or exchanged. Other
    examples don't count.
    """
    (named, valid), (exchanged, _) = (
        root_relative_errors_mm(hands, records) for hands in (joints_m, joints_m[:, ::-1])
    )
    counted = both_hands(valid)
    totals = [np.where(counted, errors, 0.0).sum(axis=(1, 2)) for errors in (named, exchanged)]
    return np.where((totals[1] < totals[0])[:, None, None], exchanged, named), counted


def procrustes_errors_mm(joints_m: Float[np.ndarray, "n 2 21 3"], records: Records) -> Errors:
    """Return distances after each hand is aligned by the similarity of least squares over its annotated joints.

    Mirror images are not admitted. All annotated joints count, the wrist too, of hands with at least four.
    """
    annotated = records["joint_annotated"]
    truth = _truth(records)
    aligned = procrustes_align(joints_m.astype(np.float64), truth, annotated)
    enough = annotated.sum(axis=-1, keepdims=True) >= LEAST_JOINTS_OF_PROCRUSTES
    return _distances_mm(aligned - truth), annotated & enough


def absolute_errors_mm(records: Records) -> Errors:
    """Return distances in the camera frame, without any alignment, of all annotated joints."""
    difference = records["predicted_joints_cam_m"].astype(np.float64) - _truth(records)
    return _distances_mm(difference), records["joint_annotated"]


def relative_root_errors_mm(
    step_m: Float[np.ndarray, "n 3"], records: Records
) -> tuple[Float[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return the error of steps from the right to the left wrist, where both are known: MRRPE."""
    root = records["root_cam_m"].astype(np.float64)
    known: Bool[np.ndarray, " n"] = np.asarray(records["root_known"].all(axis=1))
    return _distances_mm(step_m.astype(np.float64) - (root[:, LEFT] - root[:, RIGHT])), known


def image_errors_px(records: Records) -> Errors:
    """Return 2D distances in the crop, of the annotated joints that lie inside it."""
    difference = records["predicted_joints_px"].astype(np.float64) - records["joints_px"].astype(np.float64)
    return np.linalg.norm(difference, axis=-1), records["joint_in_crop"]


def within_box_share(records: Records, share: float) -> Errors:
    """Return which joints lie within a share of their hand's size of their place: PCK (Yang and Ramanan, TPAMI 2013).

    Joints count as in `image_errors_px`. A hand's size is the longer side of the box around those joints; a hand of
    one joint has none and does not count.
    """
    distance_px, valid = image_errors_px(records)
    joints_px, seen = records["joints_px"].astype(np.float64), valid[..., None]
    high, low = np.where(seen, joints_px, -np.inf).max(2), np.where(seen, joints_px, np.inf).min(2)
    size_px = (high - low).max(-1)[..., None]
    return (distance_px <= share * size_px).astype(np.float64), valid & (size_px > 0)


def _truth(records: Records) -> Float[np.ndarray, "n 2 21 3"]:
    return records["joints_cam_m"].astype(np.float64)


def _distances_mm(difference_m: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    return MM_PER_M * np.linalg.norm(difference_m, axis=-1)
