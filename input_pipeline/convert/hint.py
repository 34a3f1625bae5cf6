"""HInt: hands in the wild with 2D keypoints that are visible or occluded, from its official tree to schema examples.

    HInt_annotation_partial/{TRAIN,VAL,TEST}_{newdays,epick,ego4d}_{img,seq}/NAME_{l,r}.{jpg,json}

An annotation is a list of one hand: `bbox` [[x0, y0, x1, y1]], `keypoints` 21 x 2 in OpenPose's order, and for each of
them `occlusion` and `existence`, 0 or 1. Frames of Ego4D come under its own licence; a folder without any is left out.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.convert.custom import GUESSED_FOCAL_LENGTH, example_key
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import Example, empty_example
from occrobnet_jax.files.readers import decode_image, lookup, number_array, read_bytes, read_json
from occrobnet_jax.skeleton import INTERHAND, LEFT, OPENPOSE, RIGHT, VISIBILITY, permutation

FOLDERS = tuple(
    f"{split}_{place}"
    for split in ("TRAIN", "VAL", "TEST")
    for place in ("newdays_img", "epick_img", "ego4d_img", "ego4d_seq")
    if (split, place) != ("TRAIN", "ego4d_seq")
)
SIDES = {"l": LEFT, "r": RIGHT}
FROM_OPENPOSE = permutation(OPENPOSE, INTERHAND)
VISIBLE, HIDDEN, OUTSIDE = (VISIBILITY.index(name) for name in ("visible", "something", "outside"))


class HInt:
    """A source of examples, one an annotated hand; each folder is a split: `test_newdays_img`.

    Args:
        raw: the unpacked folder.

    Raises:
        ValueError: no folder of it holds annotations with photos.
    """

    name = "hint"
    version = "1.0.0"
    settings: Mapping[str, Any] = {}
    published: Mapping[str, Mapping[str, int]] = {}
    notes: Sequence[str] = (
        "2D only; of other hands in the photo nothing is known; focal lengths are guesses",
        "what hides an occluded joint is unknown",
    )

    def __init__(self, raw: Path) -> None:
        self._raw = Path(raw).expanduser()
        names = {folder: sorted(path.stem for path in (self._raw / folder).glob("*.json")) for folder in FOLDERS}
        self._names = {
            folder.lower(): held for folder, held in names.items() if held and any((self._raw / folder).glob("*.jpg"))
        }
        self.splits = {split: len(held) for split, held in self._names.items()}
        self.absent_splits = tuple(folder.lower() for folder in FOLDERS if folder.lower() not in self._names)
        if not self.splits:
            raise ValueError(f"{self._raw} has no photos and annotations in {FOLDERS[0]}, {FOLDERS[1]}, ...")

    def example(self, split: str, index: int) -> Example:
        """Return example number `index` of a split, in the order of its file names.

        Raises:
            UnusableExample: the photo is missing or damaged, or the annotation is not of one hand with a side.
        """
        name = self._names[split][index]
        source = self._raw / _folder(split) / f"{name}.json"
        encoded, (height, width) = _photo(source.with_suffix(".jpg"))
        focal = GUESSED_FOCAL_LENGTH * max(height, width)
        example = empty_example() | {
            "image": encoded,
            "key": example_key(split, name),
            "sequence": _video(name),
            "height": np.int32(height),
            "width": np.int32(width),
            "intrinsics": np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32),
            "hand_present": np.ones(2, np.uint8),  # whether the other one is, is unknown
            "labels_complete": np.uint8(1),
        }
        try:
            return example | _hand(_only(read_json(source), source), _side(name, source), (width, height), source)
        except ValueError as error:
            raise UnusableExample("annotation damaged", str(error)) from error


def _hand(record: Any, hand: int, size_px: tuple[int, int], source: Path) -> Example:
    """Return the fields of the annotated hand."""
    px = _array(record, "keypoints", (21, 2), source)[FROM_OPENPOSE]
    exists, occluded = (_array(record, name, (21,), source)[FROM_OPENPOSE] > 0.5 for name in ("existence", "occlusion"))
    inside = ((px >= -0.5) & (px < np.array(size_px) - 0.5)).all(-1)
    classes = np.where(inside, np.where(occluded, HIDDEN, VISIBLE), OUTSIDE)
    fields = {name: np.zeros((2, 21), np.uint8) for name in ("joints_px_only", "joints_in_image", "visibility")}
    fields["joints_px_only"][hand] = exists
    fields["joints_in_image"][hand] = exists & inside
    fields["visibility"][hand] = np.where(exists, classes, VISIBILITY.index("unknown"))
    joints_px, hand_box_px = np.zeros((2, 21, 2), np.float32), np.zeros((2, 4), np.float32)
    joints_px[hand] = np.where(exists[:, None], px, 0)
    (box,) = _array(record, "bbox", (1, 4), source).astype(np.float32)
    hand_box_px[hand] = box
    return fields | {"joints_px": joints_px, "box_px": box, "box_known": np.uint8(1), "hand_box_px": hand_box_px}


def _array(record: Any, name: str, shape: tuple[int, ...], source: Path) -> np.ndarray:
    return number_array(lookup(record, name, source=source), shape, np.float64, name=f"{source}: {name}")


def _only(annotation: Any, source: Path) -> Any:
    """Return the one hand of an annotation."""
    if not isinstance(annotation, list) or len(annotation) != 1:
        raise ValueError(f"{source} isn't a list of one hand")
    return annotation[0]


def _side(name: str, source: Path) -> int:
    side = name.rpartition("_")[2]
    if side not in SIDES:
        raise ValueError(f"{source} ends neither with _l nor with _r, and says in no other place which hand it is")
    return SIDES[side]


def _photo(path: Path) -> tuple[bytes, tuple[int, int]]:
    """Return a photo as it is stored, and its height and width."""
    if not path.is_file():
        raise UnusableExample("image missing", f"{path} is missing")
    try:
        encoded = read_bytes(path)
        height, width = decode_image(encoded, name=str(path)).shape[:2]
    except ValueError as error:
        raise UnusableExample("image damaged", str(error)) from error
    return encoded, (height, width)


def _video(name: str) -> str:
    """Return the video that a frame is of: what stands before its number, or Ego4D's first identifier."""
    before, is_numbered, _ = name.partition("_frame_" if re.search(r"_frame_\d", name) else "_frame")
    return before if is_numbered and re.match(r"(ND|EK)_", name) else name.partition("_")[0]


def _folder(split: str) -> str:
    return next(folder for folder in FOLDERS if folder.lower() == split)
