import dataclasses
import math

import numpy as np
import pytest

from input_pipeline.augment import NONE, draw, scale_color
from input_pipeline.config import DataConfig

DATA = DataConfig()


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    return [draw(rng, DATA) for _ in range(3000)]


def test_draws_fill_their_ranges(draws):
    shifts, colors = np.array([each.shift for each in draws]), np.array([each.color for each in draws])
    scales, angles = np.array([each.scale for each in draws]), np.array([each.rotation_rad for each in draws])
    for values, low, high in ((shifts, -0.15, 0.15), (colors, 0.8, 1.2), (scales, 0.75, 1.25)):
        assert low <= values.min() < low + 0.01
        assert high - 0.01 < values.max() <= high
    assert np.abs(angles).max() == pytest.approx(math.radians(90))
    assert scales.std() == pytest.approx(0.25 * 0.7183, rel=0.05)  # of a normal clipped to +-1
    assert np.mean(np.isin(scales, [0.75, 1.25])) == pytest.approx(0.3173, abs=0.03)
    turned = angles[angles != 0]
    assert turned.std() == pytest.approx(math.radians(45) * 0.9592, rel=0.05)  # of a normal clipped to +-2
    assert np.abs(angles.mean()) < 0.05


def test_each_number_is_drawn_by_itself(draws):
    numbers = [(*each.shift, each.scale, each.rotation_rad, each.flip, *each.color) for each in draws]
    np.testing.assert_allclose(np.corrcoef(np.transpose(numbers)), np.eye(8), atol=0.08)


def test_draws_have_their_probabilities(draws):
    assert np.mean([each.flip for each in draws]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([each.rotation_rad != 0 for each in draws]) == pytest.approx(0.6, abs=0.03)


def test_all_switched_off_changes_nothing():
    off = DataConfig(shift_share=0.0, scale_share=0.0, rotation_probability=0.0, flip_probability=0.0, colour_share=0.0)
    assert all(draw(np.random.default_rng(seed), off) == NONE for seed in range(20))


def test_switching_one_off_leaves_the_others():
    without = dataclasses.replace(DATA, flip_probability=0.0)
    for seed in range(20):
        both = [draw(np.random.default_rng(seed), data) for data in (DATA, without)]
        assert dataclasses.replace(both[0], flip=False) == both[1]


def test_colors_are_multiplied_rounded_and_clipped():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    batch = np.zeros((2, 5, 7, 3), np.uint8)
    scale_color(image, (1.2, 1.0, 0.83), out=batch[0])
    scale_color(image, NONE.color, out=batch[1])
    scaled = batch[0]
    np.testing.assert_array_equal(batch[1], image)
    exact = np.clip(image * np.array([1.2, 1.0, 0.83]), 0, 255)
    assert np.abs(scaled - exact).max() < 0.51  # a half may be rounded to either side
