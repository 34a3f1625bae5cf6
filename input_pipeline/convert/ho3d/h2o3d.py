"""H2O-3D v1: two hands and a YCB object; files as `files` says, to schema examples.

The labels of the evaluation split are not public, and part of `train` is ours for validation: see `held_out`. Licence
of the data as HO-3D's: academic, non-commercial, no redistribution or modification.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.convert.frame_checks import check_frames
from input_pipeline.convert.ho3d.files import SPLITS, FrameFiles, read_frame_lists
from input_pipeline.convert.ho3d.held_out import OFFICIAL_SPLIT, frames_by_split, notes_on_validation, sequences_of
from input_pipeline.convert.ho3d.labels import (
    INTERHAND_FROM_HO3D,
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
from input_pipeline.convert.published_counts import H2O3D as PUBLISHED
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import Example, empty_example
from occrobnet_jax.files.readers import pickled_array
from occrobnet_jax.skeleton import LEFT, NUM_JOINTS, RIGHT

SIDES = {RIGHT: "right", LEFT: "left"}
OBJECT_CHANNEL = 1  # of the rendered segmentation: green


class H2O3D:
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

    def __init__(self, raw: Path, occlusion: Occlusion | None = None) -> None:
        self._raw, self._occlusion = Path(raw), occlusion
        lists = read_frame_lists(self._raw)
        self._lists_sha256 = {split: frames.sha256 for split, frames in lists.items()}
        self._frames = frames_by_split(lists)
        self.splits = {split: len(frames) for split, frames in self._frames.items()}
        for split, count in self.splits.items():
            painted = painted_frames(count, partial(self._files, split), partial(self._labels, split))
            check_object_masks(f"{self.name}'s {split}", painted, OBJECT_CHANNEL)
            check_frames(f"{self.name}'s {split}", partial(self._labels, split), count, occlusion)

    @property
    def settings(self) -> dict[str, Any]:
        """The official lists and the validation sequences."""
        settings = {"lists_sha256": self._lists_sha256, "validation_sequences": sequences_of(self._frames, "val")}
        return settings | (self._occlusion.settings if self._occlusion else {})

    @property
    def absent_splits(self) -> Sequence[str]:
        """Official splits that are not there."""
        return tuple(split for split in SPLITS if split not in self.splits)

    @property
    def notes(self) -> Sequence[str]:
        """What is particular about these annotations."""
        notes = [] if self._occlusion else [WITHOUT_OCCLUSION]
        notes += notes_on_validation(self._frames)
        return [*notes, *(["evaluation has wrists and boxes only"] if "evaluation" in self.splits else [])]

    def example(self, split: str, index: int) -> Example:
        """Example number `index` of a split, in the order of its list.

        Raises:
            UnusableExample: one of its files is missing or damaged, or it has no annotation.
        """
        files, example = self._files(split, index), self._labels(split, index)
        example |= self._occlusion.labels(example) if self._occlusion else {}
        example["image"] = files.image()
        example["segmentation"] = with_object(example["segmentation"], files.segmentation(OBJECT_CHANNEL))
        row = self._frames[split][index][0]
        return example | {
            "key": f"{self.name}/{split}/{files.sequence}/{files.number}",
            "sequence": files.sequence,
            "evaluation_row": np.int32(row if split == "evaluation" else -1),
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
            example["hand_present"] = np.ones(2, np.uint8)
            example["hand_present_known"] = np.uint8(1)
            labels = _evaluation_labels if split == "evaluation" else _train_labels
            return example | labels(example, record, files.meta_path)
        except ValueError as error:
            raise UnusableExample("annotation damaged", str(error)) from error


def _train_labels(example: Example, record: dict[str, Any], source: Path) -> Example:
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


def _evaluation_labels(example: Example, record: dict[str, Any], source: Path) -> Example:
    roots = {hand: pickled_array(record, f"{side}HandJoints3D", (3,), source=source) for hand, side in SIDES.items()}
    boxes = {hand: pickled_array(record, f"{side}HandBoundingBox", (4,), source=source) for hand, side in SIDES.items()}
    fields = root_fields(roots)
    return fields | box_fields(example | fields, boxes)


def _flags(record: dict[str, Any], key: str, size: int, source: Path) -> np.ndarray:
    """Optional flags; all true where the file has none."""
    if record.get(key) is None:
        return np.ones(size, bool)
    return pickled_array(record, key, (size,), source=source) > 0
