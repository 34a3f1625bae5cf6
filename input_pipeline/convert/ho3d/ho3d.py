"""HO-3D v2 and v3: one right hand and a YCB object; files as `ho3d_files` says, to schema examples.

Licence of the data: academic, non-commercial, no redistribution or modification. The evaluation split gives wrists
and boxes; where the user has evaluation_xyz.json, it has all joints.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.convert.frame_checks import check_frames
from input_pipeline.convert.ho3d.files import SPLITS, FrameFiles, FrameList, read_frame_lists
from input_pipeline.convert.ho3d.held_out import OFFICIAL_SPLIT, frames_by_split, notes_on_validation, sequences_of
from input_pipeline.convert.ho3d.labels import (
    box_fields,
    camera_fields,
    hand_joints,
    joint_fields,
    mano_parameters,
    object_fields,
    root_fields,
)
from input_pipeline.convert.ho3d.masks import check_object_masks, painted_frames
from input_pipeline.convert.occlusion import WITHOUT_OCCLUSION, Occlusion, with_object
from input_pipeline.convert.published_counts import HO3D as PUBLISHED
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import Example, empty_example
from occrobnet_jax.files.readers import number_array, pickled_array, read_json
from occrobnet_jax.skeleton import NUM_HANDS, NUM_JOINTS, RIGHT

VERSIONS = ("v2", "v3")
GROUND_TRUTH_FILE = "evaluation_xyz.json"
OBJECT_CHANNEL = {"v2": 2, "v3": 1}
"""Of R, G, B in the rendered segmentations: v2 paints the object blue and the hand green, v3 the other way round."""
MULTI_CAMERA = ("ABF1", "BB1", "GPMF1", "GSF1", "MDF1", "SB1", "ShSu1", "SiBF1", "SMu4", "MPM1", "AP1")
"""Sequences of several cameras: one digit more in their names is the camera."""


class HO3D:
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

    def __init__(self, raw: Path, data_version: str, occlusion: Occlusion | None = None) -> None:
        if data_version not in VERSIONS:
            raise ValueError(f"HO-3D version {data_version!r} is not one of {VERSIONS}")
        self._raw, self._data_version, self._occlusion = Path(raw), data_version, occlusion
        lists = read_frame_lists(self._raw)
        _refuse_other_version(lists, data_version)
        self._lists_sha256 = {split: frames.sha256 for split, frames in lists.items()}
        self._frames = frames_by_split(lists)
        self.splits = {split: len(frames) for split, frames in self._frames.items()}
        self._truth_m = self._ground_truth()
        for split, count in self.splits.items():
            painted = painted_frames(count, partial(self._files, split), partial(self._labels, split))
            check_object_masks(f"{self.name}'s {split}", painted, OBJECT_CHANNEL[data_version])
            check_frames(f"{self.name}'s {split}", partial(self._labels, split), count, occlusion)

    @property
    def name(self) -> str:
        """ho3d_v2 or ho3d_v3."""
        return f"ho3d_{self._data_version}"

    @property
    def settings(self) -> dict[str, Any]:
        """The official lists, the validation sequences, and whether ground truth was there."""
        settings = {
            "lists_sha256": self._lists_sha256,
            "validation_sequences": sequences_of(self._frames, "val"),
            "with_evaluation_ground_truth": self._truth_m is not None,
        }
        return settings | (self._occlusion.settings if self._occlusion else {})

    @property
    def absent_splits(self) -> Sequence[str]:
        """Splits that are not there."""
        return tuple(split for split in SPLITS if split not in self.splits)

    @property
    def published(self) -> Mapping[str, Mapping[str, int]]:
        """Counts of the official lists."""
        return PUBLISHED[self._data_version]

    @property
    def notes(self) -> Sequence[str]:
        """What is particular about these annotations."""
        notes = [] if self._occlusion else [WITHOUT_OCCLUSION]
        notes += notes_on_validation(self._frames)
        if "evaluation" in self.splits and self._truth_m is None:
            notes.append(f"evaluation has wrists and boxes only: {GROUND_TRUTH_FILE} was not there")
        return notes

    def example(self, split: str, index: int) -> Example:
        """Example number `index` of a split, in the order of its list.

        Raises:
            UnusableExample: one of its files is missing or damaged, or it has no annotation.
        """
        files, example = self._files(split, index), self._labels(split, index)
        example |= self._occlusion.labels(example) if self._occlusion else {}
        example["image"] = files.image()
        authors = files.segmentation(OBJECT_CHANNEL[self._data_version])
        example["segmentation"] = with_object(example["segmentation"], authors)
        multi_camera = files.sequence[:-1] in MULTI_CAMERA
        return example | {
            "key": f"{self.name}/{split}/{files.sequence}/{files.number}",
            "sequence": files.sequence,
            "camera": files.sequence[-1] if multi_camera else "",
            "evaluation_row": np.int32(self._frames[split][index][0] if split == "evaluation" else -1),
        }

    def _files(self, split: str, index: int) -> FrameFiles:
        return FrameFiles(self._raw, OFFICIAL_SPLIT[split], *self._frames[split][index][1])

    def _labels(self, split: str, index: int) -> Example:
        """Return what the metadata of a frame say."""
        files = self._files(split, index)
        record = files.meta()
        try:
            example = empty_example() | camera_fields(record, files.meta_path)
            example |= object_fields(record, files.meta_path)
            example["hand_present"] = np.array([1, 0], np.uint8)
            example["hand_present_known"] = np.uint8(1)
            labels = self._evaluation_labels if split == "evaluation" else self._train_labels
            return example | labels(example, record, files.meta_path, index)
        except ValueError as error:
            raise UnusableExample("annotation damaged", str(error)) from error

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
