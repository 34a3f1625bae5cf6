"""The files of HO-3D and H2O-3D: frame lists, images, metadata and segmentations of the same layout.

{train,evaluation}/SEQUENCE/{rgb,meta[,segr]}/0000.{png|jpg,pkl}
train.txt, evaluation.txt            one SEQUENCE/0000 a line; files that they don't name may lack annotations
evaluation_xyz.json                  HO-3D's ground truth of the evaluation split, optional
"""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from input_pipeline.convert.sources import UnusableExample
from occrobnet_jax.files.hashes import file_sha256
from occrobnet_jax.files.readers import MEBIBYTE, decode_image, read_bytes, read_pickle, read_words

SPLITS = ("train", "evaluation")
SIZE_PX = (640, 480)  # width, height of every image
OBJECT_LABEL = 3
BRIGHT_ABOVE = 200  # of 255, as in Keypoint Transformer's loaders: some copies of the segmentations are JPEGs
MAX_LIST_BYTES = 16 * MEBIBYTE
IMAGE_SUFFIXES = (".jpg", ".png")
SEGMENTATION_FOLDERS = (
    *("{split}/{sequence}/segr", "{split}/{sequence}/seg", "segr/{split}/{sequence}/seg"),
    *("HO3D_v2_segmentations_rendered/{split}/{sequence}/seg", "HO3D_v3_segmentations_rendered/{split}/{sequence}/seg"),
)
_LINE = re.compile(r"([A-Za-z0-9_-]+)/(\d{1,8})")


@dataclasses.dataclass(frozen=True)
class FrameList:
    """The frames of one official list, in its order."""

    path: Path
    frames: tuple[tuple[str, str], ...]  # sequence, number
    sha256: str


def read_frame_lists(raw: Path) -> dict[str, FrameList]:
    """Return the lists of the splits that are there.

    Raises:
        ValueError: there is none, or one is damaged.
    """
    present = [split for split in SPLITS if (raw / split).is_dir() and (raw / f"{split}.txt").is_file()]
    if not present:
        raise ValueError(f"{raw} holds no split: train/ beside train.txt, or evaluation/ beside evaluation.txt")
    return {split: _read_frame_list(raw / f"{split}.txt") for split in present}


def _read_frame_list(path: Path) -> FrameList:
    lines = read_words(path, MAX_LIST_BYTES)
    frames = []
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}: line {number} is {line[:40]!r} where SEQUENCE/0000 is expected")
        frames.append((match[1], match[2]))
    if not frames or len(set(frames)) != len(frames):
        raise ValueError(
            f"{path} names {len(frames) - len(set(frames))} frames twice" if frames else f"{path} is empty"
        )
    return FrameList(path, tuple(frames), file_sha256(path))


@dataclasses.dataclass(frozen=True)
class FrameFiles:
    """The files of one frame."""

    raw: Path
    split: str
    sequence: str
    number: str

    def image(self) -> bytes:
        """Return the photo as it was downloaded.

        Raises:
            UnusableExample: it isn't there.
        """
        stem = self.raw / self.split / self.sequence / "rgb" / self.number
        found = next((path for suffix in IMAGE_SUFFIXES if (path := stem.with_suffix(suffix)).is_file()), None)
        try:
            return read_bytes(found or stem.with_suffix(IMAGE_SUFFIXES[0]))
        except ValueError as error:
            raise UnusableExample("image missing", str(error)) from error

    @property
    def meta_path(self) -> Path:
        """File of the annotations."""
        return self.raw / self.split / self.sequence / "meta" / f"{self.number}.pkl"

    def meta(self) -> dict[str, Any]:
        """Return the annotations.

        Raises:
            UnusableExample: they aren't there, aren't plain data, or say that the frame has none.
        """
        path = self.meta_path
        if not path.is_file():
            raise UnusableExample("annotation missing", f"{path} can't be read: no such file")
        try:
            record = read_pickle(path)
        except ValueError as error:
            raise UnusableExample("annotation damaged", str(error)) from error
        if record.get("objRot", 0) is None:  # the authors' own test
            raise UnusableExample("not annotated", f"{path} has no annotation: objRot is None")
        return record

    def colors(self) -> UInt8[np.ndarray, "h w 3"] | None:
        """Return the segmentation as it is painted, RGB; None where there is none.

        Raises:
            UnusableExample: the file is damaged.
        """
        folder = _segmentation_folder(self.raw, self.split, self.sequence)
        found = folder and next((p for s in (".png", ".jpg") if (p := folder / f"{self.number}{s}").is_file()), None)
        try:
            return decode_image(read_bytes(found), name=str(found)) if found else None
        except ValueError as error:
            raise UnusableExample("segmentation damaged", str(error)) from error

    def segmentation(self, object_channel: int) -> bytes:
        """Return a PNG of the object's pixels (label 3); the authors don't say which colors the hands have. b"" if
        unknown.

        Args:
            object_channel: of R, G, B, the one that is bright on the object.

        Raises:
            UnusableExample: the file is damaged.
        """
        colors = self.colors()
        if colors is None:
            return b""
        labels = np.where(colors[..., object_channel] > BRIGHT_ABOVE, OBJECT_LABEL, 0).astype(np.uint8)
        return cv2.imencode(".png", labels)[1].tobytes()


@functools.lru_cache(maxsize=1024)
def _segmentation_folder(raw: Path, split: str, sequence: str) -> Path | None:
    folders = (raw / name.format(split=split, sequence=sequence) for name in SEGMENTATION_FOLDERS)
    return next((folder for folder in folders if folder.is_dir()), None)
