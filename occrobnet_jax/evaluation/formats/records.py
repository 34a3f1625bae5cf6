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

from occrobnet_jax import fields

Records = dict[str, np.ndarray]

CHUNK = 512
"""Examples that are looked at together: some 50 MB while metrics are computed."""

LABELS = tuple(field.name for field in fields.BATCH if field.recorded)
POSE = tuple(field.name for field in fields.POSE)
OPTIONAL = tuple(field.name for field in fields.OPTIONAL)
PREDICTED = tuple(f"predicted_{name}" for name in POSE)
FACTS = tuple(field.name for field in fields.FACTS)

# Optional besides: "vertices_cam_m" and "predicted_vertices_rel_m", MANO's vertices [n, 2, 778, 3] in the camera frame
# and relative to the own wrist, and "vertices_known", where they are true.

SHAPES = {
    **{field.name: field.shape for field in (*fields.BATCH, *fields.FACTS)},
    **{f"predicted_{field.name}": field.shape for field in (*fields.POSE, *fields.OPTIONAL)},
    "vertices_cam_m": (2, 778, 3),
    "vertices_known": (2,),
    "predicted_vertices_rel_m": (2, 778, 3),
}
"""Of each row; None where the config decides."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is the same for all examples of an evaluation."""

    input_size_px: int
    mean_pose_rel_m: Float[np.ndarray, "2 21 3"] | None = None  # of the training split, for the baseline
    switches: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # that the predictions were made with
    pose_covariance_m2: Float[np.ndarray, "2 60 60"] | None = None  # around that mean, where what hides hands is tested


def from_columns(arrays: Mapping[str, np.ndarray], joint_slots: int) -> Records:
    """Record of the real rows of one batch.

    Args:
        arrays: labels, predictions, facts and `is_real`, on the host.
        joint_slots: how many of the keypoint slots are for joints; those of the object follow and are left out.
    """
    records = {name: values[arrays["is_real"]] for name, values in arrays.items() if name != "is_real"}
    for name in ("predicted_keypoints_px", "predicted_keypoint_valid", "predicted_keypoint_class"):
        records[name] = records[name][:, :joint_slots]
    return records


def concatenate(parts: Sequence[Records]) -> Records:
    """Return one set of records from several, in order."""
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
    """Return parts of `size` rows, and a last one of less, perhaps of none."""
    return [select(records, slice(start, start + size)) for start in range(0, num_rows(records) + 1, size)]


def select(records: Records, rows: np.ndarray | Sequence[int] | slice) -> Records:
    """Return the records of some rows, given by a mask, indices or a slice."""
    return {name: values[rows] for name, values in records.items()}
