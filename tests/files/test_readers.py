import cv2
import numpy as np
import pytest

from occrobnet_jax.files.readers import (
    decode_image,
    decode_segmentation,
    lookup,
    number_array,
    read_bytes,
    read_json,
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
