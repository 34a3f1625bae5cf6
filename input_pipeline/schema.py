"""The one example format that every dataset is converted into, and the checks that guard it.

Masks are stored as the dataset gives them: rules such as "an invalid wrist invalidates the hand" belong to the
protocol or the loss, since benchmarks differ in them. Camera frame: OpenCV (x right, y down, z forward), metres.
Joints: InterHand2.6M's order, hand 0 = right, 1 = left (`occrobnet_jax.skeleton`).
"""

from typing import Any

import numpy as np

HANDS_JOINTS = (2, 21)

ARRAY_FIELDS: dict[str, tuple[tuple[int, ...], type]] = {
    "height": ((), np.int32),
    "width": ((), np.int32),
    "annotation_id": ((), np.int64),  # InterHand2.6M's id, -1 if none
    "evaluation_row": ((), np.int32),  # row in evaluation.txt, -1 if none
    "intrinsics": ((3, 3), np.float32),  # px
    "joints_cam_m": ((*HANDS_JOINTS, 3), np.float32),  # zeros where not annotated
    "joints_annotated": (HANDS_JOINTS, np.uint8),  # the raw 3D mask
    "joints_in_image": (HANDS_JOINTS, np.uint8),  # inside the photo; not visibility
    "visibility": (HANDS_JOINTS, np.uint8),  # skeleton.VISIBILITY
    "visible_share": (HANDS_JOINTS, np.float32),
    "hand_present": ((2,), np.uint8),
    "hand_present_known": ((), np.uint8),
    "root_cam_m": ((2, 3), np.float32),
    "root_known": ((2,), np.uint8),
    "labels_complete": ((), np.uint8),  # 0 for evaluation splits that give the wrists only
    "box_px": ((4,), np.float32),  # x0 y0 x1 y1 around the hands (and the object), not expanded
    "hand_box_px": ((2, 4), np.float32),
    "box_known": ((), np.uint8),
    "rootnet_box_px": ((4,), np.float32),
    "rootnet_depth_m": ((2,), np.float32),
    "rootnet_known": ((), np.uint8),
    "hand_pose": ((2, 48), np.float32),  # axis-angle, flat mean, camera frame
    "hand_shape": ((2, 10), np.float32),
    "hand_translation_m": ((2, 3), np.float32),
    "hand_pose_known": ((2,), np.uint8),
    "object_id": ((), np.int32),  # YCB number, or the synthetic family and instance; 0 none
    "object_rotation": ((3, 3), np.float32),  # camera from rest pose
    "object_translation_m": ((3,), np.float32),
    "object_corners_rest_m": ((8, 3), np.float32),
    "object_symmetry": ((), np.int32),
    "object_known": ((), np.uint8),
}
BYTES_FIELDS = ("image", "segmentation")  # encoded; the segmentation may be empty
TEXT_FIELDS = ("key", "sequence", "camera")
KEY_BYTES = 96
"""Longest key, encoded as UTF-8: batches hold keys of fixed width."""

OBJECT_SYMMETRY = ("none", "half_turn_z", "any_turn_z", "sphere", "box")
"""Rotations of the rest pose that leave the object as it is: none; by 180 degrees about z; by any angle about z;
any rotation; the box's four half turns (180 degrees about x, y or z)."""

Example = dict[str, Any]


def empty_example() -> Example:
    """An example in which nothing is known: zeros, no image. Converters fill in what their dataset gives."""
    example: Example = {name: np.zeros(shape, dtype) for name, (shape, dtype) in ARRAY_FIELDS.items()}
    example |= {name: b"" for name in BYTES_FIELDS} | {name: "" for name in TEXT_FIELDS}
    example["annotation_id"] = np.int64(-1)
    example["evaluation_row"] = np.int32(-1)
    example["object_rotation"] = np.eye(3, dtype=np.float32)
    return example
