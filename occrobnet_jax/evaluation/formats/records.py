"""Per-example records of an evaluation: labels and predictions, as NumPy arrays of equal first axis.

Everything that a metric needs is in them, so `metrics.json` can be computed again from `predictions.npz`, here or on
a machine without accelerator or checkpoint: nothing here imports jax. Labels carry the names of `types.Batch`,
predictions those of `types.Pose` after `predicted_`. docs/evaluation.md describes the file.
"""

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from occrobnet_jax.files.atomic import write_atomically

Records = dict[str, np.ndarray]

LABELS = (
    "intrinsics",
    "joints_px",
    "joints_cam_m",
    "joint_annotated",
    "joint_in_crop",
    "visibility",
    "visible_share",
    "hand_present",
    "hand_present_known",
    "root_cam_m",
    "root_known",
    "object_id",
    "object_rotation",
    "object_translation_m",
    "object_corners_rest_m",
    "object_symmetry",
    "object_known",
    "crop_from_image",
    "example_index",
)
POSE = (
    *("joints_rel_m", "joints_px", "joints_cam_m", "root_cam_m", "root_fit_error_px", "relative_translation_m"),
    *("hand_probability", "visibility_probability", "keypoints_px", "keypoint_valid", "keypoint_class"),
    *("object_rotation", "object_translation_m"),
)
"""The fields of `types.Pose` that are always there; it can't be asked here without importing jax."""
ANGLES = ("hand_pose", "hand_shape")
"""Those of a network of angles."""
PREDICTED = tuple(f"predicted_{name}" for name in POSE)

FACTS = (
    "key",  # bytes, unique
    "sequence",  # bytes; what confidence intervals are drawn over
    "annotation_id",  # InterHand2.6M's, -1 if none
    "evaluation_row",  # of evaluation.txt, -1 if none
    "is_black",  # the crop shows nothing
    "joint_in_image",  # of InterHand2.6M, the raw mask of its data.json
    "hand_fit_known",  # there is a MANO fit of this hand
    "rootnet_depth_m",
    "rootnet_known",
    "object_share",  # of the crop's area that shows the object, -1 if unknown
)
"""What benchmarks ask about an example that neither network nor loss needs."""

MESH = ("vertices_cam_m", "vertices_known", "predicted_vertices_rel_m")
"""Optional: MANO vertices [n, 2, 778, 3] in the camera frame and relative to the own wrist, and where they are true."""


SHAPES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("joint_annotated", "joint_in_crop", "joint_in_image", "visibility", "visible_share"), (2, 21)),
    **dict.fromkeys(("hand_present", "root_known", "hand_fit_known", "rootnet_depth_m", "vertices_known"), (2,)),
    **dict.fromkeys(("hand_present_known", "object_id", "object_symmetry", "object_known", "example_index"), ()),
    **dict.fromkeys(("annotation_id", "evaluation_row", "is_black", "rootnet_known", "object_share"), ()),
    **dict.fromkeys(("key", "sequence"), ()),
    **dict.fromkeys(("intrinsics", "object_rotation", "predicted_object_rotation"), (3, 3)),
    **dict.fromkeys(("joints_cam_m", "predicted_joints_cam_m", "predicted_joints_rel_m"), (2, 21, 3)),
    **dict.fromkeys(("joints_px", "predicted_joints_px"), (2, 21, 2)),
    **dict.fromkeys(("vertices_cam_m", "predicted_vertices_rel_m"), (2, 778, 3)),
    **dict.fromkeys(("root_cam_m", "predicted_root_cam_m"), (2, 3)),
    **dict.fromkeys(("object_translation_m", "predicted_object_translation_m"), (3,)),
    "predicted_relative_translation_m": (3,),
    "predicted_hand_probability": (2,),
    "predicted_hand_pose": (2, 48),
    "predicted_hand_shape": (10,),
    "predicted_root_fit_error_px": (2,),
    "predicted_visibility_probability": (2, 21),
    "object_corners_rest_m": (8, 3),
    "crop_from_image": (2, 3),
}
"""Of each row; the keypoints' are free."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is the same for all examples of an evaluation."""

    input_size_px: int
    mean_pose_rel_m: Float[np.ndarray, "2 21 3"] | None = None  # of the training split, for the baseline
    switches: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # that the predictions were made with


def from_columns(arrays: Mapping[str, np.ndarray], joint_slots: int) -> Records:
    """Records of the real rows of one batch.

    Args:
        arrays: labels, predictions, facts and `is_real`, on the host.
        joint_slots: how many of the keypoint slots are for joints; those of the object follow and are left out.
    """
    records = {name: values[arrays["is_real"]] for name, values in arrays.items() if name != "is_real"}
    for name in ("predicted_keypoints_px", "predicted_keypoint_valid", "predicted_keypoint_class"):
        records[name] = records[name][:, :joint_slots]
    return records


def concatenate(parts: Sequence[Records]) -> Records:
    """One set of records from several, in order."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def select(records: Records, rows: np.ndarray | Sequence[int] | slice) -> Records:
    """The records of some rows, given by a mask, indices or a slice."""
    return {name: values[rows] for name, values in records.items()}


def save(path: Path, records: Records, setting: Setting) -> None:
    """Writes records and setting as one .npz file, or nothing."""
    content: dict[str, Any] = {**records, "input_size_px": np.int32(setting.input_size_px)}
    if setting.mean_pose_rel_m is not None:
        content["mean_pose_rel_m"] = setting.mean_pose_rel_m
    content["switches"] = np.array(json.dumps(dict(setting.switches)))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> tuple[Records, Setting]:
    """Reads what `save` wrote.

    Raises:
        ValueError: the file is not such a file, or contradicts itself.
    """
    return from_arrays(read_arrays(path), path)


def from_arrays(content: Records, path: Path) -> tuple[Records, Setting]:
    """The same from what `read_arrays` read."""
    return _checked(content, path, {*LABELS, *PREDICTED})


def load_labels(path: Path) -> tuple[Records, Setting]:
    """Labels and facts of a file that `save` wrote, whether or not there are predictions in it.

    Raises:
        ValueError: the file is not such a file, or contradicts itself.
    """
    content, setting = _checked(read_arrays(path), path, set(LABELS))
    return {name: values for name, values in content.items() if not name.startswith("predicted_")}, setting


def read_arrays(path: Path) -> Records:
    """All arrays of an .npz file, unchecked.

    Raises:
        ValueError: it isn't one.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return dict(file)
    except MemoryError as error:
        raise ValueError(f"{path} claims arrays that don't fit into memory") from error
    except Exception as error:  # NumPy, zipfile and zlib each have their own ways to fail on damaged bytes
        raise ValueError(f"{path} is not a predictions file of this project: {error}") from error


def _checked(content: Records, path: Path, required: set[str]) -> tuple[Records, Setting]:
    missing = sorted(({"input_size_px"} | required) - content.keys())
    if missing:
        raise ValueError(f"{path} lacks {missing}; write it again with eval.py")
    setting = _setting(content, path)
    count = len(content["example_index"]) if content["example_index"].ndim else 0
    for name, values in content.items():
        _check_column(name, values, count, path)
    return content, setting


def _setting(content: Records, path: Path) -> Setting:
    """Takes what is the same for all examples out of the content."""
    size, mean, switches = (content.pop(name, None) for name in ("input_size_px", "mean_pose_rel_m", "switches"))
    try:
        assert size is not None
        read = {} if switches is None else json.loads(str(switches[()]))
        if size.shape != () or not isinstance(read, dict) or (mean is not None and mean.shape != (2, 21, 3)):
            raise ValueError("their shapes are wrong")
        return Setting(int(size), mean, read)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: input_size_px, mean_pose_rel_m or switches can't be read: {error}") from error


def _check_column(name: str, values: np.ndarray, count: int, path: Path) -> None:
    expected = SHAPES.get(name)
    if values.ndim < 1 or len(values) != count or count == 0:
        raise ValueError(f"{path}: {name} has the shape {values.shape}; all arrays must have the same number of rows")
    if expected is not None and values.shape[1:] != expected:
        raise ValueError(f"{path}: {name} has the shape {values.shape}, expected {(count, *expected)}")
    if values.dtype.kind not in ("S" if name in ("key", "sequence") else "biuf"):
        raise ValueError(f"{path}: {name} is of type {values.dtype}")
