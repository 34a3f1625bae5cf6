"""Reads what comes from outside; whatever is wrong with it becomes one sentence that names the file and the place."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

MEBIBYTE = 2**20
MAX_JSON_BYTES = 256 * MEBIBYTE
MAX_IMAGE_BYTES = 64 * MEBIBYTE


def read_bytes(path: Path, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """Content of a file that must not be larger than `max_bytes`.

    Raises:
        ValueError: it isn't there, can't be read, or is too large.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise ValueError(f"{path} has {size:,} bytes, more than the {max_bytes:,} that such a file may have")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from error


def read_json(path: Path, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Content of a JSON file.

    Raises:
        ValueError: it can't be read, is too large or isn't JSON.
    """
    content = read_bytes(path, max_bytes)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON, perhaps an incomplete download: {error}") from error


def lookup(record: Any, *keys: str, source: Path) -> Any:
    """`record[keys[0]][keys[1]]...` of something read from `source`.

    Raises:
        ValueError: one of the keys is absent; says which, and where.
    """
    for depth, key in enumerate(keys):
        if not isinstance(record, Mapping) or key not in record:
            raise ValueError(f"{source} has no entry {'/'.join(keys[: depth + 1])}")
        record = record[key]
    return record


def number_array(value: Any, shape: tuple[int, ...], dtype: type, *, name: str) -> np.ndarray:
    """`value`, read from outside, as a finite array of the given shape.

    Raises:
        ValueError: it isn't one; `name` says what and where it is.
    """
    try:
        array: np.ndarray = np.asarray(value, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} is not an array of numbers: {error}") from error
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape} where {shape} is expected")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds values that are not finite")
    return array


def decode_image(encoded: bytes, *, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """RGB pixels of an encoded image, turned upright where its EXIF data says so.

    Raises:
        ValueError: it is truncated, corrupt, or not an image.
    """
    return _decode(encoded, cv2.IMREAD_COLOR_RGB, name)


def decode_segmentation(encoded: bytes, *, name: str) -> UInt8[np.ndarray, "h w"]:
    """Labels stored as the grey values of a lossless image.

    Raises:
        ValueError: it is truncated, corrupt, or not an image.
    """
    return _decode(encoded, cv2.IMREAD_GRAYSCALE, name)


def _decode(encoded: bytes, flags: int, name: str) -> np.ndarray:
    try:
        # OpenCV answers None for most of what is wrong, and raises for absurd sizes.
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    except cv2.error as error:
        raise ValueError(f"{name} can't be decoded: {error.err or error}") from error
    if image is None:
        raise ValueError(f"{name} is not a complete JPEG or PNG image ({len(encoded):,} bytes)")
    return image
