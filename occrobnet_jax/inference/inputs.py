"""What a user asks to have predicted: which files, and which part of them."""

import hashlib
import math
import os
from collections.abc import Sequence
from typing import Any

from occrobnet_jax.files.paths import AnyPath, path_of
from occrobnet_jax.files.readers import read_json

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif")
"""Those of the last three can't be read; each is told instead of being passed over."""

LEFTOVER = "._"  # what macOS puts beside each file on other disks
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".gif")

MAX_NAME_BYTES = 180  # of 255, since temporary names are longer
MAX_FOCAL_PX = 1e9
MAX_BOX_PX = 1e9
MAX_BOXES_BYTES = 50_000_000
MOST_BOXES = 100  # of a photo
LEAST_PX = 8  # of a box's sides, within the photo: less shows no hand

Box = tuple[float, float, float, float]


def find_images(inputs: Sequence[str]) -> list[AnyPath]:
    """Return the named files, and the images in the named folders (not in folders inside them), sorted.

    Raises:
        ValueError: nothing is named, an input doesn't exist, or is a folder without images.
    """
    if not inputs:
        raise ValueError("name at least one image or folder: predict.py INPUT... --output=DIR --checkpoint=WORKDIR")
    return [path for name in inputs for path in _images_of(path_of(name))]


def parse_box(text: str) -> Box:
    """Return the hand box "x0,y0,x1,y1" in pixels of the photo.

    Raises:
        ValueError: it isn't four numbers with x0 < x1 and y0 < y1.
    """
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"--box={text} must be four numbers, x0,y0,x1,y1, in px of the photo") from error
    if not (math.isfinite(x0 + y0 + x1 + y1) and x0 < x1 and y0 < y1):
        raise ValueError(f"--box={text} must have x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


def read_boxes(path: AnyPath, images: Sequence[AnyPath]) -> dict[str, list[Box]]:
    """Return the boxes of photos, by their files' names: a JSON object {"photo.jpg": [[x0, y0, x1, y1], ...], ...}.

    Raises:
        ValueError: the file isn't that, or names a photo that isn't among the images, or is among them twice.
    """
    content, names = read_json(path, MAX_BOXES_BYTES), [image.name for image in images]
    if not isinstance(content, dict):
        raise ValueError(f'{path} must be an object, {{"photo.jpg": [[x0, y0, x1, y1], ...], ...}}, px of each photo')
    for name in content:
        if names.count(name) != 1:
            raise ValueError(f"{path} names {name!r}, which is {names.count(name)} of the {len(names)} photos")
    return {name: _boxes_of(boxes, f"{path}, {name!r}") for name, boxes in content.items()}


def _boxes_of(boxes: Any, place: str) -> list[Box]:
    if not isinstance(boxes, list) or not 0 < len(boxes) <= MOST_BOXES:
        raise ValueError(f"{place} must have a list of 1 to {MOST_BOXES} boxes, each [x0, y0, x1, y1]")
    return [_box_of(box, place) for box in boxes]


def _box_of(box: Any, place: str) -> Box:
    is_numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    if not is_numbers or not all(abs(value) < MAX_BOX_PX for value in box) or box[0] >= box[2] or box[1] >= box[3]:
        raise ValueError(f"{place} has a box {str(box)[:80]}; it must be [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    x0, y0, x1, y1 = (float(value) for value in box)
    return x0, y0, x1, y1


def check_box(box: Box, width: int, height: int, name: str) -> None:
    """Compare a box with the photo that it is of.

    Raises:
        ValueError: they have nothing in common, or too little to show a hand.
    """
    x0, y0, x1, y1 = box
    if x0 > width or y0 > height or x1 < 0 or y1 < 0:
        raise ValueError(f"the box {box} lies outside of {name}, which has {width} x {height} px")
    if max(x1, y1) <= 2:
        raise ValueError(f"the box {box} has shares of the photo as it seems; give px of {name}, {width} x {height}")
    shown = min(x1, width) - max(x0, 0), min(y1, height) - max(y0, 0)
    if min(shown) < LEAST_PX:
        raise ValueError(
            f"the box {box} has {shown[0]:g} x {shown[1]:g} px within {name}, which has {width} x {height} px; it must "
            f"have at least {LEAST_PX} on each side"
        )


def check_focal_px(focal_px: float | None) -> None:
    """Look at the focal length that a user gives.

    Raises:
        ValueError: it can't be one.
    """
    if focal_px is not None and not 1 <= focal_px < MAX_FOCAL_PX:
        raise ValueError(f"--focal_px={focal_px} must be a number of px from 1 on; leave it out for a guess")


def printable(path: AnyPath) -> str:
    """Return a path as text, in which bytes that are none are shown as such."""
    return os.fsencode(path).decode(errors="backslashreplace")


def output_names(images: Sequence[AnyPath]) -> list[str]:
    """Return a name for the results of each image: its own without the ending, numbered where it occurs again.

    No name leads out of the output's folder, and none is too long for a file.
    """
    names: list[str] = []
    for path in images:
        stem = _stem(path)
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def _stem(path: AnyPath) -> str:
    stem = path.stem if path.stem.strip(".") else path.name  # "." and ".." would lead out of the folder
    content = os.fsencode(stem)
    if len(content) <= MAX_NAME_BYTES:
        return content.decode(errors="replace")
    return f"{content[:MAX_NAME_BYTES].decode(errors='ignore')}-{hashlib.sha256(content).hexdigest()[:8]}"


def _images_of(path: AnyPath) -> list[AnyPath]:
    if path.is_dir():
        files = [file for file in path.iterdir() if not file.name.startswith(LEFTOVER) and file.is_file()]
        found = sorted(file for file in files if file.suffix.lower() in IMAGES)
        if not found:
            raise ValueError(f"the folder {path} holds no image ({', '.join(IMAGES)})")
        return found
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    return [path]
