"""The picture that `prepare` makes of a dataset's first examples."""

import cv2
import numpy as np
import pytest

from input_pipeline.convert.first_examples import (
    AROUND,
    COLUMNS,
    FILE,
    MARGIN_PX,
    ROWS,
    TILE_PX,
    example_tile,
    picture_of,
    write_first_examples,
)
from input_pipeline.crop import crop_geometry, crop_image
from occrobnet_jax.drawing.colors import joint_color
from occrobnet_jax.skeleton import LEFT, RIGHT, VISIBILITY
from tests.support.fake_datasets import fake_example, write_fake_dataset


def example_with_one_joint(hand: int) -> dict:
    """Whose only joint, an index fingertip, is in the middle of the box."""
    example = fake_example(0, 96)
    example["hand_present"] = np.eye(2, dtype=np.uint8)[hand]
    example["joints_annotated"] = np.zeros((2, 21), np.uint8)
    example["joints_px_only"] = np.zeros((2, 21), np.uint8)
    example["joints_px_only"][hand, 4] = 1
    example["joints_in_image"] = example["joints_px_only"].copy()
    example["joints_px"] = np.zeros((2, 21, 2), np.float32)
    example["box_px"], example["box_known"] = np.array([20, 30, 60, 50], np.float32), np.uint8(1)
    example["joints_px"][hand, 4] = 40, 40
    return example


@pytest.mark.parametrize("hand", [RIGHT, LEFT])
def test_a_label_is_drawn_at_its_place_in_the_color_of_its_hand_and_finger(hand):
    example = example_with_one_joint(hand)
    tile = example_tile(example)
    assert tile.shape == (MARGIN_PX + TILE_PX, TILE_PX, 3)
    middle = tile[MARGIN_PX + TILE_PX // 2, TILE_PX // 2]
    np.testing.assert_array_equal(middle, joint_color(hand, 4))
    plain = crop_image(picture_of(example), crop_geometry(example["box_px"], TILE_PX, AROUND))
    changed = np.argwhere((tile[MARGIN_PX:] != plain).any(-1))
    half_box = TILE_PX / AROUND / 2  # the dashed box is the farthest of what is drawn
    np.testing.assert_allclose(np.abs(changed - TILE_PX / 2).max(), half_box, atol=2)


def test_a_hidden_joint_is_hollow():
    example = example_with_one_joint(LEFT)
    example["visibility"] = np.full((2, 21), VISIBILITY.index("other_hand"), np.uint8)
    middle = example_tile(example)[MARGIN_PX + TILE_PX // 2, TILE_PX // 2]
    assert (middle != joint_color(LEFT, 4)).any()


def test_an_example_without_a_box_is_shown_whole():
    example = example_with_one_joint(RIGHT) | {"box_known": np.uint8(0)}
    assert example_tile(example)[MARGIN_PX + TILE_PX // 2 :].any()


def test_each_split_has_its_rows(tmp_path):
    """30 training examples, of which the first 24 are shown, and 15 of val and of test, a row and a half each."""
    write_fake_dataset(tmp_path, 30)
    (folder,) = (tmp_path / "synthetic_hands").iterdir()
    path = write_first_examples(folder)
    assert path == folder / FILE
    picture = cv2.imread(str(path))
    tile_rows = ROWS + 2 + 2
    assert picture.shape == (3 * MARGIN_PX + tile_rows * (MARGIN_PX + TILE_PX), COLUMNS * TILE_PX, 3)
