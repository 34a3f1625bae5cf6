"""A dataset of one's own: a folder of images and one `labels.json` to schema examples; see docs/custom_dataset.md.

    {"joint_order": "openpose", "unit": "m", "images": [
        {"file": "images/0001.jpg", "split": "train", "intrinsics": [[600, 0, 320], [0, 600, 240], [0, 0, 1]],
         "right": {"joints_cam": [[0.01, 0.02, 0.6], null, ...]}, "left": {"joints_px": [[310, 200], null, ...]}}]}

3D joints are in the camera's frame, 2D ones in pixels of the image.
"""

import collections
import hashlib
import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float

from input_pipeline.convert.custom_checks import check_labels, check_together
from input_pipeline.convert.frame_checks import spread, usable
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import HANDS_JOINTS, KEY_BYTES, Example, empty_example
from occrobnet_jax.files.image_header import is_heic, refuse_truncated
from occrobnet_jax.files.readers import MAX_IMAGE_BYTES, MEBIBYTE, decode_image, lookup, number_array, read_bytes
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import HAND_NAMES, HO3D, INTERHAND, OPENPOSE, VISIBILITY, WRIST

LABELS_FILE = "labels.json"
MAX_LABELS_BYTES = 2048 * MEBIBYTE  # some 600,000 photos of two hands in 3D
MAX_SEQUENCE_CHARACTERS = 200
_SPLIT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")
ORDERS = {"interhand26m": INTERHAND, "ho3d": HO3D, "mano": HO3D, "openpose": OPENPOSE, "mediapipe": OPENPOSE}
METERS_PER = {"m": 1.0, "mm": 0.001}
IMAGE_KEYS = {"file", "split", "intrinsics", "box", "sequence", "all_hands", *HAND_NAMES}
HAND_KEYS = {"joints_cam", "joints_px"}
GUESSED_FOCAL_LENGTH = 1.0  # of the photo's long side, where there are no 3D joints to need the true one
MOST_APART = 0.05  # of the photo's long side: a joint's 2D place and the projection of its 3D one


class CustomDataset:
    """A source of examples, one per image of `labels.json`.

    Attributes:
        splits: number of examples of each split.
        settings: digests of labels and photos, so that a dataset made from others is noticed.
        notes: sentences on what the user should know.

    Args:
        raw: the folder.
        follow_links: whether photos may be links to files outside of it.

    Raises:
        ValueError: `labels.json` is missing, damaged, names joints, splits or settings that do not exist, or an
            image twice.
    """

    name = "custom"
    version = "1.0.0"

    def __init__(self, raw: Path, *, follow_links: bool = False) -> None:
        self._raw, self._source = Path(raw).expanduser(), Path(raw).expanduser() / LABELS_FILE
        self._follow_links = follow_links
        content = _read_file(self._source, MAX_LABELS_BYTES)
        labels = _parsed(content, self._source)
        self._order = _joint_order(lookup(labels, "joint_order", source=self._source), self._source)
        self._meters = _meters_per_unit(labels, self._source)
        self._images: dict[str, list[dict[str, Any]]] = {}
        images = lookup(labels, "images", source=self._source)
        if not isinstance(images, list) or not images:
            raise ValueError(f"{self._source}: images must be a list of at least one image")
        for number, image in enumerate(images):
            place = f"{self._source}: image {number}"
            _check_keys(image, IMAGE_KEYS, place)
            split = image.get("split", "train")
            if not isinstance(split, str) or not _SPLIT.fullmatch(split) or split == "all":  # TFDS's word for all
                raise ValueError(
                    f"{place} has the split {str(split)[:60]!r}; take a name of up to 32 letters, digits and _, "
                    "but not 'all'"
                )
            self._images.setdefault(split, []).append(image)
        self._refuse_repeated()
        self.splits = {split: len(held) for split, held in self._images.items()}
        self.settings = {
            "labels_sha256": hashlib.sha256(content).hexdigest(),
            "photos_sha256": self._photos_sha256(),
        }
        looked_at = [
            example
            for split, count in self.splits.items()
            for example in usable(partial(self.example, split), spread(count))
        ]
        self.notes = check_together(looked_at)

    def example(self, split: str, index: int) -> Example:
        """Return example number `index` of a split, in the order of `labels.json`.

        Raises:
            ValueError: its image is missing or damaged, or its labels contradict the format or each other.
        """
        image = self._images[split][index]
        name = lookup(image, "file", source=self._source)
        place = f"{self._source}: {name!r}"
        encoded, height, width = self._photo(name)
        example = empty_example() | {
            "image": encoded,
            "key": example_key(split, name),
            "sequence": _sequence(image, place),
            "height": np.int32(height),
            "width": np.int32(width),
            **_presence(image, place),
            "labels_complete": np.uint8(1),
        }
        example["intrinsics"] = self._intrinsics(image, example, place)
        for hand, hand_name in enumerate(HAND_NAMES):
            if hand_name in image:
                self._add_hand(example, hand, image[hand_name], f"{place}, {hand_name} hand")
        example |= _seen(example) | _box(example, image, place)
        check_labels(example, *_known_px(example), unit_m=self._meters, place=place)
        return example

    def _photo(self, name: str) -> tuple[bytes, int, int]:
        """Return a photo as it is stored, its height and its width.

        Raises:
            UnusableExample: it is missing, damaged, or of a kind that isn't read.
        """
        path = self._path(name)
        try:
            encoded = _read_file(path)
        except ValueError as error:
            raise UnusableExample("image missing", str(error)) from error
        if is_heic(encoded):
            raise UnusableExample("image is HEIC", f"{path} is a HEIC or AVIF image; convert it to JPEG or PNG")
        try:
            refuse_truncated(encoded, name=str(path))
            height, width = decode_image(encoded, name=str(path)).shape[:2]
        except ValueError as error:
            raise UnusableExample("image damaged", str(error)) from error
        return encoded, height, width

    def _photos_sha256(self) -> str:
        """Hash all photos, so that one that was replaced is noticed though its labels are the same."""
        digest = hashlib.sha256()
        for image in (image for images in self._images.values() for image in images):
            path = self._path(lookup(image, "file", source=self._source))
            try:
                digest.update(hashlib.sha256(_read_file(path)).digest())
            except ValueError:
                digest.update(b"missing")
        return digest.hexdigest()

    def _refuse_repeated(self) -> None:
        """Refuse keys that come twice: they are made of split and file."""
        for split, images in self._images.items():
            numbers = collections.Counter(str(image.get("file")) for image in images)
            name, count = numbers.most_common(1)[0]
            if count > 1:
                raise ValueError(
                    f"{self._source} names the image {name!r} {count} times in the split {split!r}; put both hands "
                    "into one entry, and leave repeated ones out"
                )

    def _path(self, name: Any) -> Path:
        path = self._raw / str(name)
        place = f"{self._source} names the image {str(name)[:200]!r}, which"
        if not isinstance(name, str) or "\0" in name or PurePosixPath(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"{place} lies outside of its folder, or isn't the name of a file")
        try:
            is_within = path.resolve().is_relative_to(self._raw.resolve())
        except (OSError, RuntimeError) as error:  # a link to itself
            raise ValueError(f"{place} can't be followed: {error}") from error
        if not is_within and not self._follow_links:
            raise ValueError(f"{place} is a link that leads outside of its folder; --follow_links allows it")
        return path

    def _intrinsics(self, image: dict[str, Any], example: Example, place: str) -> Float[np.ndarray, "3 3"]:
        if "intrinsics" in image:
            return _numbers(image["intrinsics"], (3, 3), f"{place}: intrinsics").astype(np.float32)
        if any("joints_cam" in image[hand] for hand in HAND_NAMES if isinstance(image.get(hand), dict)):
            raise ValueError(
                f"{place} has 3D joints and no intrinsics (3 x 3, px), without which they can't be cropped"
            )
        height, width = int(example["height"]), int(example["width"])
        focal = GUESSED_FOCAL_LENGTH * max(height, width)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32)

    def _add_hand(self, example: Example, hand: int, labels: Any, place: str) -> None:
        """Write one hand's joints into the example; where both are given, the 3D ones count and the 2D ones check."""
        _check_keys(labels, HAND_KEYS, place)
        cam, in_3d = self._joints(labels.get("joints_cam"), 3, f"{place}: joints_cam")
        px, in_2d = self._joints(labels.get("joints_px"), 2, f"{place}: joints_px")
        cam = (self._meters * cam).astype(np.float32)
        if (cam[in_3d][:, 2] <= 0).any():
            axes = "its axes are x right, y down, z forward"
            raise ValueError(f"{place}: joints_cam has joints that aren't in front of the camera; {axes}")
        _check_agreement(px, project(cam, example["intrinsics"]), in_2d & in_3d, example, place)
        flat = in_2d & ~in_3d
        example["joints_cam_m"][hand], example["joints_annotated"][hand] = cam, in_3d
        example["joints_px"][hand], example["joints_px_only"][hand] = np.where(flat[:, None], px, 0), flat
        example["root_cam_m"][hand], example["root_known"][hand] = cam[WRIST], in_3d[WRIST]

    def _joints(self, values: Any, dimensions: int, place: str) -> tuple[np.ndarray, np.ndarray]:
        """Return joints in our order, zeros where there are none, and which are there."""
        joints, known = np.zeros((len(INTERHAND), dimensions)), np.zeros(len(INTERHAND), bool)
        if values is None:
            return joints, known
        if not isinstance(values, list) or len(values) != len(self._order):
            held = len(values) if isinstance(values, list) else type(values).__name__
            raise ValueError(
                f"{place} must list {len(self._order)} joints, as joint_order says, or null; it has {held}"
            )
        for name, value in zip(self._order, values, strict=True):
            if value is not None:
                joint = INTERHAND.index(name)
                joints[joint] = _numbers(value, (dimensions,), f"{place}: {name}")
                known[joint] = True
        return joints, known


def example_key(split: str, name: str) -> str:
    """Return what names a photo: split and file, or of long ones a hash and the end of the name."""
    key = f"{split}/{name}"
    if len(key.encode()) <= KEY_BYTES:
        return key
    start = f"{split}/{hashlib.sha256(name.encode()).hexdigest()[:24]}-"
    return start + name.encode()[len(start) - KEY_BYTES :].decode(errors="ignore")


def _read_file(path: Path, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would never end
        raise ValueError(f"{path} can't be read: it is {'a folder' if path.is_dir() else 'no ordinary file'}")
    return read_bytes(path, max_bytes)


def _parsed(content: bytes, source: Path) -> Any:
    """Return the labels of a JSON file that names nothing twice."""
    try:
        return json.loads(content, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source} is not valid JSON: {error}") from error


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {repeated[:60]!r} stands twice in one place")
    return dict(pairs)


def _sequence(image: dict[str, Any], place: str) -> str:
    sequence = image.get("sequence", "")
    if not isinstance(sequence, str | int) or len(str(sequence)) > MAX_SEQUENCE_CHARACTERS:
        raise ValueError(f"{place}: sequence must be a text of up to {MAX_SEQUENCE_CHARACTERS} characters")
    return str(sequence)


def _presence(image: dict[str, Any], place: str) -> Example:
    """Return which hands are in the picture; where others than the listed ones may be, each of them may."""
    all_hands = image.get("all_hands", True)
    if not isinstance(all_hands, bool):
        raise ValueError(f"{place}: all_hands must be true or false")
    present = [hand in image or not all_hands for hand in HAND_NAMES]
    return {"hand_present": np.array(present, np.uint8), "hand_present_known": np.uint8(all_hands)}


def _numbers(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Return numbers as an array; texts and booleans are none, though NumPy would take them."""
    if not _is_numeric(value):
        raise ValueError(f"{name} holds what is no number, or isn't a list of {' x '.join(map(str, shape))} numbers")
    return number_array(value, shape, np.float64, name=name)


def _is_numeric(value: Any) -> bool:
    return all(map(_is_numeric, value)) if isinstance(value, list) else type(value) in (int, float)


def _joint_order(given: Any, source: Path) -> tuple[str, ...]:
    if isinstance(given, str) and given in ORDERS:
        return ORDERS[given]
    names = given if isinstance(given, list) else []
    wrong = [name for name in names if name not in INTERHAND]
    if not names or wrong or len(set(map(str, names))) < len(names):
        raise ValueError(
            f"{source}: joint_order={given!r} must be one of {list(ORDERS)}, or a list of different names out of "
            f"{list(INTERHAND)} (1 is a finger's base, 4 its tip)" + (f"; {wrong} are none of them" if wrong else "")
        )
    return tuple(names)


def _meters_per_unit(labels: Any, source: Path) -> float:
    _check_keys(labels, {"joint_order", "unit", "images"}, str(source))
    unit = labels.get("unit", "m")
    if not isinstance(unit, str) or unit not in METERS_PER:
        raise ValueError(f"{source}: unit={str(unit)[:40]!r} (of 3D joints) must be one of {list(METERS_PER)}")
    return METERS_PER[unit]


def _check_keys(value: Any, known: set[str], place: str) -> None:
    if not isinstance(value, dict) or not value.keys() <= known:
        unknown = sorted(value.keys() - known) if isinstance(value, dict) else type(value).__name__
        raise ValueError(f"{place}: {unknown} is not among the names that may stand there, {sorted(known)}")


def _check_agreement(px: np.ndarray, projected_px: np.ndarray, both: np.ndarray, example: Example, place: str) -> None:
    if not both.any():
        return
    apart = np.linalg.norm(px - projected_px, axis=-1)[both].max()
    if apart > MOST_APART * max(example["height"], example["width"]):
        raise ValueError(
            f"{place}: joints_cam lies up to {apart:.0f} px from joints_px when projected; check unit, intrinsics, and "
            "the camera's axes (x right, y down, z forward)"
        )


def _known_px(example: Example) -> tuple[np.ndarray, np.ndarray]:
    """Return joints in the photo, and which are known in it."""
    in_3d, flat = example["joints_annotated"] > 0, example["joints_px_only"] > 0
    projected = project(example["joints_cam_m"], example["intrinsics"])
    return np.where(in_3d[..., None], projected, example["joints_px"]), in_3d | flat


def _seen(example: Example) -> Example:
    """Return which joints lie inside the photo; more is not known of visibility."""
    px, known = _known_px(example)
    size = np.array([example["width"], example["height"]])
    inside = known & ((px >= -0.5) & (px < size - 0.5)).all(-1)
    outside, unknown = VISIBILITY.index("outside"), VISIBILITY.index("unknown")
    visibility = np.where(known & ~inside, outside, unknown).astype(np.uint8)
    return {"joints_in_image": inside.astype(np.uint8), "visibility": visibility.reshape(HANDS_JOINTS)}


def _box(example: Example, image: dict[str, Any], place: str) -> Example:
    """Return the box that is given, or the tight one around all joints."""
    px, known = _known_px(example)
    if "box" in image:
        box = _numbers(image["box"], (4,), f"{place}: box").astype(np.float32)
    elif known.sum() < 2:
        raise ValueError(f"{place} has neither a box (x0, y0, x1, y1 in px) nor two joints to put one around")
    else:
        box = np.concatenate([px[known].min(0), px[known].max(0)]).astype(np.float32)
    hand_boxes = np.zeros((2, 4), np.float32)
    for hand in np.flatnonzero(known.any(1)):
        points = px[hand][known[hand]]
        hand_boxes[hand] = np.concatenate([points.min(0), points.max(0)])
    return {"box_px": box, "box_known": np.uint8(1), "hand_box_px": hand_boxes}
