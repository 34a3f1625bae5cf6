"""What the maps of joints and the finder are taught, on labels whose answer is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from occrobnet_jax.models.finder import STRIDE, cell_centers_px
from occrobnet_jax.models.joint_maps import locate
from occrobnet_jax.runs.experiment import LossConfig
from occrobnet_jax.training.localization import finder_losses, hand_boxes, joint_map_loss
from occrobnet_jax.types import Batch, HandCells
from tests.support.fake_batches import fake_batch
from tests.support.tiny import tiny_model

SIZE_PX = 64
CONFIG = tiny_model()
LOSS = LossConfig(heatmap_sigma_hm=1.0)
BATCH = fake_batch(CONFIG, SIZE_PX)
MAP_SIZE = SIZE_PX // CONFIG.heatmap_stride


def maps_of(batch: Batch, sigma: float = 1.0) -> jax.Array:
    """Logits of Gaussians at the joints: what the cross-entropy is smallest for."""
    xy = batch.joints_px.reshape(len(batch.is_real), 42, 2) / CONFIG.heatmap_stride
    grid = jnp.stack(jnp.meshgrid(jnp.arange(MAP_SIZE), jnp.arange(MAP_SIZE)), -1)
    return -((grid[None, :, :, None] - xy[:, None, None]) ** 2).sum(-1) / (2 * sigma**2)


def joint_cost(maps: jax.Array, batch: Batch) -> float:
    value, count = joint_map_loss(maps, batch, CONFIG, LOSS)
    return float(value / count)


def test_no_map_is_better_than_the_gaussian_at_the_joint():
    best = maps_of(BATCH)
    gradient = jax.grad(lambda maps: joint_map_loss(maps, BATCH, CONFIG, LOSS)[0])(best)
    assert jnp.abs(gradient).max() < 1e-3
    assert joint_cost(best, BATCH) < joint_cost(maps_of(BATCH, 0.8), BATCH) < joint_cost(jnp.zeros_like(best), BATCH)
    inside = BATCH.joint_in_crop.reshape(len(best), 42)
    away = jnp.abs(locate(best).xy_hm * CONFIG.heatmap_stride - BATCH.joints_px.reshape(len(best), 42, 2)).max(-1)
    assert jnp.where(inside, away, 0).max() < 1.5  # px of the crop; a window is cut at the border


def test_joints_outside_the_crop_and_examples_that_are_not_real_teach_no_map():
    gradient = jax.grad(lambda maps, batch: joint_map_loss(maps, batch, CONFIG, LOSS)[0])
    zeros = jnp.zeros((len(BATCH.is_real), MAP_SIZE, MAP_SIZE, 42))
    taught = jnp.abs(gradient(zeros, BATCH)).max((1, 2)) > 0
    np.testing.assert_array_equal(taught, BATCH.joint_in_crop.reshape(taught.shape))
    unreal = dataclasses.replace(BATCH, is_real=jnp.zeros_like(BATCH.is_real))
    assert jnp.abs(gradient(zeros, unreal)).max() == 0


def cells_of(batch: Batch, sure: float = 8.0) -> HandCells:
    """A finder that knows every box, and is sure at the cell nearest to each center."""
    boxes, rows = hand_boxes(batch), SIZE_PX // STRIDE
    away = jnp.abs(cell_centers_px(rows, rows)[None, :, :, None] - boxes.center_px[:, None, None]).max(-1)
    middle = (away <= jnp.maximum(0.15 * boxes.side_px, 4.0)[:, None, None]) & boxes.known[:, None, None]
    spread = jnp.broadcast_to
    return HandCells(
        logits=jnp.where(middle, sure, -sure),
        center_px=spread(boxes.center_px[:, None, None], (*away.shape, 2)),
        log_side=spread(jnp.log(boxes.side_px)[:, None, None], away.shape),
    )


def finder_cost(cells: HandCells, batch: Batch) -> dict[str, float]:
    return {name: float(value / jnp.maximum(count, 1)) for name, (value, count) in finder_losses(cells, batch).items()}


def test_a_finder_that_knows_costs_nothing_and_a_wrong_one_much():
    right = cells_of(BATCH)
    assert finder_cost(right, BATCH)["finder"] < 1e-4
    assert finder_cost(right, BATCH)["finder_box"] < 1e-5
    blind = dataclasses.replace(right, logits=jnp.full_like(right.logits, -8.0))
    swapped = dataclasses.replace(right, logits=right.logits[..., ::-1])
    assert min(finder_cost(blind, BATCH)["finder"], finder_cost(swapped, BATCH)["finder"]) > 1
    twice = dataclasses.replace(right, log_side=right.log_side + jnp.log(2.0))
    np.testing.assert_allclose(finder_cost(twice, BATCH)["finder_box"], np.log(2), rtol=1e-4)


def test_of_a_hand_that_may_be_there_without_labels_nothing_is_taught():
    unlabeled = BATCH.joint_px_annotated & jnp.array([True, False])[None, :, None]  # the left hand's are taken away
    unknown = dataclasses.replace(
        BATCH, joint_px_annotated=unlabeled, hand_present_known=jnp.zeros_like(BATCH.hand_present_known)
    )
    gradient = jax.grad(lambda cells: finder_losses(cells, unknown)["finder"][0])(cells_of(BATCH, 0.0))
    assert jnp.abs(gradient.logits[..., 1]).max() == 0
    assert jnp.abs(gradient.logits[..., 0]).max() > 0


def test_a_hand_that_is_known_to_be_absent_has_no_cell():
    absent = ~BATCH.hand_present & BATCH.hand_present_known[:, None]
    assert absent.any()
    gradient = jax.grad(lambda cells: finder_losses(cells, BATCH)["finder"][0])(cells_of(BATCH, 0.0))
    everywhere = (gradient.logits > 0).all((1, 2))
    assert bool(everywhere[absent].all())


def test_the_smallest_hand_has_a_cell():
    tiny = dataclasses.replace(BATCH, joints_px=SIZE_PX / 2 + 0.02 * (BATCH.joints_px - SIZE_PX / 2))
    _, count = finder_losses(cells_of(tiny), tiny)["finder_box"]
    assert count >= hand_boxes(tiny).known.sum()
