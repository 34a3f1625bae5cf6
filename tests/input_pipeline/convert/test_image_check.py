import io

import cv2
import numpy as np
import pytest
from PIL import Image

from input_pipeline.convert import image_check
from input_pipeline.convert.image_check import check_image
from occrobnet_jax.files.readers import decode_image
from tests.files.test_readers import encode

WIDTH, HEIGHT = 61, 40


@pytest.fixture(params=["large", "small"])
def picture(request):
    """One that is as large as photos are, and one that could be black by its size."""
    if request.param == "small":
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        return np.stack([4 * columns, 6 * rows, np.full_like(rows, 30)], axis=-1).astype(np.uint8)
    return np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def as_jpeg(picture, *options):
    return cv2.imencode(".jpg", picture, options)[1].tobytes()


KINDS = {
    "baseline": lambda picture: as_jpeg(picture),
    "progressive": lambda picture: as_jpeg(picture, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "optimised": lambda picture: as_jpeg(picture, cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    "restarts": lambda picture: as_jpeg(picture, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "png": lambda picture: encode(picture, ".png"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_truncated_images_are_found_wherever_they_end(picture, kind):
    whole = KINDS[kind](picture)
    assert check_image(whole, WIDTH, HEIGHT, name="it") is False
    for end in [*range(0, len(whole), 41), len(whole) - 1]:
        for damaged in (whole[:end], whole[:end] + bytes(len(whole) - end + 64)):
            with pytest.raises(ValueError, match="frame 7 is not a complete JPEG or PNG"):
                check_image(damaged, WIDTH, HEIGHT, name="frame 7")


def test_holes_are_looked_at_closely(picture, monkeypatch):
    """A hole in the middle is for the decoder to judge."""
    whole = as_jpeg(np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    damaged = whole[:1000] + bytes(4096) + whole[1000:]
    looked_at = []
    monkeypatch.setattr(
        image_check, "decode_half_brightness", lambda encoded, name: looked_at.append(encoded) or np.full((20, 31), 99)
    )
    check_image(whole, WIDTH, HEIGHT, name="it")
    check_image(damaged, WIDTH, HEIGHT, name="it")
    assert looked_at == [damaged]


@pytest.mark.parametrize("size", [(40, 61), (61, 44), (64, 40), (61, 38)])
@pytest.mark.parametrize("kind", KINDS)
def test_other_sizes_are_found(picture, kind, size):
    with pytest.raises(ValueError, match=rf"frame 7 has about 6[02] x 40 px where {size[0]} x {size[1]} are expected"):
        check_image(KINDS[kind](picture), *size, name="frame 7")


@pytest.mark.parametrize(("brightness", "is_black"), [(0, True), (6, True), (40, False)])
def test_black_images_are_found(brightness, is_black):
    dark = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    dark[20:26, 30:36] = brightness  # something small in the dark counts
    assert check_image(as_jpeg(dark), WIDTH, HEIGHT, name="it") is is_black


def test_a_dark_frame_of_the_real_size_is_below_the_limit():
    noise = np.random.default_rng(0).integers(0, 9, (512, 334, 3), dtype=np.uint8)
    for image in (noise, np.zeros_like(noise)):
        encoded = as_jpeg(image, cv2.IMWRITE_JPEG_QUALITY, 75)
        assert len(encoded) < image_check.SHOWS_SOMETHING_ABOVE * 512 * 334
        assert check_image(encoded, 334, 512, name="it") is True


def test_real_frames_need_no_decoding(fixtures, monkeypatch):
    monkeypatch.setattr(image_check, "decode_half_brightness", lambda *_, **__: pytest.fail("decoded"))
    for path in (fixtures / "interhand2.6m").glob("*.jpg"):
        height, width = decode_image(path.read_bytes(), name="it").shape[:2]
        assert check_image(path.read_bytes(), width, height, name="it") is False


def test_a_photo_that_its_exif_data_turn_has_the_turned_size():
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    stream, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6
    Image.fromarray(noise).save(stream, "JPEG", exif=exif)
    assert check_image(stream.getvalue(), HEIGHT, WIDTH, name="it") is False
    with pytest.raises(ValueError, match="are expected"):
        check_image(stream.getvalue(), WIDTH, HEIGHT, name="it")
