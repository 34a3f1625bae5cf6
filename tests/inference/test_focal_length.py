"""Who says what the camera of a photo is, and what EXIF data mean."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from occrobnet_jax.inference.focal_length import GUESSED_FOCAL_LENGTH, exif_film_mm, focal_length

EXIF_IFD, IN_35MM_FILM = 0x8769, 0xA405


def photo(film_mm: int | None, form: str = "JPEG", size: tuple[int, int] = (64, 48)) -> bytes:
    """A photo whose EXIF data have that focal length, or one without such data."""
    picture, stream = Image.new("RGB", size, "gray"), io.BytesIO()
    exif = picture.getexif()
    if film_mm is None:
        picture.save(stream, form)
    else:
        exif.get_ifd(EXIF_IFD)[IN_35MM_FILM] = film_mm
        picture.save(stream, form, exif=exif.tobytes())
    return stream.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_the_lens_of_a_photo_says_how_much_it_shows(form):
    """Film of 36 x 24 mm in a photo of 3 : 2 is a picture of 36 mm across."""
    px, source = focal_length(photo(28, form), 3000, 2000, None)
    assert source == "exif"
    assert px / 3000 == pytest.approx(28 / 36)
    upright, _ = focal_length(photo(28, form), 2000, 3000, None)
    assert upright == px


def test_a_photo_of_another_shape_has_the_same_diagonal_view():
    px, _ = focal_length(photo(26), 4000, 3000, None)
    assert math.degrees(2 * math.atan(2500 / px)) == pytest.approx(79.5, abs=0.1)  # of 26 mm on film, published


def test_the_user_is_believed_before_the_photo():
    assert focal_length(photo(28), 3000, 2000, 1234.0) == (1234.0, "given")


@pytest.mark.parametrize("encoded", [b"", b"nonsense", photo(None), photo(0), photo(3), photo(60_000), photo(28)[:40]])
def test_where_nothing_likely_is_said_it_is_guessed(encoded):
    assert exif_film_mm(encoded) is None
    assert focal_length(encoded, 300, 400, None) == (GUESSED_FOCAL_LENGTH * 400, "guess")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_no_pixel_is_decoded_to_ask_for_the_lens(form, monkeypatch):
    loaded, plain = [], photo(None, form)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: loaded.append(image))
    assert exif_film_mm(plain) is None
    assert not loaded


def test_damaged_exif_data_never_end_a_prediction():
    whole, rng = photo(28), np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.integers(2, 120, size=4):
            damaged[at] = rng.integers(256)
        px, source = focal_length(bytes(damaged), 64, 48, None)
        assert source in ("exif", "guess")
        assert math.isfinite(px)


@pytest.mark.parametrize("focal_px", [math.nan, math.inf, 0.0, -3.0])
def test_a_focal_length_that_is_none_is_an_error(focal_px):
    with pytest.raises(ValueError, match=f"--focal_px={focal_px} must be a number of px"):
        focal_length(b"", 64, 48, focal_px)
