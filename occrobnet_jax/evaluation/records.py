"""Per-example records of an evaluation: labels and predictions, as NumPy arrays of equal first axis.

Everything that a metric needs is in them, so `metrics.json` can be computed again from `predictions.npz`, here or on
a machine without accelerator or checkpoint. Labels carry the names of `types.Batch`, predictions those of `types.Pose`
after `predicted_`.
"""

import dataclasses
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from occrobnet_jax.files import write_atomically
from occrobnet_jax.types import Batch, Pose

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
PREDICTED = tuple(f"predicted_{field.name}" for field in dataclasses.fields(Pose))


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is the same for all examples of an evaluation."""

    input_size_px: int
    mean_pose_rel_m: Float[np.ndarray, "2 21 3"] | None = None  # of the training split, for the baseline


def columns(batch: Batch, pose: Pose) -> dict[str, Array]:
    """The arrays of a batch and of what the network says about it that records consist of, and `is_real`."""
    labels = {name: getattr(batch, name) for name in (*LABELS, "is_real")}
    return labels | {name: getattr(pose, name.removeprefix("predicted_")) for name in PREDICTED}


def from_columns(arrays: Mapping[str, np.ndarray], joint_slots: int) -> Records:
    """Records of the real rows of one batch.

    Args:
        arrays: of `columns`, on the host, and others of the same first axis.
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
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> tuple[Records, Setting]:
    """Reads what `save` wrote.

    Raises:
        ValueError: the file is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            content = dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a predictions file of this project: {error}") from error
    missing = sorted({"input_size_px", *LABELS, *PREDICTED} - content.keys())
    if missing:
        raise ValueError(f"{path} lacks {missing}; write it again with eval.py")
    setting = Setting(int(content.pop("input_size_px")), content.pop("mean_pose_rel_m", None))
    return content, setting
