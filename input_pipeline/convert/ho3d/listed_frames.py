"""What HO-3D and H2O-3D have in common: official lists of frames, and a metadata file, photo and mask for each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.convert.frame_checks import check_frames
from input_pipeline.convert.ho3d.files import SPLITS, FrameFiles, FrameList
from input_pipeline.convert.ho3d.held_out import OFFICIAL_SPLIT, frames_by_split, notes_on_validation, sequences_of
from input_pipeline.convert.ho3d.labels import camera_fields, object_fields
from input_pipeline.convert.ho3d.masks import check_object_masks, painted_frames
from input_pipeline.convert.occlusion import WITHOUT_OCCLUSION, Occlusion, with_object
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import Example, empty_example


class ListedFrames(ABC):
    """A source of examples, one per frame of the official lists, in their order.

    Args:
        raw: folder of the unpacked archive.
        lists: the official lists that are there.
        occlusion: what tells which joints are hidden, if anything does.
    """

    name: str
    version: str
    hand_present: tuple[int, int]  # right, left; in every frame
    object_channel: int  # of R, G, B in the rendered segmentations

    def __init__(self, raw: Path, lists: Mapping[str, FrameList], occlusion: Occlusion | None) -> None:
        self._raw, self._occlusion = Path(raw), occlusion
        self._lists_sha256 = {split: frames.sha256 for split, frames in lists.items()}
        self._frames = frames_by_split(lists)
        self.splits = {split: len(frames) for split, frames in self._frames.items()}

    def check(self) -> None:
        """Look at some frames of each split.

        Raises:
            ValueError: the segmentations are of another version, or labels don't fit each other.
        """
        for split, count in self.splits.items():
            painted = painted_frames(count, partial(self._files, split), partial(self._labels, split))
            check_object_masks(f"{self.name}'s {split}", painted, self.object_channel)
            check_frames(f"{self.name}'s {split}", partial(self._labels, split), count, self._occlusion)

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
        return [*([] if self._occlusion else [WITHOUT_OCCLUSION]), *notes_on_validation(self._frames)]

    def example(self, split: str, index: int) -> Example:
        """Return example number `index` of a split, in the order of its list.

        Raises:
            UnusableExample: one of its files is missing or damaged, or it has no annotation.
        """
        files, example = self._files(split, index), self._labels(split, index)
        example |= self._occlusion.labels(example) if self._occlusion else {}
        example["image"] = files.image()
        example["segmentation"] = with_object(example["segmentation"], files.segmentation(self.object_channel))
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
            example["hand_present"] = np.array(self.hand_present, np.uint8)
            example["hand_present_known"] = np.uint8(1)
            labels = self._evaluation_labels if split == "evaluation" else self._train_labels
            return example | labels(example, record, files.meta_path, index)
        except ValueError as error:
            raise UnusableExample("annotation damaged", str(error)) from error

    @abstractmethod
    def _train_labels(self, example: Example, record: dict[str, Any], source: Path, index: int) -> Example:
        """Return the hands' labels of a training frame."""

    @abstractmethod
    def _evaluation_labels(self, example: Example, record: dict[str, Any], source: Path, index: int) -> Example:
        """Return the hands' labels of frame number `index` of the evaluation list."""
