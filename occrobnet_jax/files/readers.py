"""Reads what comes from outside; whatever is wrong with it becomes one sentence that names the file and the place."""

import codecs
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from occrobnet_jax.files.image_header import JPEG, read_header
from occrobnet_jax.files.paths import AnyPath, size_of
from occrobnet_jax.files.pickles import load_plain

MEBIBYTE = 2**20
MAX_JSON_BYTES = 256 * MEBIBYTE
MAX_IMAGE_BYTES = 64 * MEBIBYTE
MAX_PICKLE_BYTES = 4 * MEBIBYTE  # the datasets' have some ten kilobytes
_REDUCED = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
"""OpenCV's bits for smaller images; they mean grey ones only where no bit for colours is set."""
PROTO = b"\x80"  # the first byte of every pickle that is no text
BLACK_BELOW = 10  # an image without any brighter value shows nothing, though InterHand2.6M annotates some


def read_bytes(path: AnyPath, max_bytes: int = MAX_IMAGE_BYTES) -> bytes:
    """Return the content of a file that must not be larger than `max_bytes`.

    Raises:
        ValueError: it isn't there, can't be read, or is too large.
    """
    try:
        size = size_of(path)
        if size > max_bytes:
            raise ValueError(f"{path} has {size:,} bytes, more than the {max_bytes:,} that such a file may have")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from error


def read_words(path: AnyPath, max_bytes: int) -> list[str]:
    """Return the words of a text file, which may begin with the mark that Windows' editors put before UTF-8.

    Raises:
        ValueError: it can't be read, is too large, or is UTF-16.
    """
    content = read_bytes(path, max_bytes)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{path} is text in UTF-16; save it as UTF-8")
    return content.decode("utf-8-sig", errors="replace").split()


def read_json(path: AnyPath, max_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: it can't be read, is too large or isn't JSON.
    """
    content = read_bytes(path, max_bytes)
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON, perhaps an incomplete download: {error}") from error


def read_pickle(path: Path, max_bytes: int = MAX_PICKLE_BYTES) -> dict[str, Any]:
    """Return the content of a pickled dictionary of plain data and numpy arrays, as HO-3D and H2O-3D have them; runs no
    code.

    Raises:
        ValueError: it can't be read, is too large, or is anything else than that.
    """
    content = _with_own_line_ends(read_bytes(path, max_bytes))
    try:
        record = load_plain(content)
    except ValueError as error:
        raise ValueError(f"{path} is not a pickle of plain data: it {error}") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} holds a {type(record).__name__} where a dictionary is expected")
    return record


def _with_own_line_ends(pickled: bytes) -> bytes:
    """Return a text pickle as it was written, where an unpacker has made \\r\\n of each line's end: it writes either as
    an escape, wherever it is meant.
    """
    is_text = not pickled.startswith(PROTO) and pickled.count(b"\n") == pickled.count(b"\r\n")
    return pickled.replace(b"\r\n", b"\n") if is_text else pickled


def lookup(record: Any, *keys: str, source: Path) -> Any:
    """Return `record[keys[0]][keys[1]]...` of something read from `source`.

    Raises:
        ValueError: one of the keys is absent; says which, and where.
    """
    for depth, key in enumerate(keys):
        if not isinstance(record, Mapping) or key not in record:
            raise ValueError(f"{source} has no entry {'/'.join(keys[: depth + 1])}")
        record = record[key]
    return record


def number_array(value: Any, shape: tuple[int, ...], dtype: type, *, name: str) -> np.ndarray:
    """Return `value`, read from outside, as a finite array of the given shape.

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


def pickled_array(record: dict[str, Any], key: str, shape: tuple[int, ...], *, source: Path) -> np.ndarray:
    """Return entry `key` of a dictionary read from the pickle `source`, as finite float64 of the given shape.

    Raises:
        ValueError: it is absent, None, or no such array; names the file and the key.
    """
    value = lookup(record, key, source=source)
    name = f"{source}: {key}"
    if isinstance(value, np.ndarray) and _lengths(value.shape) == _lengths(shape):
        value = value.reshape(shape)  # HO-3D keeps some vectors as columns
    elif not isinstance(value, np.ndarray) and not _has_shape(value, shape):
        # A list in a pickle may hold itself many times over: NumPy would unfold it.
        raise ValueError(f"{name} is a {type(value).__name__} where an array of shape {shape} is expected")
    return number_array(value, shape, np.float64, name=name)


def _lengths(shape: tuple[int, ...]) -> list[int]:
    return [length for length in shape if length != 1]


def _has_shape(value: Any, shape: tuple[int, ...]) -> bool:
    """Return whether nested lists have a shape; looks at no more of them than the shape has elements."""
    if not shape:
        return isinstance(value, (bool, int, float, np.number))
    return isinstance(value, (list, tuple)) and len(value) == shape[0] and all(_has_shape(v, shape[1:]) for v in value)


def decode_image(encoded: bytes, *, name: str, reduction: int = 1) -> UInt8[np.ndarray, "h w 3"]:
    """Return the RGB pixels of an encoded image, turned upright where its EXIF data says so; of an animation the first
    picture.

    Args:
        encoded: content of a file.
        name: for error messages.
        reduction: 2, 4 or 8 makes a JPEG so many times smaller, sizes rounded up, in less time.

    Raises:
        ValueError: it is truncated, corrupt, or not an image.
    """
    if not is_jpeg(encoded) and read_header(encoded, name=name).bits > 8:
        deep = _decode(encoded, cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH, name)  # OpenCV 5.0 spoils TIFFs as RGB
        return np.ascontiguousarray(_in_8_bits(deep, name)[..., ::-1])
    return _decode(encoded, cv2.IMREAD_COLOR_RGB | _REDUCED[reduction], name)


def _in_8_bits(image: np.ndarray, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return the upper 8 of the bits that an image's brightest value needs: 16 may hold a camera's 10 or 12."""
    if not np.issubdtype(image.dtype, np.integer):
        raise ValueError(f"{name} has fractions as values; save it with 8 or 16 bits")
    bits = int(image.max()).bit_length()
    return (image >> max(bits - 8, 0)).astype(np.uint8)


def is_jpeg(encoded: bytes) -> bool:
    """Return whether an encoded image is a JPEG, by its first bytes."""
    return encoded.startswith(JPEG)


def decode_segmentation(encoded: bytes, *, name: str) -> UInt8[np.ndarray, "h w"]:
    """Return labels stored as the grey values of a lossless image.

    Raises:
        ValueError: it is truncated, corrupt, or not an image.
    """
    return _decode(encoded, cv2.IMREAD_GRAYSCALE, name)


def decode_half_brightness(encoded: bytes, *, name: str) -> UInt8[np.ndarray, "h w"]:
    """Return the grey values at half of the resolution (rounded up), in half of the time.

    Raises:
        ValueError: it is truncated, corrupt, or not an image.
    """
    return _decode(encoded, cv2.IMREAD_REDUCED_GRAYSCALE_2, name)


def _decode(encoded: bytes, flags: int, name: str) -> np.ndarray:
    read_header(encoded, name=name)
    try:
        # OpenCV answers None for most of what is wrong, and raises for absurd sizes.
        image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except (cv2.error, MemoryError) as error:
        raise ValueError(f"{name} can't be decoded: {getattr(error, 'err', 0) or error}") from error
    if image is None:
        raise ValueError(f"{name} is not a complete JPEG or PNG image ({len(encoded):,} bytes)")
    return image
