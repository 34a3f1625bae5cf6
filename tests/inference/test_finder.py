"""From the finder's cells to hands and crops, on cells whose hands are known."""

import numpy as np
import pytest

from occrobnet_jax.inference.finder import FoundHand, common_box, finder_view, found_hands, groups
from occrobnet_jax.models.finder import STRIDE
from occrobnet_jax.skeleton import LEFT, RIGHT
from occrobnet_jax.types import HandCells

CELLS = 256 // STRIDE
PHOTO = np.zeros((120, 480, 3), np.uint8)  # so that a pixel of the photo is 256/480 of the finder's


def cells(*hands: tuple[int, tuple[float, float], float, float]) -> HandCells:
    """Cells that are sure of some hands: side, center and side length in px of the photo, probability."""
    _, geometry = finder_view(PHOTO)
    logits = np.full((1, CELLS, CELLS, 2), -9.0)
    center_px, log_side = np.zeros((*logits.shape, 2)), np.zeros(logits.shape)
    for hand, center, side, probability in hands:
        seen = geometry.crop_from_image @ [*center, 1]
        column, row = (int(value // STRIDE) for value in seen)
        for neighbor in (column, column + 1):  # two cells speak of each hand
            logits[0, row, neighbor, hand] = np.log(probability / (1 - probability)) - 0.1 * (neighbor > column)
            center_px[0, row, neighbor, hand] = seen
            log_side[0, row, neighbor, hand] = np.log(side * geometry.scale)
    return HandCells(logits, center_px, log_side)


def test_hands_are_found_once_in_pixels_of_the_photo_the_surest_first():
    _, geometry = finder_view(PHOTO)
    found = found_hands(cells((LEFT, (100, 60), 50, 0.7), (RIGHT, (400, 30), 80, 0.9)), geometry, 0.4)
    assert [hand.hand for hand in found] == [RIGHT, LEFT]
    assert [hand.probability for hand in found] == pytest.approx([0.9, 0.7])
    np.testing.assert_allclose(found[0].box_px, (360, -10, 440, 70), atol=1e-6)
    np.testing.assert_allclose(found[1].box_px, (75, 35, 125, 85), atol=1e-6)


def test_what_is_unlikely_is_no_hand_and_one_hand_is_not_both():
    _, geometry = finder_view(PHOTO)
    assert found_hands(cells((RIGHT, (100, 60), 50, 0.3)), geometry, 0.4) == []
    (hand,) = found_hands(cells((RIGHT, (100, 60), 50, 0.6), (LEFT, (100, 62), 52, 0.8)), geometry, 0.4)
    assert hand.hand == LEFT


def test_a_whole_photo_is_seen_with_its_shape():
    view, geometry = finder_view(np.full((120, 480, 3), 200, np.uint8))
    assert view.shape == (256, 256, 3)
    assert (view > 100).mean() == pytest.approx(120 / 480, abs=0.02)
    np.testing.assert_allclose(geometry.crop_from_image @ [239.5, 59.5, 1], (127.5, 127.5), atol=1e-9)


def hand(side: int, x: float, size: float = 100.0) -> FoundHand:
    return FoundHand(side, 0.9, (x, 0.0, x + size, size))


def test_a_right_and_a_left_hand_that_overlap_share_a_crop_and_each_hand_has_one():
    right, left, far, second_right = hand(RIGHT, 0.0), hand(LEFT, 60.0), hand(LEFT, 500.0), hand(RIGHT, 110.0)
    assert groups([right, left, far]) == [(right, left), (far,)]
    assert groups([right, left, second_right]) == [(right,), (left, second_right)]  # which overlap more
    assert groups([right, hand(RIGHT, 50.0)]) == [(right,), (hand(RIGHT, 50.0),)]
    assert groups([]) == []
    assert common_box((right, left)) == (0, 0, 160, 100)
