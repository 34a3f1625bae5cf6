"""A dataset of one's own: a folder of images and one `labels.json` to schema examples; see docs/custom_dataset.md.

    {"joint_order": "openpose", "unit": "m", "images": [
        {"file": "images/0001.jpg", "split": "train", "intrinsics": [[600, 0, 320], [0, 600, 240], [0, 0, 1]],
         "right": {"joints_cam": [[0.01, 0.02, 0.6], null, ...]}, "left": {"joints_px": [[310, 200], null, ...]}}]}

3D joints are in the camera's frame, 2D ones in pixels of the image.
"""

import collections
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from input_pipeline.schema import HANDS_JOINTS, Example, empty_example
from occrobnet_jax.files.readers import MAX_JSON_BYTES, decode_image, lookup, number_array, read_bytes, read_json
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import HAND_NAMES, HO3D, INTERHAND, OPENPOSE, VISIBILITY, WRIST

LABELS_FILE = "labels.json"
ORDERS = {"interhand26m": INTERHAND, "ho3d": HO3D, "mano": HO3D, "openpose": OPENPOSE, "mediapipe": OPENPOSE}
METRES_PER = {"m": 1.0, "mm": 0.001}
IMAGE_KEYS = {"file", "split", "intrinsics", "box", "sequence", *HAND_NAMES}
HAND_KEYS = {"joints_cam", "joints_px"}
GUESSED_FOCAL_LENGTH = 1.0  # of the photo's long side, where there are no 3D joints to need the true one
MOST_APART = 0.05  # of the photo's long side: a joint's 2D place and the projection of its 3D one


class CustomDataset:
    """A source of examples, one per image of `labels.json`.

    Attributes:
        splits: number of examples of each split.
        settings: digest of the labels, so that a dataset made from others is noticed.

    Raises:
        ValueError: `labels.json` is missing, damaged, names joints, splits or settings that do not exist, or an
            image twice.
    """

    name = "custom"
    version = "1.0.0"

    def __init__(self, raw: Path) -> None:
        self._raw, self._source = Path(raw), Path(raw) / LABELS_FILE
        labels = read_json(self._source)
        self.settings = {"labels_sha256": hashlib.sha256(read_bytes(self._source, MAX_JSON_BYTES)).hexdigest()}
        self._order = _joint_order(lookup(labels, "joint_order", source=self._source), self._source)
        self._metres = _metres_per_unit(labels, self._source)
        self._images: dict[str, list[dict[str, Any]]] = {}
        images = lookup(labels, "images", source=self._source)
        if not isinstance(images, list) or not images:
            raise ValueError(f"{self._source}: images must be a list of at least one image")
        for number, image in enumerate(images):
            place = f"{self._source}: image {number}"
            _check_keys(image, IMAGE_KEYS, place)
            split = image.get("split", "train")
            if not isinstance(split, str) or not split.isidentifier():
                raise ValueError(f"{place} has the split {split!r}; take a name of letters, digits and _")
            self._images.setdefault(split, []).append(image)
        self._refuse_repeated()
        self.splits = {split: len(held) for split, held in self._images.items()}

    def example(self, split: str, index: int) -> Example:
        """Example number `index` of a split, in the order of `labels.json`.

        Raises:
            ValueError: its image is missing or damaged, or its labels contradict the format or each other.
        """
        image = self._images[split][index]
        name = lookup(image, "file", source=self._source)
        place = f"{self._source}: {name!r}"
        encoded = read_bytes(self._path(name))
        height, width = decode_image(encoded, name=str(self._raw / name)).shape[:2]
        example = empty_example() | {
            "image": encoded,
            "key": f"{split}/{name}",
            "sequence": str(image.get("sequence", "")),
            "height": np.int32(height),
            "width": np.int32(width),
            "hand_present": np.array([hand in image for hand in HAND_NAMES], np.uint8),
            "hand_present_known": np.uint8(1),
            "labels_complete": np.uint8(1),
        }
        example["intrinsics"] = self._intrinsics(image, example, place)
        for hand, hand_name in enumerate(HAND_NAMES):
            if hand_name in image:
                self._add_hand(example, hand, image[hand_name], f"{place}, {hand_name} hand")
        return example | _seen(example) | _box(example, image, place)

    def _refuse_repeated(self) -> None:
        """Keys are made of split and file, and must be unique."""
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
        if not path.resolve().is_relative_to(self._raw.resolve()):
            raise ValueError(f"{self._source} names the image {name!r}, which lies outside of its folder")
        return path

    def _intrinsics(self, image: dict[str, Any], example: Example, place: str) -> Float[np.ndarray, "3 3"]:
        if "intrinsics" in image:
            return number_array(image["intrinsics"], (3, 3), np.float32, name=f"{place}: intrinsics")
        if any("joints_cam" in image[hand] for hand in HAND_NAMES if isinstance(image.get(hand), dict)):
            raise ValueError(
                f"{place} has 3D joints and no intrinsics (3 x 3, px), without which they can't be cropped"
            )
        height, width = int(example["height"]), int(example["width"])
        focal = GUESSED_FOCAL_LENGTH * max(height, width)
        return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]], np.float32)

    def _add_hand(self, example: Example, hand: int, labels: Any, place: str) -> None:
        """Writes one hand's joints into the example; where both are given, the 3D ones count and the 2D ones check."""
        _check_keys(labels, HAND_KEYS, place)
        cam, in_3d = self._joints(labels.get("joints_cam"), 3, f"{place}: joints_cam")
        px, in_2d = self._joints(labels.get("joints_px"), 2, f"{place}: joints_px")
        cam = (self._metres * cam).astype(np.float32)
        if (cam[in_3d][:, 2] <= 0).any():
            axes = "its axes are x right, y down, z forward"
            raise ValueError(f"{place}: joints_cam has joints that aren't in front of the camera; {axes}")
        _check_agreement(px, project(cam, example["intrinsics"]), in_2d & in_3d, example, place)
        flat = in_2d & ~in_3d
        example["joints_cam_m"][hand], example["joints_annotated"][hand] = cam, in_3d
        example["joints_px"][hand], example["joints_px_only"][hand] = np.where(flat[:, None], px, 0), flat
        example["root_cam_m"][hand], example["root_known"][hand] = cam[WRIST], in_3d[WRIST]

    def _joints(self, values: Any, dimensions: int, place: str) -> tuple[np.ndarray, np.ndarray]:
        """Joints in our order, zeros where there are none, and which are there."""
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
                joints[joint] = number_array(value, (dimensions,), np.float64, name=f"{place}: {name}")
                known[joint] = True
        return joints, known


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


def _metres_per_unit(labels: Any, source: Path) -> float:
    _check_keys(labels, {"joint_order", "unit", "images"}, str(source))
    unit = labels.get("unit", "m")
    if unit not in METRES_PER:
        raise ValueError(f"{source}: unit={unit!r} (of 3D joints) must be one of {list(METRES_PER)}")
    return METRES_PER[unit]


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
    """Joints in the photo, and which are known in it."""
    in_3d, flat = example["joints_annotated"] > 0, example["joints_px_only"] > 0
    projected = project(example["joints_cam_m"], example["intrinsics"])
    return np.where(in_3d[..., None], projected, example["joints_px"]), in_3d | flat


def _seen(example: Example) -> Example:
    """Which joints lie inside the photo; more is not known of visibility."""
    px, known = _known_px(example)
    size = np.array([example["width"], example["height"]])
    inside = known & ((px >= -0.5) & (px < size - 0.5)).all(-1)
    outside, unknown = VISIBILITY.index("outside"), VISIBILITY.index("unknown")
    visibility = np.where(known & ~inside, outside, unknown).astype(np.uint8)
    return {"joints_in_image": inside.astype(np.uint8), "visibility": visibility.reshape(HANDS_JOINTS)}


def _box(example: Example, image: dict[str, Any], place: str) -> Example:
    """The box that is given, or the tight one around all joints."""
    px, known = _known_px(example)
    if "box" in image:
        box = number_array(image["box"], (4,), np.float32, name=f"{place}: box")
    elif known.sum() < 2:
        raise ValueError(f"{place} has neither a box (x0, y0, x1, y1 in px) nor two joints to put one around")
    else:
        box = np.concatenate([px[known].min(0), px[known].max(0)]).astype(np.float32)
    hand_boxes = np.zeros((2, 4), np.float32)
    for hand in np.flatnonzero(known.any(1)):
        points = px[hand][known[hand]]
        hand_boxes[hand] = np.concatenate([points.min(0), points.max(0)])
    return {"box_px": box, "box_known": np.uint8(1), "hand_box_px": hand_boxes}
