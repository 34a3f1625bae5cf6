"""The focal length of a photo's camera: what the user gives, or what the photo's EXIF data say, or a guess."""

import io
import math
import warnings
from typing import Literal, NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from occrobnet_jax.inference.inputs import check_focal_px

GUESSED_FOCAL_LENGTH = 1.0
"""Of the photo's long side, where nobody says: a field of view of 53 degrees, between a phone's main camera (about
0.75) and a webcam or a cropped photo. Depth is proportional to it, root-relative joints hardly depend on it."""

FILM_DIAGONAL_MM = math.hypot(36, 24)
LIKELY_MM = (4.0, 1200.0)  # of 35 mm film; EXIF says 0 where it doesn't know
_EXIF_IFD, _FOCAL_LENGTH_IN_35MM_FILM = 0x8769, 0xA405

FocalSource = Literal["given", "exif", "guess"]


class FocalLength(NamedTuple):
    """Of a camera, and who says so."""

    px: float  # of the photo
    source: FocalSource


def focal_length(encoded: bytes, width: int, height: int, given_px: float | None) -> FocalLength:
    """Return the focal length of a photo's camera.

    Args:
        encoded: the photo's file, empty where there is none.
        width: of the photo, px.
        height: of the photo, px.
        given_px: by the user, who is believed.

    Raises:
        ValueError: the given one can't be one.
    """
    check_focal_px(given_px)
    if given_px is not None:
        return FocalLength(given_px, "given")
    film_mm = exif_film_mm(encoded)
    if film_mm is None:
        return FocalLength(GUESSED_FOCAL_LENGTH * max(width, height), "guess")
    return FocalLength(film_mm / FILM_DIAGONAL_MM * math.hypot(width, height), "exif")


def exif_film_mm(encoded: bytes) -> float | None:
    """Return the focal length that would show as much on 35 mm film, along the diagonal (CIPA DCG-001), as a photo's
    EXIF data have it; None where they don't say, or nothing that a lens could have.
    """
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(encoded)) as image:
            warnings.simplefilter("ignore")  # of what is odd in the data
            if isinstance(image, PngImageFile) and "exif" not in image.info:
                return None  # Pillow would decode all pixels to look behind them
            film_mm = float(image.getexif().get_ifd(_EXIF_IFD).get(_FOCAL_LENGTH_IN_35MM_FILM, 0))
    except Exception:  # Pillow's are of many kinds, and a photo without readable EXIF data is a photo
        return None
    return film_mm if LIKELY_MM[0] <= film_mm <= LIKELY_MM[1] else None
