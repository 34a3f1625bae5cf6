"""A quick check of encoded images: complete, of the expected size, and whether they are black.

Decoding would take most of a conversion's time, and finds no more: decoders fill up what is missing. A JPEG or PNG has
an end marker that can't occur before its end. What was never downloaded in between is zeros, in blocks of 4096, of
which compressed images have no such runs. So a JPEG that is large enough to show something is decoded only where its
structure leaves a doubt.
"""

from occrobnet_jax.files.image_header import ENDS, EXIF, FRAME_HEADERS, SCAN, frame_size, jpeg_segments
from occrobnet_jax.files.readers import BLACK_BELOW, decode_half_brightness

SHOWS_SOMETHING_ABOVE = 0.05  # bytes per px; a black JPEG has 0.02, InterHand2.6M's have 0.07 to 0.16
_HOLE = bytes(2048)


def check_image(encoded: bytes, width: int, height: int, *, name: str) -> bool:
    """Return whether an encoded image is black, after a check that it is complete and of the given size.

    Raises:
        ValueError: it is truncated, corrupt, not an image, or of another size.
    """
    end = next((end for start, end in ENDS.items() if encoded.startswith(start)), None)
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
    size = None
    for marker, at in jpeg_segments(encoded):
        if marker == SCAN:
            is_large = len(encoded) - at > SHOWS_SOMETHING_ABOVE * width * height
            return is_large and size == (width, height) and encoded.find(_HOLE, at) < 0
        if marker == EXIF:
            return False
        if marker in FRAME_HEADERS:
            size = frame_size(encoded, at)
    return False
