import cv2
import numpy as np
import pytest

from input_pipeline.augment import Augmentation
from input_pipeline.crop import CropGeometry, crop_geometry, crop_image, crop_segmentation, reduction_for
from occrobnet_jax.files.readers import decode_image
from occrobnet_jax.geometry.cameras import transform_points

WHOLE = np.array([-0.5, -0.5, 63.5, 63.5])


def random_image(size=64):
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_a_box_of_the_whole_photo_gives_the_photo():
    geometry = crop_geometry(WHOLE, 64, 1.0)
    np.testing.assert_allclose(geometry.crop_from_image, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(crop_image(random_image(), geometry), random_image())


def test_the_square_is_the_long_side_about_the_center():
    geometry = crop_geometry(np.array([10.0, 40.0, 50.0, 60.0]), 128, 1.25)  # 40 x 20 about (30, 50): a side of 50
    edges = transform_points(geometry.crop_from_image, np.array([[5.0, 25.0], [55.0, 75.0], [30.0, 50.0]]))
    np.testing.assert_allclose(edges, [[-0.5, -0.5], [127.5, 127.5], [63.5, 63.5]])
    assert geometry.scale == pytest.approx(128 / 50)


def test_outside_of_the_photo_is_zero():
    image = np.full((64, 64, 3), 200, np.uint8)
    crop = crop_image(image, crop_geometry(WHOLE + 32, 64, 1.0))
    assert (crop[:32, :32] == 200).all()
    assert not crop[32:].any()
    assert not crop[:, 32:].any()
    assert not crop_image(image, crop_geometry(WHOLE + 500, 64, 1.0)).any()
    assert not crop_image(image, crop_geometry(WHOLE + 500, 32, 1.0)).any()


@pytest.mark.parametrize("shape", [(400, 1), (1, 400), (1, 1)])
def test_a_strip_of_a_pixel_s_width_can_be_shrunk(shape):
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    geometry = crop_geometry(np.concatenate([middle - 200, middle + 200]), 64, 1.0, center_px=32.0)
    crop = crop_image(np.full((*shape, 3), 200, np.uint8), geometry)
    expected = np.zeros((64, 64), bool)
    expected[slice(1, 63) if shape[0] > 1 else 32, slice(1, 63) if shape[1] > 1 else 32] = True
    assert (crop[expected] == 200).all()
    assert not crop[1:63, 1:63][~expected[1:63, 1:63]].any()


@pytest.mark.parametrize("shrink", [3, 4, 8])
@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(rotation_rad=0.4, flip=True)])
def test_shrinking_averages_instead_of_skipping(shrink, augmentation):
    size = 64 * shrink
    stripes = np.zeros((size, size, 3), np.uint8)
    stripes[:, ::2] = 200
    crop = crop_image(stripes, crop_geometry(np.array([0.0, 0.0, size - 1, size - 1]), 64, 0.7, augmentation))
    assert crop.min() > 65  # skipping would leave 0 and 200
    assert crop.max() < 135


def test_shrunk_gradients_keep_their_place():
    size, shrink = 515, 4.1
    columns = np.broadcast_to((np.arange(size) * 0.45)[None, :, None], (size, size, 3))
    box = np.array([100.0, 100.0, 100 + 64 * shrink, 100 + 64 * shrink])
    geometry = crop_geometry(box, 64, 1.0)
    crop = crop_image(np.rint(columns).astype(np.uint8), geometry)
    expected = 0.45 * (100 + shrink * (np.arange(64) + 0.5))
    np.testing.assert_allclose(crop[32, :, 0], expected, atol=1.0)


def test_segmentation_takes_the_pixel_under_each_heatmap_cell():
    labels = np.random.default_rng(1).integers(0, 4, (64, 64), dtype=np.uint8)
    for stride in (2, 4):
        cropped = crop_segmentation(labels, (64, 64), crop_geometry(WHOLE, 64, 1.0), stride)
        np.testing.assert_array_equal(cropped, labels[::stride, ::stride])


def test_segmentation_of_another_resolution_covers_the_same_photo():
    coarse = np.random.default_rng(1).integers(0, 4, (16, 16), dtype=np.uint8)
    fine = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)
    geometry = crop_geometry(np.array([9.7, 20.2, 40.9, 50.3]), 64, 1.1)
    np.testing.assert_array_equal(
        crop_segmentation(coarse, (64, 64), geometry, 2), crop_segmentation(fine, (64, 64), geometry, 2)
    )


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [10, 0, 5, 20], [0, 10, 20, 5], [0, 0, np.nan, 5], [0, 0, np.inf, 5]])
def test_boxes_without_extent_are_refused(box):
    with pytest.raises(ValueError, match="is not x0, y0, x1, y1"):
        crop_geometry(np.array(box, float), 64, 1.0)


def photo_of_waves(width: int, height: int, side: float) -> np.ndarray:
    """Waves in another direction in each channel, as long as they are in any crop of so many pixels."""
    y, x = np.mgrid[:height, :width] * 260 / side
    waves = [np.sin(x / 9 + y / 23), np.sin(x / 31 - y / 11), np.sin(y / 14)]
    return np.rint(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


@pytest.mark.parametrize("size", [(640, 480), (639, 477)])  # width, height; odd ones are rounded up
@pytest.mark.parametrize(("side", "reduction"), [(150, 1), (200, 1), (230, 1), (260, 2), (380, 2), (640, 4), (1100, 8)])
def test_smaller_decoded_photos_give_the_same_crop(size, side, reduction):
    photo = photo_of_waves(*size, side)
    encoded = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    box = np.array([300.0, 220, 300, 220]) + np.array([-1, -1, 1, 1]) * side / 2
    augmentation = Augmentation(shift=(0.05, -0.1), rotation_rad=0.4, flip=True)
    geometry = crop_geometry(box, 128, 1.0, augmentation)
    assert reduction_for(geometry) == reduction
    small = decode_image(encoded, name="waves", reduction=reduction)
    assert small.shape[:2] == tuple(-(-length // reduction) for length in photo.shape[:2])
    got = crop_image(small, geometry, reduction=reduction).astype(float)
    exact = exact_crop(photo, geometry)
    inside = cv2.erode((exact > 0).all(-1).astype(np.uint8), np.ones((9, 9))) > 0
    assert inside.mean() > 0.15
    error = np.abs(got - exact)[inside]
    assert error.mean() < 1.5
    assert abs((got - exact)[inside].mean()) < 0.5


@pytest.mark.parametrize(("scale", "factor"), [(0.4, 0.4), (0.5, 0.28), (0.6, 0.42), (0.7, 0.72)])
def test_a_smaller_crop_is_nearer_to_the_mean_over_its_pixels_than_samples_alone(scale, factor):
    photo = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8), (0, 0), 0.8)
    box = np.array([150, 150, 150, 150]) + np.array([-1, -1, 1, 1]) * 32 / scale
    geometry = crop_geometry(box, 64, 1.0, Augmentation(shift=(0.01, 0.02), rotation_rad=0.3))
    exact = exact_crop(photo, geometry)
    error, plain_error = (
        np.sqrt(((crop_image(photo, geometry, averaging=averaging) - exact) ** 2).mean()) for averaging in (True, False)
    )
    assert error < factor * plain_error


def exact_crop(photo: np.ndarray, geometry: CropGeometry) -> np.ndarray:
    """Each crop pixel as the mean of 8 x 8 bilinear samples in it; zeros outside."""
    size, fine = geometry.size_px, 8 * geometry.size_px
    matrix = geometry.crop_from_image * 8
    matrix[:, 2] += 3.5
    samples = cv2.warpAffine(photo, matrix, (fine, fine)).astype(float)
    return samples.reshape(size, 8, size, 8, 3).mean((1, 3))
