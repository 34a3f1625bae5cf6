import numpy as np
import pytest

from input_pipeline.augment import Augmentation
from input_pipeline.crop import crop_geometry, crop_image, crop_segmentation
from occrobnet_jax.geometry.cameras import transform_points

WHOLE = np.array([-0.5, -0.5, 63.5, 63.5])


def random_image(size=64):
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_a_box_of_the_whole_photo_gives_the_photo():
    geometry = crop_geometry(WHOLE, 64, 1.0)
    np.testing.assert_allclose(geometry.crop_from_image, [[1, 0, 0], [0, 1, 0]], atol=1e-12)
    np.testing.assert_array_equal(crop_image(random_image(), geometry), random_image())


def test_the_square_is_the_long_side_about_the_centre():
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
