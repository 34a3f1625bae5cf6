import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from occrobnet_jax.files.readers import (
    decode_image,
    decode_segmentation,
    lookup,
    number_array,
    read_bytes,
    read_json,
    read_words,
)


@pytest.fixture
def picture():
    rows, columns = np.mgrid[:40, :60]
    return np.stack([4 * columns, 6 * rows, np.full_like(rows, 30)], axis=-1).astype(np.uint8)


def encode(picture, kind):
    return cv2.imencode(kind, picture[..., ::-1])[1].tobytes()


def test_png_is_decoded_exactly_and_as_rgb(picture):
    np.testing.assert_array_equal(decode_image(encode(picture, ".png"), name="it"), picture)


def test_jpeg_is_decoded_as_rgb(picture):
    decoded = decode_image(encode(picture, ".jpg"), name="it").astype(int)
    assert np.abs(decoded - picture).mean() < 3


@pytest.mark.parametrize("kind", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_truncated_images_are_refused_by_name(picture, kind, share):
    encoded = encode(picture, kind)
    with pytest.raises(ValueError, match="frame 7 is not a complete JPEG or PNG"):
        decode_image(encoded[: int(share * len(encoded))], name="frame 7")


def claims(encoded, side):
    """An image that says that it has another size than its pixels, in the header of its format."""
    if encoded.startswith(b"\x89PNG"):
        return encoded[:16] + struct.pack(">II", side, side) + encoded[24:]
    if encoded.startswith(b"BM"):
        return encoded[:18] + struct.pack("<ii", side, side) + encoded[26:]
    at = encoded.index(b"\xff\xc0")
    return encoded[: at + 5] + struct.pack(">HH", side, side) + encoded[at + 9 :]


@pytest.mark.parametrize("kind", [".png", ".jpg", ".bmp"])
def test_nothing_is_decoded_that_claims_to_be_too_large(picture, kind, monkeypatch):
    encoded = encode(picture, kind)
    assert decode_image(encoded, name="it").shape == (40, 60, 3)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("was decoded"))
    with pytest.raises(
        ValueError, match=r"frame 7 has .*more than the 134,217,728 (px )?that an image may have; make it"
    ):
        decode_image(claims(encoded, 30_000), name="frame 7")
    with pytest.raises(ValueError, match="more than"):
        decode_segmentation(claims(encoded, 30_000), name="frame 7")


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("kind", [".png", ".tiff"])
def test_16_bits_with_a_camera_s_few_are_no_black_image(picture, kind, bits):
    deep = (picture[..., ::-1].astype(np.uint16) << 8 >> (16 - bits)) | 1
    deep[0, 0] = 2**bits - 1
    decoded = decode_image(cv2.imencode(kind, deep)[1].tobytes(), name="it")
    assert decoded.dtype == np.uint8
    assert np.abs(decoded[1:].astype(int) - picture[1:]).max() <= 1


def test_fractions_as_pixels_are_refused(picture):
    with pytest.raises(ValueError, match=r"it has fractions as values|it is not a complete|it can't be decoded"):
        decode_image(cv2.imencode(".tiff", picture.astype(np.float32))[1].tobytes(), name="it")


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "RGBA", "1", "LA"])
def test_other_kinds_of_color_are_read_as_colors(picture, mode):
    stream = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(stream, "JPEG" if mode == "CMYK" else "PNG")
    expected = np.asarray(Image.open(io.BytesIO(stream.getvalue())).convert("RGB")).astype(int)
    assert np.abs(decode_image(stream.getvalue(), name="it") - expected).mean() < 4


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF", "GIF"])
def test_of_an_animation_the_first_picture_is_taken(picture, kind):
    stream = io.BytesIO()
    frames = [Image.fromarray(np.full((40, 60, 3), value, np.uint8)) for value in (200, 100, 0)]
    frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
    assert abs(int(decode_image(stream.getvalue(), name="it")[20, 30, 0]) - 200) < 3


@pytest.mark.parametrize("encoded", [b"P6 30000 30000 255\n", b"\0\0\0\x18ftypheic", b"\xff" * 500, b"GIF89a", b""])
def test_what_is_no_known_image_is_one_sentence(encoded):
    with pytest.raises(ValueError, match=r"it is not a complete JPEG or PNG|it is a HEIC or AVIF image"):
        decode_image(encoded, name="it")


def test_segmentation_keeps_its_labels():
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4) % 4
    encoded = cv2.imencode(".png", labels)[1].tobytes()
    np.testing.assert_array_equal(decode_segmentation(encoded, name="it"), labels)


def test_missing_large_and_broken_files_are_named(tmp_path):
    file = tmp_path / "file.json"
    with pytest.raises(ValueError, match=r"file.json can't be read: No such file"):
        read_json(file)
    with pytest.raises(ValueError, match="can't be read"):
        read_bytes(tmp_path)
    file.write_text('{"a": [1, 2')
    with pytest.raises(ValueError, match=r"file.json is not valid JSON"):
        read_json(file)
    file.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"file.json is not valid JSON"):
        read_json(file)
    with pytest.raises(ValueError, match=r"100,000 bytes, more than the 10"):
        read_json(file, max_bytes=10)


def test_lookup_names_the_first_missing_key(tmp_path):
    record = {"3": {"focal": {"400": [1, 2]}}}
    assert lookup(record, "3", "focal", "400", source=tmp_path) == [1, 2]
    with pytest.raises(ValueError, match="has no entry 3/focal/401"):
        lookup(record, "3", "focal", "401", source=tmp_path)
    with pytest.raises(ValueError, match="has no entry 3/focal/400/x"):
        lookup(record, "3", "focal", "400", "x", source=tmp_path)


@pytest.mark.parametrize("value", [[1, 2], [1, 2, float("nan")], ["a", 1, 2], None, {"x": 1}, [[1], [2, 3], 4]])
def test_number_array_refuses_what_is_not_one(value):
    with pytest.raises(ValueError, match="the focal lengths"):
        number_array(value, (3,), np.float64, name="the focal lengths")


def test_words_of_windows_editors_are_read_and_utf_16_is_named(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a/1\r\nb/2\r\n", encoding="utf-8-sig")
    assert read_words(path, 100) == ["a/1", "b/2"]
    path.write_text("a/1", encoding="utf-16")
    with pytest.raises(ValueError, match=r"list.txt is text in UTF-16; save it as UTF-8"):
        read_words(path, 100)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_photos_are_turned_as_their_exif_data_say(picture, kind):
    stream, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6  # to be turned clockwise
    Image.fromarray(picture).save(stream, kind, exif=exif)
    decoded = decode_image(stream.getvalue(), name="it")
    assert decoded.shape == (60, 40, 3)
    assert np.abs(decoded.astype(int) - np.rot90(picture, -1)).mean() < 4
