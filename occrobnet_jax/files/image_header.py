"""What an encoded image says of itself, read before anything is decoded: a hundred bytes may stand for gigabytes."""

import io
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
ENDS = {JPEG: b"\xff\xd9", PNG: b"\0\0\0\0IEND\xaeB\x60\x82"}
"""The end markers of formats in which they can't occur before the end."""

SCAN, EXIF = 0xDA, 0xE1
FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
MAX_PIXELS = 2**27  # of a photo: 134 megapixels
_OTHERS = ("WEBP", "BMP", "TIFF", "GIF")
_HEIC = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc", b"ftypavif")
_TIFF_BITS = 258


class ImageHeader(NamedTuple):
    """Of an encoded image, as it is stored: EXIF data may turn it."""

    width: int
    height: int
    bits: int  # of a colour's value


def read_header(encoded: bytes, *, name: str) -> ImageHeader:
    """Return size and depth of an encoded image.

    Raises:
        ValueError: it is none of JPEG, PNG, WebP, BMP, TIFF and GIF, or has more than `MAX_PIXELS`.
    """
    if is_heic(encoded):
        raise ValueError(f"{name} is a HEIC or AVIF image, which can't be read; convert it to JPEG or PNG")
    try:
        header = _header(encoded)
    except Image.DecompressionBombError as error:  # Pillow's own limit, of 179 megapixels
        raise ValueError(
            f"{name} has more than the {MAX_PIXELS:,} px that an image may have; make it smaller"
        ) from error
    if header is None:
        raise ValueError(f"{name} is not a complete JPEG or PNG image ({len(encoded):,} bytes)")
    if header.width * header.height > MAX_PIXELS:
        raise ValueError(
            f"{name} has {header.width:,} x {header.height:,} px, more than the {MAX_PIXELS:,} that an image may have; "
            "make it smaller"
        )
    return header


def is_heic(encoded: bytes) -> bool:
    """Return whether an encoded image is one of HEIC or AVIF, by its first bytes."""
    return encoded[4:12] in _HEIC


def jpeg_segments(encoded: bytes) -> Iterator[tuple[int, int]]:
    """Yield marker and place of a JPEG's segments, up to its first scan."""
    at, marker = len(JPEG), 0
    while marker != SCAN and encoded.startswith(JPEG) and at + 4 <= len(encoded) and encoded[at] == 0xFF:
        marker = encoded[at + 1]
        if marker == 0xFF:  # before a marker there may be any number of these
            at += 1
            continue
        yield marker, at
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4])


def frame_size(encoded: bytes, at: int) -> tuple[int, int]:
    """Return width and height in the frame header of a JPEG that begins at byte `at`."""
    return int.from_bytes(encoded[at + 7 : at + 9]), int.from_bytes(encoded[at + 5 : at + 7])


def refuse_truncated(encoded: bytes, *, name: str) -> None:
    """Refuse a JPEG or PNG that has no end; what phones write behind it doesn't matter.

    Raises:
        ValueError: it is truncated.
    """
    start = next((start for start in ENDS if encoded.startswith(start)), None)
    scan = next((at for marker, at in jpeg_segments(encoded) if marker == SCAN), len(encoded))  # behind any preview
    if start is not None and encoded.find(ENDS[start], scan if start == JPEG else 0) < 0:
        raise ValueError(f"{name} is truncated: its end is missing ({len(encoded):,} bytes)")


def _header(encoded: bytes) -> ImageHeader | None:
    if encoded.startswith(PNG) and len(encoded) >= 25:
        return ImageHeader(int.from_bytes(encoded[16:20]), int.from_bytes(encoded[20:24]), encoded[24])
    if encoded.startswith(JPEG):
        frames = (at for marker, at in jpeg_segments(encoded) if marker in FRAME_HEADERS)
        return next((ImageHeader(*frame_size(encoded, at), 8) for at in frames), None)
    try:
        with Image.open(io.BytesIO(encoded), formats=_OTHERS) as image:
            bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS, (8,))
            return ImageHeader(*image.size, max(int(of_one) for of_one in bits))
    except Image.DecompressionBombError:
        raise
    except Exception:  # Pillow's are of many kinds
        return None
