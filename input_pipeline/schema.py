"""The one example format that every dataset is converted into, and the checks that guard it.

Masks are stored as the dataset gives them: rules such as "an invalid wrist invalidates the hand" belong to the
protocol or the loss, since benchmarks differ in them. Camera frame: OpenCV (x right, y down, z forward), metres.
Joints: InterHand2.6M's order, hand 0 = right, 1 = left (`occrobnet_jax.skeleton`).
"""

from typing import Any

import numpy as np

from occrobnet_jax.fields import DATASET, MATCHED
from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from occrobnet_jax.skeleton import VISIBILITY

HANDS_JOINTS = (2, 21)

ARRAY_FIELDS = {field.name: (field.shape, field.dtype) for field in (*DATASET, *MATCHED)}
"""Shape and type of each array of an example."""
BYTES_FIELDS = ("image", "segmentation")  # encoded; the segmentation may be empty
TEXT_FIELDS = ("key", "sequence", "camera")
KEY_BYTES = 96
"""Longest key, encoded as UTF-8: batches hold keys of fixed width."""

_IDENTITY = np.eye(3)

Example = dict[str, Any]


def empty_example() -> Example:
    """Return an example in which nothing is known: zeros, no image. Converters fill in what their dataset gives."""
    example: Example = {name: np.zeros(shape, dtype) for name, (shape, dtype) in ARRAY_FIELDS.items()}
    example |= dict.fromkeys(BYTES_FIELDS, b"") | dict.fromkeys(TEXT_FIELDS, "")
    example["annotation_id"] = np.int64(-1)
    example["evaluation_row"] = np.int32(-1)
    example["object_rotation"] = np.eye(3, dtype=np.float32)
    return example


def validate_example(example: Example) -> None:
    """Check one example before it is stored.

    Raises:
        ValueError: a field is missing, unknown, of another shape or type, not finite, or contradicts another; the
            message names the example and the field.
    """
    key = example.get("key", "without a key")
    try:
        _check_fields(example)
        _check_camera(example)
        _check_joints(example)
        _check_boxes(example)
        _check_object(example)
    except ValueError as error:
        raise ValueError(f"example {key!r}: {error}") from error


def _check_fields(example: Example) -> None:
    """Check presence, shape and type; that values are finite, and flags 0 or 1."""
    expected = {*ARRAY_FIELDS, *BYTES_FIELDS, *TEXT_FIELDS}
    if example.keys() != expected:
        raise ValueError(
            f"fields missing: {sorted(expected - example.keys())}, unknown: {sorted(example.keys() - expected)}"
        )
    for name, (shape, dtype) in ARRAY_FIELDS.items():
        value = np.asarray(example[name])
        if value.shape != shape or value.dtype != dtype:
            raise ValueError(f"{name} is {value.dtype}{value.shape}, expected {np.dtype(dtype)}{shape}")
        if dtype is np.float32 and not np.isfinite(value).all():
            raise ValueError(f"{name} holds values that are not finite")
        if dtype is np.uint8 and value.max() > (len(VISIBILITY) - 1 if name == "visibility" else 1):
            raise ValueError(f"{name} holds the value {value.max()}")
    for names, kind in ((BYTES_FIELDS, bytes), (TEXT_FIELDS, str)):
        for name in names:
            if not isinstance(example[name], kind):
                raise ValueError(f"{name} is a {type(example[name]).__name__}, expected {kind.__name__}")
    if not example["image"]:
        raise ValueError("image is empty")
    if not 0 < len(example["key"].encode()) <= KEY_BYTES:
        raise ValueError(f"key must have 1 to {KEY_BYTES} bytes")


def _check_camera(example: Example) -> None:
    if example["height"] < 1 or example["width"] < 1:
        raise ValueError(f"height and width are {example['height']} and {example['width']}")
    intrinsics = example["intrinsics"]
    if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0 or (intrinsics[2] != (0, 0, 1)).any():
        raise ValueError(f"intrinsics {intrinsics.tolist()} need positive focal lengths and the last row 0, 0, 1")


def _check_joints(example: Example) -> None:
    annotated = example["joints_annotated"] > 0
    if (example["joints_cam_m"][annotated][:, 2] <= 0).any():
        raise ValueError("joints_cam_m has annotated joints that aren't in front of the camera")
    if example["joints_cam_m"][~annotated].any():
        raise ValueError("joints_cam_m isn't zero where joints_annotated is")
    in_2d = example["joints_px_only"] > 0
    if (annotated & in_2d).any():
        raise ValueError("joints_px_only has joints that joints_annotated has too")
    if example["joints_px"][~in_2d].any():
        raise ValueError("joints_px isn't zero where joints_px_only is")
    if (example["root_cam_m"][example["root_known"] > 0][:, 2] <= 0).any():
        raise ValueError("root_cam_m has a known root that isn't in front of the camera")
    share = example["visible_share"]
    if share.min() < 0 or share.max() > 1:
        raise ValueError("visible_share must lie between 0 and 1")


def _check_boxes(example: Example) -> None:
    for name, known in (("box_px", "box_known"), ("rootnet_box_px", "rootnet_known")):
        x0, y0, x1, y1 = example[name]
        if example[known] and (x1 <= x0 or y1 <= y0):
            raise ValueError(f"{name} {example[name].tolist()} is not x0, y0, x1, y1 of a box with an extent")


def _check_object(example: Example) -> None:
    if not 0 <= example["object_symmetry"] < len(OBJECT_SYMMETRY):
        raise ValueError(f"object_symmetry {example['object_symmetry']} is not in 0 to {len(OBJECT_SYMMETRY) - 1}")
    rotation = example["object_rotation"].astype(np.float64)
    if not (np.abs(rotation @ rotation.T - _IDENTITY).max() < 1e-4 and np.linalg.det(rotation) > 0):
        raise ValueError(f"object_rotation {rotation.tolist()} is not a rotation")
    if example["object_known"] and example["object_translation_m"][2] <= 0:
        raise ValueError("the object isn't in front of the camera")
