"""H2O-3D v1: two hands and a YCB object; files as `files` says, to schema examples.

The labels of the evaluation split are not public, and part of `train` is ours for validation: see `held_out`. Licence
of the data as HO-3D's: academic, non-commercial, no redistribution or modification.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.convert.ho3d.files import read_frame_lists
from input_pipeline.convert.ho3d.labels import (
    INTERHAND_FROM_HO3D,
    box_fields,
    hand_joints,
    joint_fields,
    mano_parameters,
    root_fields,
)
from input_pipeline.convert.ho3d.listed_frames import ListedFrames
from input_pipeline.convert.occlusion import Occlusion
from input_pipeline.convert.published_counts import H2O3D as PUBLISHED
from input_pipeline.schema import Example
from occrobnet_jax.files.readers import pickled_array
from occrobnet_jax.skeleton import LEFT, NUM_JOINTS, RIGHT

SIDES = {RIGHT: "right", LEFT: "left"}


class H2O3D(ListedFrames):
    """A source of examples, one per frame of the official lists, in their order.

    Args:
        raw: folder of the unpacked archive.
        occlusion: what tells which joints are hidden, if anything does.

    Raises:
        ValueError: nothing of the expected layout is in `raw`, a list is damaged, or the segmentations are others.
    """

    name = "h2o3d"
    version = "1.1.0"  # 1.0.0 took pitcher and mug for as round as the bowl
    published: Mapping[str, Mapping[str, int]] = PUBLISHED
    hand_present = (1, 1)
    object_channel = 1  # green

    def __init__(self, raw: Path, occlusion: Occlusion | None = None) -> None:
        super().__init__(raw, read_frame_lists(Path(raw)), occlusion)
        self.check()

    @property
    def notes(self) -> Sequence[str]:
        """What is particular about these annotations."""
        return [*super().notes, *(["evaluation has wrists and boxes only"] if "evaluation" in self.splits else [])]

    def _train_labels(self, example: Example, record: dict[str, Any], source: Path, index: int) -> Example:
        shape = pickled_array(record, "handBeta", (10,), source=source)
        joints_cam_m, annotated = np.zeros((2, NUM_JOINTS, 3)), np.zeros((2, NUM_JOINTS), bool)
        pose, translation_m, known = np.zeros((2, 48)), np.zeros((2, 3)), np.zeros(2, np.uint8)
        for hand, side in SIDES.items():
            joints_gl_m = pickled_array(record, f"{side}HandJoints3D", (NUM_JOINTS, 3), source=source)
            joints_cam_m[hand] = hand_joints(joints_gl_m)
            annotated[hand] = _flags(record, f"jointValid{side.title()}", NUM_JOINTS, source)[INTERHAND_FROM_HO3D]
            pose[hand], translation_m[hand] = mano_parameters(
                pickled_array(record, f"{side}HandPose", (48,), source=source),
                pickled_array(record, f"{side}HandTrans", (3,), source=source),
                joints_gl_m,
            )
            known[hand] = _flags(record, f"poseValid{side.title()}", 48, source).all()
        fields = joint_fields(joints_cam_m, annotated, example["intrinsics"])
        fields |= box_fields(example | fields, {})
        return fields | {
            "hand_pose": pose.astype(np.float32),
            "hand_shape": np.stack([shape, shape]).astype(np.float32),
            "hand_translation_m": translation_m.astype(np.float32),
            "hand_pose_known": known,
            "labels_complete": np.uint8(1),
        }

    def _evaluation_labels(self, example: Example, record: dict[str, Any], source: Path, index: int) -> Example:
        roots = {
            hand: pickled_array(record, f"{side}HandJoints3D", (3,), source=source) for hand, side in SIDES.items()
        }
        boxes = {
            hand: pickled_array(record, f"{side}HandBoundingBox", (4,), source=source) for hand, side in SIDES.items()
        }
        fields = root_fields(roots)
        return fields | box_fields(example | fields, boxes)


def _flags(record: dict[str, Any], key: str, size: int, source: Path) -> np.ndarray:
    """Return optional flags; all true where the file has none."""
    if record.get(key) is None:
        return np.ones(size, bool)
    return pickled_array(record, key, (size,), source=source) > 0
