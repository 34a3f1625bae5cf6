"""HO-3D's and H2O-3D's annotations to schema fields: OpenGL's axes to OpenCV's, MANO's joint order to ours.

Their camera looks along -z with y up; ours along z with y down. Both use metres, and u = K x in our axes.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from input_pipeline.convert.ho3d.files import SIZE_PX
from input_pipeline.schema import Example
from occrobnet_jax.files.readers import lookup, pickled_array
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from occrobnet_jax.skeleton import HO3D, INTERHAND, NUM_HANDS, VISIBILITY, WRIST, permutation

OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0])
INTERHAND_FROM_HO3D = permutation(HO3D, INTERHAND)
_HO3D_WRIST = HO3D.index("wrist")
SYMMETRIES = dict.fromkeys((3, 4, 6, 10, 21), "half_turn_z") | {24: "any_turn_z"}
"""By YCB number, as in Keypoint Transformer's loss: boxes and bottles, and the bowl. Pitcher and mug have a handle, so
that their yaw can be taught. Conventions of evaluation have lists of their own, which differ."""


def camera_fields(record: dict[str, Any], source: Path) -> Example:
    """Return intrinsics and image size."""
    intrinsics = pickled_array(record, "camMat", (3, 3), source=source)
    return {
        "intrinsics": intrinsics.astype(np.float32),
        "width": np.int32(SIZE_PX[0]),
        "height": np.int32(SIZE_PX[1]),
    }


def to_opencv(points_gl_m: Float[np.ndarray, "*points 3"]) -> Float[np.ndarray, "*points 3"]:
    """Return the points of their camera frame in ours; its own inverse."""
    return points_gl_m @ OPENCV_FROM_OPENGL


def joint_fields(joints_cam_m: Float[np.ndarray, "2 21 3"], annotated: np.ndarray, intrinsics: np.ndarray) -> Example:
    """Return joints (our axes and order) under their mask, and what follows from it; zeros elsewhere."""
    joints_cam_m = np.where(annotated[..., None], joints_cam_m, 0)
    joints_px = project(joints_cam_m, intrinsics.astype(np.float64))
    inside = annotated & ((joints_px >= -0.5) & (joints_px < np.array(SIZE_PX) - 0.5)).all(-1)
    outside = np.where(annotated & ~inside, VISIBILITY.index("outside"), VISIBILITY.index("unknown"))
    boxes = [_tight_box(joints_px[hand][annotated[hand]]) for hand in range(NUM_HANDS)]
    return {
        "joints_cam_m": joints_cam_m.astype(np.float32),
        "joints_annotated": annotated.astype(np.uint8),
        "joints_in_image": inside.astype(np.uint8),
        "visibility": outside.astype(np.uint8),
        "root_cam_m": joints_cam_m[:, WRIST].astype(np.float32),
        "root_known": annotated[:, WRIST].astype(np.uint8),
        "hand_box_px": np.stack(boxes).astype(np.float32),
    }


def root_fields(roots_gl_m: dict[int, np.ndarray]) -> Example:
    """Return the wrists of the hands that are there, where nothing else is told of them."""
    root_cam_m, known = np.zeros((NUM_HANDS, 3), np.float32), np.zeros(NUM_HANDS, np.uint8)
    for hand, root in roots_gl_m.items():
        root_cam_m[hand], known[hand] = to_opencv(root), 1
    return {"root_cam_m": root_cam_m, "root_known": known}


def hand_joints(joints_gl_m: Float[np.ndarray, "21 3"]) -> Float[np.ndarray, "21 3"]:
    """Return the joints of one hand in our axes and order."""
    return to_opencv(joints_gl_m)[INTERHAND_FROM_HO3D]


def mano_parameters(
    pose: Float[np.ndarray, "48"], translation_m: Float[np.ndarray, "3"], joints_gl_m: Float[np.ndarray, "21 3"]
) -> tuple[Float[np.ndarray, "48"], Float[np.ndarray, "3"]]:
    """Return the pose and translation in our axes.

    A hand turns about its root joint J and is then moved by t: the wrist lies at J + t, and has to lie at F (J + t).
    """
    wrist_m = joints_gl_m[_HO3D_WRIST]
    root_m = wrist_m - translation_m
    turned = matrix_to_axis_angle(OPENCV_FROM_OPENGL @ axis_angle_to_matrix(pose[:3]))
    return np.concatenate([turned, pose[3:]]), to_opencv(wrist_m) - root_m


def object_fields(record: dict[str, Any], source: Path) -> Example:
    """Return the pose and rest box of the YCB object; objCorners3D is not read, since H2O-3D's evaluation lacks it."""
    name = lookup(record, "objName", source=source)
    if not (isinstance(name, str) and name[:3].isdigit()):
        raise ValueError(f"{source}: objName is {str(name)[:40]!r} where a YCB name like '003_cracker_box' is expected")
    axis_angle = pickled_array(record, "objRot", (3,), source=source)
    translation_m = pickled_array(record, "objTrans", (3,), source=source)
    symmetry = SYMMETRIES.get(int(name[:3]), "none")
    return {
        "object_id": np.int32(int(name[:3])),
        "object_rotation": (OPENCV_FROM_OPENGL @ axis_angle_to_matrix(axis_angle)).astype(np.float32),
        "object_translation_m": to_opencv(translation_m).astype(np.float32),
        "object_corners_rest_m": pickled_array(record, "objCorners3DRest", (8, 3), source=source).astype(np.float32),
        "object_symmetry": np.int32(OBJECT_SYMMETRY.index(symmetry)),
        "object_known": np.uint8(1),
    }


def box_fields(example: Example, given_boxes: dict[int, np.ndarray]) -> Example:
    """Return the tight box around the hands and the object's projected corners, not expanded.

    Args:
        example: with camera, joints and object.
        given_boxes: x0, y0, x1, y1 of hands whose joints are not known.
    """
    intrinsics = example["intrinsics"].astype(np.float64)
    corners_m = example["object_corners_rest_m"] @ example["object_rotation"].T + example["object_translation_m"]
    hand_box_px = example["hand_box_px"].copy()
    for hand, box in given_boxes.items():
        hand_box_px[hand] = box
    shown = hand_box_px[hand_box_px[:, 2] > hand_box_px[:, 0]].reshape(-1, 2)
    box_px = _tight_box(np.concatenate([shown, project(corners_m.astype(np.float64), intrinsics)]))
    return {"box_px": box_px.astype(np.float32), "hand_box_px": hand_box_px, "box_known": np.uint8(1)}


def _tight_box(points_px: np.ndarray) -> np.ndarray:
    """Return x0, y0, x1, y1; zeros without points."""
    return np.concatenate([points_px.min(0), points_px.max(0)]) if len(points_px) else np.zeros(4)
