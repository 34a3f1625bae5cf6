"""The annotations of InterHand2.6M as tables: JSON of gigabytes is read once, and memory-mapped by every process.

A table's row holds what one annotation says about one image; cameras and moments (the 3D joints of one frame, which
some hundred cameras share) have tables of their own. A record that is damaged doesn't stop the others: its sentence
is kept, and the examples that need it are left out.
"""

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from input_pipeline.convert.interhand26m.layout import SplitFiles
from input_pipeline.convert.interhand26m.lists import in_subset, read_rootnet
from input_pipeline.convert.interhand26m.scenes import BOTH_HANDS, joint_mask, note_damage, read_cameras, read_moments
from occrobnet_jax.files.json_stream import json_items
from occrobnet_jax.files.readers import lookup, number_array
from occrobnet_jax.skeleton import NUM_HANDS

FORMAT = 2  # of the tables: change it with them
HAND_TYPES = {"right": (1, 0), "left": (0, 1), "interacting": (1, 1)}
MAX_FILE_NAME = 160
_CHUNK = 20_000

IMAGES = np.dtype(
    [("id", "i8"), ("file_name", f"S{MAX_FILE_NAME}"), ("width", "i4"), ("height", "i4"), ("capture", "i4")]
    + [("sequence", "i4"), ("camera", "i4"), ("frame", "i8")]
)
ANNOTATIONS = np.dtype(
    [("id", "i8"), ("image_id", "i8"), ("box", "f8", 4), ("in_image", "u1", BOTH_HANDS), ("hands", "u1", NUM_HANDS)]
    + [("hands_known", "u1"), ("damage", "i4")]
)


class Tables(NamedTuple):
    """One split: everything about row i, and what it refers to."""

    annotations: np.ndarray
    images: np.ndarray  # row i is the image of annotation i
    camera_rows: np.ndarray  # of row i, in `cameras`
    moment_rows: np.ndarray  # of row i, in `moments` and `fits`
    cameras: np.ndarray
    moments: np.ndarray
    fits: np.ndarray  # (moment, hand): MANO parameters in the world
    rootnet: np.ndarray
    names: dict[str, list[str]]  # "sequence", "camera"
    damage: dict[str, dict[str, str]]  # "annotation", "repeated", "camera", "moment": what is wrong with it


def build_tables(files: SplitFiles, subset: str, folder: Path, *, show_progress: bool = False) -> Path:
    """Write the tables of a split below `folder` unless they are there; return where.

    Raises:
        ValueError: a file is missing, isn't JSON, or contradicts another.
    """
    stamps = [_stamp(path) for path in files.present()]
    name = hashlib.sha256(json.dumps([FORMAT, subset, stamps]).encode()).hexdigest()[:16]
    final = folder / f"{files.data.stem}-{name}"
    if not final.exists():
        unfinished = folder / f"{final.name}.incomplete-{os.getpid()}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _write_tables(_read_tables(files, subset, show_progress), unfinished)
        unfinished.rename(final)
    return final


@functools.lru_cache(maxsize=16)
def open_tables(folder: Path) -> Tables:
    """Memory-maps the tables that `build_tables` wrote."""
    names = json.loads((folder / "names.json").read_text())
    arrays: dict[str, Any] = {field: _mapped(folder / f"{field}.npy") for field in Tables._fields[:-2]}
    return Tables(**arrays, names=names["names"], damage=names["damage"])


def _mapped(path: Path) -> np.ndarray:
    """Return the file as a plain array: NumPy's own class for mapped files makes every access to a row slower."""
    return np.load(path, mmap_mode="r").view(np.ndarray)


def _stamp(path: Path) -> list[str | int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror}") from error
    return [path.name, stat.st_size, stat.st_mtime_ns]


def _write_tables(tables: Tables, folder: Path) -> None:
    for field in Tables._fields[:-2]:
        np.save(folder / f"{field}.npy", getattr(tables, field))
    (folder / "names.json").write_text(json.dumps({"names": tables.names, "damage": tables.damage}))


def _read_tables(files: SplitFiles, subset: str, show_progress: bool) -> Tables:
    damage: dict[str, dict[str, str]] = {"annotation": {}, "repeated": {}, "camera": {}, "moment": {}}
    names: dict[str, list[str]] = {}
    images = _read_images(files.data, names, show_progress)
    annotations = in_subset(_read_annotations(files.data, damage["annotation"], show_progress), files, subset)
    images = _joined(images, annotations, files.data)
    _note_repeated(images, annotations["id"], damage["repeated"], files.data)
    cameras, camera_rows = read_cameras(files.camera, images, names["camera"], damage["camera"])
    moments, fits, moment_rows = read_moments(files, images, damage["moment"], show_progress)
    rootnet = read_rootnet(files.rootnet, annotations["id"])
    return Tables(annotations, images, camera_rows, moment_rows, cameras, moments, fits, rootnet, names, damage)


def _read_images(path: Path, names: dict[str, list[str]], show_progress: bool) -> np.ndarray:
    sequences: dict[str, int] = {}
    cameras: dict[str, int] = {}

    def row(record: Any) -> tuple[Any, ...]:
        identity, file_name, width, height, capture, sequence, camera, frame = (
            lookup(record, key, source=path)
            for key in ("id", "file_name", "width", "height", "capture", "seq_name", "camera", "frame_idx")
        )
        encoded = str(file_name).encode(errors="replace")  # half a surrogate pair names no file
        if len(encoded) > MAX_FILE_NAME:
            raise ValueError(f"{path} names an image with more than {MAX_FILE_NAME} characters: {file_name!r}")
        sequence = sequences.setdefault(str(sequence), len(sequences))
        camera = cameras.setdefault(str(camera), len(cameras))
        return identity, encoded, width, height, capture, sequence, camera, frame

    images = _table(
        path, "images", IMAGES, (row(record) for record in json_items(path, "images", show_progress=show_progress))
    )
    names |= {"sequence": list(sequences), "camera": list(cameras)}
    return images


def _read_annotations(path: Path, damage: dict[str, str], show_progress: bool) -> np.ndarray:
    def row(record: Any) -> tuple[Any, ...]:
        identity, image_id = (lookup(record, key, source=path) for key in ("id", "image_id"))
        try:
            return identity, image_id, *_annotation_values(record, path), -1
        except ValueError as error:
            number = note_damage(damage, str(len(damage)), error)
            return identity, image_id, np.zeros(4), np.zeros(BOTH_HANDS), (0, 0), 0, number

    rows = (row(record) for record in json_items(path, "annotations", show_progress=show_progress))
    return _table(path, "annotations", ANNOTATIONS, rows)


def _annotation_values(record: Any, path: Path) -> tuple[Any, ...]:
    identity = record["id"]
    hand_type = lookup(record, "hand_type", source=path)
    if not isinstance(hand_type, str) or hand_type not in HAND_TYPES:
        raise ValueError(f"{path}: annotation {identity} has the hand_type {hand_type!r}")
    box = number_array(lookup(record, "bbox", source=path), (4,), np.float64, name=f"{path}: bbox of {identity}")
    in_image = joint_mask(lookup(record, "joint_valid", source=path), f"{path}: joint_valid of {identity}")
    return box, in_image, HAND_TYPES[hand_type], bool(lookup(record, "hand_type_valid", source=path))


def _joined(images: np.ndarray, annotations: np.ndarray, path: Path) -> np.ndarray:
    """Return the image of each annotation."""
    order = np.argsort(images["id"], kind="stable")
    ids = images["id"][order]
    rows = np.minimum(np.searchsorted(ids, annotations["image_id"]), len(ids) - 1)
    missing = ids[rows] != annotations["image_id"]
    if missing.any():
        lacking = annotations["image_id"][missing][0]
        raise ValueError(f"{path} has an annotation of image {lacking}, which it lacks")
    return images[order[rows]]


def _note_repeated(images: np.ndarray, ids: np.ndarray, damage: dict[str, str], path: Path) -> None:
    """Note annotations of a photo that an earlier one has annotated: they would have the same key."""
    _, first, group = np.unique(
        images[["capture", "sequence", "camera", "frame"]], return_index=True, return_inverse=True
    )
    for row in np.flatnonzero(first[group] != np.arange(len(images))).tolist():
        kept, name = ids[first[group[row]]], images["file_name"][row].decode(errors="replace")
        note_damage(damage, str(row), f"{path}: annotation {ids[row]} is of {name}, as annotation {kept} before it is")


def _table(path: Path, key: str, dtype: np.dtype, rows: Iterator[tuple[Any, ...]]) -> np.ndarray:
    """Return rows as one array, by way of small parts: lists of Python objects take many times the memory."""
    parts = []
    while part := list(islice(rows, _CHUNK)):
        try:
            parts.append(np.array(part, dtype))
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{path}: {key} holds a value that is no number: {error}") from error
    if not parts:
        raise ValueError(f"{path} has no entry {key}, or an empty one")
    table = np.empty(sum(map(len, parts)), dtype)
    end = len(table)
    while parts:  # each part goes as soon as it is copied: never twice the table in memory
        last = parts.pop()
        table[end - len(last) : end] = last
        end -= len(last)
    return table
