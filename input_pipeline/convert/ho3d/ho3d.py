"""HO-3D v2 and v3: one right hand and a YCB object; files as `files` says, to schema examples.

Licence of the data: academic, non-commercial, no redistribution or modification. The evaluation split gives wrists
and boxes; where the user has evaluation_xyz.json, it has all joints.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.convert.ho3d.files import FrameList, read_frame_lists
from input_pipeline.convert.ho3d.labels import box_fields, hand_joints, joint_fields, mano_parameters, root_fields
from input_pipeline.convert.ho3d.listed_frames import ListedFrames
from input_pipeline.convert.occlusion import Occlusion
from input_pipeline.convert.published_counts import HO3D as PUBLISHED
from input_pipeline.schema import Example
from occrobnet_jax.files.readers import number_array, pickled_array, read_json
from occrobnet_jax.skeleton import NUM_HANDS, NUM_JOINTS, RIGHT

VERSIONS = ("v2", "v3")
GROUND_TRUTH_FILE = "evaluation_xyz.json"
OBJECT_CHANNEL = {"v2": 2, "v3": 1}
"""Of R, G, B in the rendered segmentations: v2 paints the object blue and the hand green, v3 the other way round."""
MULTI_CAMERA = ("ABF1", "BB1", "GPMF1", "GSF1", "MDF1", "SB1", "ShSu1", "SiBF1", "SMu4", "MPM1", "AP1")
"""Sequences of several cameras: one digit more in their names is the camera."""


class HO3D(ListedFrames):
    """A source of examples, one per frame of the official lists, in their order.

    Args:
        raw: folder of the unpacked archive.
        data_version: "v2" or "v3"; each becomes a dataset of its own, since their results don't compare.
        occlusion: what tells which joints are hidden, if anything does.

    Raises:
        ValueError: nothing of the expected layout is in `raw`, a list is damaged, or lists or segmentations are those
            of another version.
    """

    version = "1.1.0"  # 1.0.0 took v3's hands for the objects, and had no val
    hand_present = (1, 0)

    def __init__(self, raw: Path, data_version: str, occlusion: Occlusion | None = None) -> None:
        if data_version not in VERSIONS:
            raise ValueError(f"HO-3D version {data_version!r} is not one of {VERSIONS}")
        lists = read_frame_lists(Path(raw))
        _refuse_other_version(lists, data_version)
        super().__init__(raw, lists, occlusion)
        self.name = f"ho3d_{data_version}"
        self.published: Mapping[str, Mapping[str, int]] = PUBLISHED[data_version]
        self.object_channel = OBJECT_CHANNEL[data_version]
        self._truth_m = self._ground_truth()
        self.check()

    @property
    def settings(self) -> dict[str, Any]:
        """The official lists, the validation sequences, and whether ground truth was there."""
        return super().settings | {"with_evaluation_ground_truth": self._truth_m is not None}

    @property
    def notes(self) -> Sequence[str]:
        """What is particular about these annotations."""
        without_truth = "evaluation" in self.splits and self._truth_m is None
        missing = f"evaluation has wrists and boxes only: {GROUND_TRUTH_FILE} was not there"
        return [*super().notes, *([missing] if without_truth else [])]

    def example(self, split: str, index: int) -> Example:
        """Return example number `index` of a split, in the order of its list, with its camera where there are several.

        Raises:
            UnusableExample: one of its files is missing or damaged, or it has no annotation.
        """
        example = super().example(split, index)
        sequence = example["sequence"]
        return example | {"camera": sequence[-1] if sequence[:-1] in MULTI_CAMERA else ""}

    def _train_labels(self, example: Example, record: dict[str, Any], source: Path, index: int) -> Example:
        joints_gl_m = pickled_array(record, "handJoints3D", (NUM_JOINTS, 3), source=source)
        pose, translation_m = mano_parameters(
            pickled_array(record, "handPose", (48,), source=source),
            pickled_array(record, "handTrans", (3,), source=source),
            joints_gl_m,
        )
        fields = _right_joints(hand_joints(joints_gl_m), example["intrinsics"])
        fields |= _right({"hand_pose": pose, "hand_translation_m": translation_m})
        fields |= _right({"hand_shape": pickled_array(record, "handBeta", (10,), source=source)})
        fields |= box_fields(example | fields, {})
        return fields | {"hand_pose_known": np.array([1, 0], np.uint8), "labels_complete": np.uint8(1)}

    def _evaluation_labels(self, example: Example, record: dict[str, Any], source: Path, index: int) -> Example:
        box = pickled_array(record, "handBoundingBox", (4,), source=source)
        fields = root_fields({RIGHT: pickled_array(record, "handJoints3D", (3,), source=source)})
        if self._truth_m is not None:
            fields |= _right_joints(hand_joints(self._truth_m[index]), example["intrinsics"])
            fields |= {"labels_complete": np.uint8(1)}
        return fields | box_fields(example | fields, {RIGHT: box})

    def _ground_truth(self) -> np.ndarray | None:
        """Return joints (n, 21, 3) of the evaluation split, as released: metres, their axes and order."""
        path = self._raw / GROUND_TRUTH_FILE
        if "evaluation" not in self.splits or not path.is_file():
            return None
        shape = (self.splits["evaluation"], NUM_JOINTS, 3)
        return number_array(read_json(path), shape, np.float64, name=str(path))


def _right(values: dict[str, np.ndarray]) -> Example:
    """Return the values of the right hand as fields of both."""
    return {name: np.stack([value, np.zeros_like(value)]).astype(np.float32) for name, value in values.items()}


def _right_joints(joints_cam_m: np.ndarray, intrinsics: np.ndarray) -> Example:
    both = np.stack([joints_cam_m, np.zeros_like(joints_cam_m)])
    annotated = np.zeros((NUM_HANDS, NUM_JOINTS), bool)
    annotated[RIGHT] = True
    return joint_fields(both, annotated, intrinsics)


def _refuse_other_version(lists: Mapping[str, FrameList], data_version: str) -> None:
    named = {"train+val" if split == "train" else split: frames for split, frames in lists.items()}
    for other in (version for version in VERSIONS if version != data_version):
        for splits, frames in named.items():
            count = len(frames.frames)
            if count == PUBLISHED[other][splits]["examples"]:
                raise ValueError(f"{frames.path.name} names {count:,} frames: that is HO-3D {other}; pass {other}")
