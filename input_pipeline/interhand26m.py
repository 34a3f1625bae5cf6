"""InterHand2.6M v1.0: its official folders and JSON files to schema examples.

Expected under the raw folder (any split may be absent; the images may lie one folder deeper, as they are downloaded):

    annotations/{train,val,test}/InterHand2.6M_{split}_{data,camera,joint_3d}.json
    images/{train,val,test}/Capture*/SEQUENCE/cam*/image*.jpg

World coordinates are millimetres, X_cam = R (X_world - campos). The box of the annotations is 1.2 times the tight box
of the joints; it is stored as given. Licence of the data: CC-BY-NC 4.0.
"""

import dataclasses
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float

from input_pipeline.readers import MEBIBYTE, decode_image, lookup, number_array, read_bytes, read_json
from input_pipeline.schema import HANDS_JOINTS, Example, empty_example
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import VISIBILITY, WRIST

SPLITS = ("train", "val", "test")
FILES = ("data", "camera", "joint_3d")
HAND_TYPES = {"right": (1, 0), "left": (0, 1), "interacting": (1, 1)}
MAX_JSON_BYTES = 16 * 1024 * MEBIBYTE  # the 30 fps training annotations are several gigabytes
METRES_PER_UNIT = 0.001


@dataclasses.dataclass(frozen=True)
class _Annotations:
    """The three JSON files of one split, as read, and where they came from."""

    files: dict[str, Path]
    images: dict[int, dict[str, Any]]  # by id
    annotations: list[dict[str, Any]]
    cameras: dict[str, Any]
    joints: dict[str, Any]


class InterHand26M:
    """A source of examples, one per annotated image.

    Attributes:
        splits: number of examples of each split that is there.
        absent_splits: names of the others.
        settings: sizes of the annotation files; those at 5 and at 30 frames per second differ in them.

    Raises:
        ValueError: nothing of the expected layout is in `raw`, a split is there in part, or a file is damaged.
    """

    name = "interhand26m"
    version = "1.0.0"

    def __init__(self, raw: Path) -> None:
        self._images_dir = _images_dir(Path(raw))
        annotations_dir = _annotations_dir(Path(raw))
        present = [split for split in SPLITS if (annotations_dir / split).is_dir()]
        if not present:
            raise ValueError(f"{annotations_dir} holds none of the splits {list(SPLITS)}")
        self._annotations = {split: _read_annotations(annotations_dir / split, split) for split in present}
        self.splits = {split: len(read.annotations) for split, read in self._annotations.items()}
        self.absent_splits = tuple(split for split in SPLITS if split not in self.splits)
        self.settings: dict[str, Any] = {
            "annotation_bytes": {file.name: file.stat().st_size for file in self._annotation_files()}
        }

    def example(self, split: str, index: int) -> Example:
        """Example number `index` of a split, in the order of the annotations.

        Raises:
            ValueError: its image or one of its annotations is missing or damaged.
        """
        read = self._annotations[split]
        source = read.files["data"]
        annotation = read.annotations[index]
        record = read.images[annotation["image_id"]]
        example = empty_example() | _identity(annotation, record, source)
        image_path = self._images_dir / split / _relative_path(lookup(record, "file_name", source=source), source)
        example["image"] = read_bytes(image_path)
        decode_image(example["image"], name=str(image_path))
        example |= _hands(annotation, source)
        example["intrinsics"], rotation, position = _camera(read, record)
        example |= _joints(read, record, rotation, position)
        example |= _seen(example, annotation, source)
        return example

    def _annotation_files(self) -> list[Path]:
        return [file for read in self._annotations.values() for file in read.files.values()]


def _images_dir(raw: Path) -> Path:
    found = [folder for folder in (raw, *sorted(raw.glob("InterHand2.6M_*fps_batch1"))) if (folder / "images").is_dir()]
    if len(found) != 1:
        held = f"{len(found)} of them: {[str(folder) for folder in found]}" if found else "none"
        raise ValueError(f"{raw} must hold one folder images/ or InterHand2.6M_*fps_batch1/images/, it holds {held}")
    return found[0] / "images"


def _annotations_dir(raw: Path) -> Path:
    for folder in (raw, *sorted(raw.glob("InterHand2.6M_*fps_batch1"))):
        if (folder / "annotations").is_dir():
            return folder / "annotations"
    raise ValueError(f"{raw} holds no folder annotations/ of InterHand2.6M v1.0")


def _read_annotations(folder: Path, split: str) -> _Annotations:
    files = {kind: folder / f"InterHand2.6M_{split}_{kind}.json" for kind in FILES}
    data, cameras, joints = (read_json(files[kind], MAX_JSON_BYTES) for kind in FILES)
    images, annotations = (lookup(data, key, source=files["data"]) for key in ("images", "annotations"))
    by_id = {lookup(image, "id", source=files["data"]): image for image in images}
    for annotation in annotations:
        if lookup(annotation, "image_id", source=files["data"]) not in by_id:
            raise ValueError(f"{files['data']} has an annotation of image {annotation['image_id']}, which it lacks")
    return _Annotations(files, by_id, annotations, cameras, joints)


def _relative_path(file_name: str, source: Path) -> PurePosixPath:
    path = PurePosixPath(file_name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{source} names the image {file_name!r}, which lies outside of its folder")
    return path


def _identity(annotation: dict[str, Any], record: dict[str, Any], source: Path) -> Example:
    names = ("capture", "seq_name", "camera", "frame_idx", "height", "width")
    capture, sequence, camera, frame, height, width = (lookup(record, name, source=source) for name in names)
    return {
        "key": f"Capture{capture}/{sequence}/cam{camera}/image{frame}",
        "sequence": f"Capture{capture}/{sequence}",
        "camera": str(camera),
        "annotation_id": np.int64(lookup(annotation, "id", source=source)),
        "height": np.int32(height),
        "width": np.int32(width),
    }


def _hands(annotation: dict[str, Any], source: Path) -> Example:
    hand_type = lookup(annotation, "hand_type", source=source)
    if hand_type not in HAND_TYPES:
        raise ValueError(f"{source}: annotation {annotation['id']} has the hand_type {hand_type!r}")
    box = number_array(
        lookup(annotation, "bbox", source=source), (4,), np.float64, name=f"{source}: bbox of {annotation['id']}"
    )
    return {
        "hand_present": np.array(HAND_TYPES[hand_type], np.uint8),
        "hand_present_known": np.uint8(bool(lookup(annotation, "hand_type_valid", source=source))),
        "labels_complete": np.uint8(1),
        "box_px": np.concatenate([box[:2], box[:2] + box[2:]]).astype(np.float32),
        "box_known": np.uint8(1),
    }


def _camera(read: _Annotations, record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Intrinsics, rotation and position (mm) of the camera that took an image."""
    source, capture, camera = read.files["camera"], str(record["capture"]), str(record["camera"])

    def field(name: str, shape: tuple[int, ...]) -> np.ndarray:
        value = lookup(read.cameras, capture, name, camera, source=source)
        return number_array(value, shape, np.float64, name=f"{source}: {capture}/{name}/{camera}")

    focal, centre = field("focal", (2,)), field("princpt", (2,))
    intrinsics = np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]], np.float32)
    return intrinsics, field("camrot", (3, 3)), field("campos", (3,))


def _joints(read: _Annotations, record: dict[str, Any], rotation: np.ndarray, position: np.ndarray) -> Example:
    """3D joints in the camera frame under the raw 3D mask; joints outside of the mask may hold anything."""
    source, keys = read.files["joint_3d"], (str(record["capture"]), str(record["frame_idx"]))
    frame = lookup(read.joints, *keys, source=source)
    name = f"{source}: {'/'.join(keys)}"
    world = number_array(lookup(frame, "world_coord", source=source), (42, 3), np.float64, name=f"{name}/world_coord")
    valid = number_array(lookup(frame, "joint_valid", source=source), (42, 1), np.uint8, name=f"{name}/joint_valid")
    annotated = valid.reshape(HANDS_JOINTS)
    joints_cam_m = METRES_PER_UNIT * (world - position) @ rotation.T
    joints_cam_m = np.where(annotated[..., None] > 0, joints_cam_m.reshape(*HANDS_JOINTS, 3), 0).astype(np.float32)
    return {
        "joints_cam_m": joints_cam_m,
        "joints_annotated": annotated,
        "root_cam_m": joints_cam_m[:, WRIST],
        "root_known": annotated[:, WRIST],
    }


def _seen(example: Example, annotation: dict[str, Any], source: Path) -> Example:
    """What follows from the 2D mask: joints inside the image, and all that is known about visibility."""
    valid = lookup(annotation, "joint_valid", source=source)
    in_image = number_array(valid, (42, 1), np.uint8, name=f"{source}: joint_valid of {annotation['id']}")
    in_image = in_image.reshape(HANDS_JOINTS)
    annotated = example["joints_annotated"] > 0
    outside = annotated & (in_image == 0)
    return {
        "joints_in_image": in_image,
        "visibility": np.where(outside, VISIBILITY.index("outside"), VISIBILITY.index("unknown")).astype(np.uint8),
        "hand_box_px": _hand_boxes(project(example["joints_cam_m"], example["intrinsics"]), annotated),
    }


def _hand_boxes(joints_px: Float[np.ndarray, "2 21 2"], annotated: np.ndarray) -> Float[np.ndarray, "2 4"]:
    """Tight box (x0, y0, x1, y1) of each hand's annotated joints; zeros without any."""
    boxes = np.zeros((2, 4), np.float32)
    for hand in np.flatnonzero(annotated.any(1)):
        points = joints_px[hand][annotated[hand]]
        boxes[hand] = np.concatenate([points.min(0), points.max(0)])
    return boxes
