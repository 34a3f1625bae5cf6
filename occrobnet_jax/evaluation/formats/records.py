"""Per-example records of an evaluation: labels and predictions, as NumPy arrays of equal first axis.

Everything that a metric needs is in them, so `metrics.json` can be computed again from `predictions.npz`, here or on
a machine without accelerator or checkpoint: nothing here imports jax. Labels carry the names of `types.Batch`,
predictions those of `types.Pose` after `predicted_`. docs/evaluation.md describes the file.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

Records = dict[str, np.ndarray]

CHUNK = 512
"""Examples that are looked at together: some 50 MB while metrics are computed."""

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


def in_chunks(parts: Iterable[Records], size: int = CHUNK) -> Iterator[Records]:
    """Yield the same rows in chunks of `size` and a last one of what is left, whatever the sizes of the parts are."""
    waiting: list[Records] = []
    for part in parts:
        waiting.append(part)
        if sum(map(num_rows, waiting)) >= size:
            *whole, rest = _cut(concatenate(waiting), size)
            yield from whole
            waiting = [rest]
    if sum(map(num_rows, waiting)):
        yield concatenate(waiting)


def num_rows(records: Records) -> int:
    """Return the number of examples."""
    return len(records["example_index"])


def _cut(records: Records, size: int) -> list[Records]:
    """Parts of `size` rows, and a last one of less, perhaps of none."""
    return [select(records, slice(start, start + size)) for start in range(0, num_rows(records) + 1, size)]


def select(records: Records, rows: np.ndarray | Sequence[int] | slice) -> Records:
    """The records of some rows, given by a mask, indices or a slice."""
    return {name: values[rows] for name, values in records.items()}
