"""Labels of a batch of crops, moved and turned as their pixels were; all examples at once. NumPy only."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.transform import Rotation

from input_pipeline.crop import CropGeometry
from input_pipeline.schema import Example
from occrobnet_jax.fields import BATCH
from occrobnet_jax.geometry.cameras import change_camera, project, transform_points, transform_vectors
from occrobnet_jax.hands.hand_model import mirrored_pose
from occrobnet_jax.skeleton import VISIBILITY

Fields = dict[str, np.ndarray]
"""The fields of `types.Batch` and "key" (fixed-width bytes), of one example or stacked along a batch axis."""

STORED = (
    *("intrinsics", "joints_cam_m", "joints_annotated", "joints_px", "joints_px_only", "joints_in_image"),
    *("visibility", "hand_present", "hand_present_known", "root_cam_m", "root_known"),
    *("hand_pose", "hand_shape", "hand_pose_known"),
    *("object_id", "object_rotation", "object_translation_m", "object_corners_rest_m"),
    *("object_symmetry", "object_known"),
)
"""Fields of the schema that labels are made of."""

HAND_FIELDS = tuple(field.name for field in BATCH if field.of_hands)
"""Fields whose first axis, in one example, is the hand."""

OUTSIDE = VISIBILITY.index("outside")


@dataclasses.dataclass(frozen=True)
class Crops:
    """Several crops of one size, see `CropGeometry`."""

    size_px: int
    crop_from_image: Float[np.ndarray, "b 2 3"]
    turn: Float[np.ndarray, "b 2 2"]
    is_mirrored: Bool[np.ndarray, " b"]

    @classmethod
    def of(cls, geometries: Sequence[CropGeometry]) -> "Crops":
        """Stack them."""
        return cls(
            geometries[0].size_px,
            np.stack([geometry.crop_from_image for geometry in geometries]),
            np.stack([geometry.turn for geometry in geometries]),
            np.array([geometry.is_mirrored for geometry in geometries]),
        )


def label_fields(examples: Sequence[Example], geometries: Sequence[CropGeometry]) -> Fields:
    """Return labels of the examples' crops, in the crops' pixels and in the axes of their cameras."""
    stored = {name: np.stack([example[name] for example in examples]) for name in STORED}
    crops = Crops.of(geometries)
    fields = _joints(stored, crops) | _hands(stored, crops) | _hand_poses(stored, crops) | _object(stored, crops)
    fields["crop_from_image"] = crops.crop_from_image.astype(np.float32)
    return swap_hands(fields, crops.is_mirrored)


def swap_hands(fields: Fields, rows: Bool[np.ndarray, " b"]) -> Fields:
    """Make right left and left right in these rows, in every label; coordinates stay."""
    swapped = {name: fields[name].copy() for name in HAND_FIELDS}
    for name, values in swapped.items():
        values[rows] = fields[name][rows, ::-1]
    return fields | swapped


def _joints(stored: Fields, crops: Crops) -> Fields:
    """Return joints in 3D and 2D, each moved on its own, so that the new intrinsics can be checked against both.

    Where a joint is known in 3D its place in the photo is the projection; one that is known in the photo only keeps
    that place, has no 3D one, and teaches 2D alone: a depth put in its stead would be a label that nobody gave.
    """
    joints_cam_m = stored["joints_cam_m"].astype(np.float64)
    intrinsics = stored["intrinsics"].astype(np.float64)
    annotated = stored["joints_annotated"] > 0
    px_annotated = annotated | (stored["joints_px_only"] > 0)
    photo_px = np.where(annotated[..., None], project(joints_cam_m, intrinsics), stored["joints_px"])
    joints_px = transform_points(crops.crop_from_image, photo_px)
    inside = ((joints_px >= -0.5) & (joints_px < crops.size_px - 0.5)).all(-1)
    in_crop = px_annotated & (stored["joints_in_image"] > 0) & inside
    is_outside = px_annotated & ~in_crop
    return {
        "intrinsics": change_camera(intrinsics, crops.crop_from_image, crops.turn).astype(np.float32),
        "joints_px": np.where(px_annotated[..., None], joints_px, 0).astype(np.float32),
        "joints_cam_m": np.where(annotated[..., None], _turned(joints_cam_m, crops), 0).astype(np.float32),
        "joint_annotated": annotated,
        "joint_px_annotated": px_annotated,
        "joint_in_crop": in_crop,
        "visibility": np.where(is_outside, OUTSIDE, stored["visibility"]).astype(np.int32),
    }


def _hands(stored: Fields, crops: Crops) -> Fields:
    known = stored["root_known"] > 0
    return {
        "hand_present": stored["hand_present"] > 0,
        "hand_present_known": stored["hand_present_known"] > 0,
        "root_cam_m": np.where(known[..., None], _turned(stored["root_cam_m"], crops), 0).astype(np.float32),
        "root_known": known,
    }


def _hand_poses(stored: Fields, crops: Crops) -> Fields:
    """Return the pose and shape of the hand model. The picture's rotation turns the whole hand; in a mirror every joint
    turns the other way, and the hand is that of the mirrored model.
    """
    known = stored["hand_pose_known"] > 0
    mirrored = crops.is_mirrored[:, None, None]
    pose = stored["hand_pose"].astype(np.float64)
    pose = np.where(mirrored, mirrored_pose(pose), pose)
    turn = np.where(mirrored, crops.turn * [-1.0, 1.0], crops.turn)  # of what the mirror shows
    angle_rad = np.repeat(np.arctan2(turn[:, 1, 0], turn[:, 0, 0]), 2)
    whole = Rotation.from_rotvec(angle_rad[:, None] * [0, 0, 1]) * Rotation.from_rotvec(pose[..., :3].reshape(-1, 3))
    pose = np.concatenate([whole.as_rotvec().reshape(-1, 2, 3), pose[..., 3:]], -1)
    return {
        "hand_pose": np.where(known[..., None], pose, 0).astype(np.float32),
        "hand_shape": np.where(known[..., None], stored["hand_shape"], 0).astype(np.float32),
        "hand_pose_known": known,
    }


def _object(stored: Fields, crops: Crops) -> Fields:
    """Return the object's pose; the mirror image of an object is no pose of that object, so a flip leaves
    it unknown.
    """
    known = (stored["object_known"] > 0) & ~crops.is_mirrored
    axes = _turned(stored["object_rotation"].swapaxes(1, 2), crops)  # the matrix's columns are the object's axes
    translation_m = _turned(stored["object_translation_m"], crops)
    return {
        "object_id": stored["object_id"].astype(np.int32),
        "object_rotation": np.where(known[:, None, None], axes.swapaxes(1, 2), np.eye(3)).astype(np.float32),
        "object_translation_m": np.where(known[:, None], translation_m, 0).astype(np.float32),
        "object_corners_rest_m": stored["object_corners_rest_m"],
        "object_symmetry": stored["object_symmetry"].astype(np.int32),
        "object_known": known,
    }


def _turned(vectors: Any, crops: Crops) -> np.ndarray:
    """Return the vectors of the camera frame in the axes of the crops' cameras."""
    xy = transform_vectors(crops.turn, vectors[..., :2].astype(np.float64))
    return np.concatenate([xy, vectors[..., 2:]], axis=-1)
