"""A quick check of encoded images: complete, of the expected size, and whether they are black.

Decoding would take most of a conversion's time, and finds no more: decoders fill up what is missing. A JPEG or PNG has
an end marker that can't occur before its end. What was never downloaded in between is zeros, in blocks of 4096, of
which compressed images have no such runs. So a JPEG that is large enough to show something is decoded only where its
structure leaves a doubt.
"""

from occrobnet_jax.files.readers import BLACK_BELOW, decode_half_brightness

SHOWS_SOMETHING_ABOVE = 0.05  # bytes per px; a black JPEG has 0.02, InterHand2.6M's have 0.07 to 0.16
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG"
_ENDS = {_JPEG: b"\xff\xd9", _PNG: b"\0\0\0\0IEND\xaeB\x60\x82"}
_SCAN, _EXIF = 0xDA, 0xE1
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HOLE = bytes(2048)


def refuse_truncated(encoded: bytes, *, name: str) -> None:
    """Refuse a JPEG or PNG that has no end; what phones write behind it doesn't matter.

    Raises:
        ValueError: it is truncated.
    """
    start = next((start for start in _ENDS if encoded.startswith(start)), None)
    after = _scan_start(encoded) if start == _JPEG else 0
    if start is not None and encoded.find(_ENDS[start], after) < 0:
        raise ValueError(f"{name} is truncated: its end is missing ({len(encoded):,} bytes)")


def _scan_start(encoded: bytes) -> int:
    """Return where a JPEG's pixels begin, behind a preview that it may hold; its length where they don't."""
    at = len(_JPEG)
    while at + 4 <= len(encoded) and encoded[at] == 0xFF:
        if encoded[at + 1] == _SCAN:
            return at
        at += 2 + int.from_bytes(encoded[at + 2 : at + 4])
    return len(encoded)


def check_image(encoded: bytes, width: int, height: int, *, name: str) -> bool:
    """Return whether an encoded image is black, after a check that it is complete and of the given size.

    Raises:
        ValueError: it is truncated, corrupt, not an image, or of another size.
    """
    end = next((end for start, end in _ENDS.items() if encoded.startswith(start)), None)
    if end is None or not encoded.rstrip(b"\0").endswith(end):
        raise ValueError(f"{name} is not a complete JPEG or PNG image ({len(encoded):,} bytes)")
    if _shows_something(encoded, width, height):
        return False
    brightness = decode_half_brightness(encoded, name=name)
    found_height, found_width = brightness.shape
    if abs(2 * found_width - width) > 1 or abs(2 * found_height - height) > 1:  # decoders round to either side
        found = f"about {2 * found_width} x {2 * found_height} px"
        raise ValueError(f"{name} has {found} where {width} x {height} are expected")
    return bool(brightness.max() < BLACK_BELOW)


def _shows_something(encoded: bytes, width: int, height: int) -> bool:
    """Return whether it is, without any doubt, a JPEG of this size with more content than a black one.

    EXIF data are a doubt, since they may turn it.
    """
    at, size = len(_JPEG), None
    while encoded.startswith(_JPEG) and at + 9 <= len(encoded) and encoded[at] == 0xFF:
        marker, length = encoded[at + 1], int.from_bytes(encoded[at + 2 : at + 4])
        if marker == _SCAN:
            is_large = len(encoded) - at > SHOWS_SOMETHING_ABOVE * width * height
            return is_large and size == (width, height) and encoded.find(_HOLE, at) < 0
        if marker == _EXIF:
            return False
        if marker in _FRAME_HEADERS:
            size = (int.from_bytes(encoded[at + 7 : at + 9]), int.from_bytes(encoded[at + 5 : at + 7]))
        at += 2 + length
    return False
