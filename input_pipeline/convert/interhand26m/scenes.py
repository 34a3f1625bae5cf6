"""What many images of InterHand2.6M share: cameras, and moments with their 3D joints and MANO fits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.convert.interhand26m.layout import SplitFiles
from occrobnet_jax.files.json_stream import json_entries
from occrobnet_jax.files.readers import lookup, number_array, read_json
from occrobnet_jax.skeleton import NUM_HANDS, NUM_JOINTS

BOTH_HANDS = NUM_HANDS * NUM_JOINTS
MAX_DAMAGED = 10_000
CAMERAS = np.dtype([("focal", "f8", 2), ("centre", "f8", 2), ("rotation", "f8", (3, 3)), ("position_mm", "f8", 3)])
MOMENTS = np.dtype([("world_mm", "f4", (BOTH_HANDS, 3)), ("annotated", "u1", BOTH_HANDS)])
FITS = np.dtype([("known", "u1"), ("pose", "f4", 48), ("shape", "f4", 10), ("translation_m", "f4", 3)])


def read_cameras(
    path: Path, images: np.ndarray, names: list[str], damage: dict[str, str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cameras that took the images, and each image's row among them."""
    content = read_json(path)
    used, rows = np.unique(images[["capture", "camera"]], return_inverse=True)
    cameras = np.zeros(len(used), CAMERAS)
    for number, (capture, camera) in enumerate(used.tolist()):
        try:
            cameras[number] = _camera(content, str(capture), names[camera], path)
        except ValueError as error:
            note_damage(damage, str(number), error)
    return cameras, rows.astype(np.int32)


def _camera(content: Any, capture: str, camera: str, path: Path) -> tuple[np.ndarray, ...]:
    def field(name: str, shape: tuple[int, ...]) -> np.ndarray:
        value = lookup(content, capture, name, camera, source=path)
        return number_array(value, shape, np.float64, name=f"{path}: {capture}/{name}/{camera}")

    return field("focal", (2,)), field("princpt", (2,)), field("camrot", (3, 3)), field("campos", (3,))


def read_moments(
    files: SplitFiles, images: np.ndarray, damage: dict[str, str], show_progress: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read 3D joints and MANO fits of the images' frames, and find each image's row among them."""
    used, rows = np.unique(images[["capture", "frame"]], return_inverse=True)
    keys = {(str(capture), str(frame)): number for number, (capture, frame) in enumerate(used.tolist())}
    moments, fits = np.zeros(len(used), MOMENTS), np.zeros((len(used), NUM_HANDS), FITS)
    missing = dict(keys)
    for key, record in _frames(files.joint_3d, keys, show_progress):
        missing.pop(key, None)
        try:
            moments[keys[key]] = _moment(record, files.joint_3d, "/".join(key))
        except ValueError as error:
            note_damage(damage, str(keys[key]), error)
    for key, number in missing.items():
        note_damage(damage, str(number), f"{files.joint_3d} has no entry {'/'.join(key)}")
    if files.mano is not None:
        for key, record in _frames(files.mano, keys, show_progress):
            try:
                fits[keys[key]] = [_fit(record, hand, files.mano, "/".join(key)) for hand in ("right", "left")]
            except ValueError as error:
                note_damage(damage, str(keys[key]), error)
    return moments, fits, rows.astype(np.int32)


def _frames(path: Path, keys: dict[tuple[str, str], int], show_progress: bool) -> Iterator[tuple[tuple[str, str], Any]]:
    """Return (capture, frame) and content of those that are wanted."""
    for capture, frames in json_entries(path, show_progress=show_progress):
        if not isinstance(frames, dict):
            raise ValueError(f"{path}: {capture} is no dictionary of frames")
        for frame, record in frames.items():
            if (capture, frame) in keys:
                yield (capture, frame), record


def _moment(record: Any, path: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    world = lookup(record, "world_coord", source=path)
    world_mm = number_array(world, (BOTH_HANDS, 3), np.float64, name=f"{path}: {key}/world_coord")
    return world_mm, joint_mask(lookup(record, "joint_valid", source=path), f"{path}: {key}/joint_valid")


def _fit(record: Any, hand: str, path: Path, key: str) -> tuple[Any, ...]:
    """Return the MANO parameters of one hand; unknown where the file has none."""
    fit = record.get(hand) if isinstance(record, dict) else None
    if fit is None:
        return 0, 0, 0, 0
    parts = (("pose", 48), ("shape", 10), ("trans", 3))
    values = (
        number_array(lookup(fit, name, source=path), (size,), np.float64, name=f"{path}: {key}/{hand}/{name}")
        for name, size in parts
    )
    return 1, *values


def joint_mask(value: Any, name: str) -> np.ndarray:
    """Return a mask of both hands' joints: 42 x 1 in v1.0's files, 42 in others."""
    shape = (BOTH_HANDS, 1) if isinstance(value, list) and value and isinstance(value[0], list) else (BOTH_HANDS,)
    mask = number_array(value, shape, np.float64, name=name).ravel()
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"{name} holds other values than 0 and 1")
    return mask.astype(np.uint8)


def note_damage(damage: dict[str, str], key: str, sentence: Exception | str) -> int:
    """Keep a sentence; return its number."""
    if len(damage) >= MAX_DAMAGED:
        raise ValueError(f"{sentence}, and {MAX_DAMAGED:,} other entries are damaged: this is no sound download")
    damage[key] = str(sentence)
    return len(damage) - 1
