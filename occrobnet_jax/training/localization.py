"""What teaches the maps of each joint and the finder of hands, both by places in the picture alone [ours]."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.finder import STRIDE, cell_centers_px
from occrobnet_jax.runs.experiment import LossConfig
from occrobnet_jax.training.terms import Term, masked
from occrobnet_jax.types import Batch, HandCells, Predictions

MIDDLE_SHARE = 0.15  # of a hand's side: cells so near to its center, in x and in y, are its middle
OUTER_SHARE = 0.3  # farther ones are not; those between are left to themselves
FOCAL_GAMMA = 2.0  # of Lin et al., arXiv 1708.02002: sure answers hardly count
CELL_SHARE = 0.5  # of a cell: no middle is smaller, so that the smallest hand still has a cell of its own


def localization_losses(
    predictions: Predictions, batch: Batch, model_config: ModelConfig, config: LossConfig
) -> dict[str, Term]:
    """Return the terms of the heads that the network has."""
    terms = {}
    if predictions.joint_maps is not None:
        terms["joint_maps"] = joint_map_loss(predictions.joint_maps, batch, model_config, config)
    if predictions.hand_cells is not None:
        terms |= finder_losses(predictions.hand_cells, batch)
    return terms


def joint_map_loss(
    maps: Float[Array, "b hh ww nj"], batch: Batch, model_config: ModelConfig, config: LossConfig
) -> Term:
    """Return the cross-entropy between each joint's map and a Gaussian at the joint; of those inside the crop, seen or
    hidden.
    """
    b, height, width, joints = maps.shape
    xy_hm = (batch.joints_px / model_config.heatmap_stride).reshape(b, joints, 2)
    across, down = (
        _distribution(xy_hm[..., i], size, config.heatmap_sigma_hm) for i, size in enumerate((width, height))
    )
    agreement = jnp.einsum("byxj,bjx,bjy->bj", maps, across, down, precision="highest")
    entropy = jax.nn.logsumexp(maps, axis=(1, 2)) - agreement
    valid = batch.joint_in_crop.reshape(b, joints) & batch.is_real[:, None]
    return masked(entropy, valid, "valid")


def _distribution(center: Float[Array, "b nj"], size: int, sigma: float) -> Float[Array, "b nj size"]:
    """Return a Gaussian over the pixels of one side, its sum 1."""
    return jax.nn.softmax(-((jnp.arange(size)[None, None] - center[..., None]) ** 2) / (2 * sigma**2), axis=-1)


class HandBoxes(NamedTuple):
    """The square around each hand's joints, where all of them are labeled."""

    center_px: Float[Array, "b n 2"]
    side_px: Float[Array, "b n"]
    known: Bool[Array, "b n"]


def hand_boxes(batch: Batch) -> HandBoxes:
    """Return the boxes in the crop's px, also of hands that the crop's border cuts."""
    known = batch.joint_px_annotated.all(-1)
    low, high = batch.joints_px.min(2), batch.joints_px.max(2)
    side_px = jnp.where(known, (high - low).max(-1), 1.0)
    return HandBoxes((low + high) / 2, jnp.maximum(side_px, 1.0), known)


def finder_losses(cells: HandCells, batch: Batch) -> dict[str, Term]:
    """Return the focal loss of every cell whose answer is known, a mean over hands; and L1 of the boxes, in the hand's
    sides.

    A hand that is known to be absent has no middle. Of a hand whose joints aren't labeled nothing is known.
    """
    boxes = hand_boxes(batch)
    middle, outside = _where(boxes, *cells.logits.shape[1:3])
    absent = batch.hand_present_known[:, None] & ~batch.hand_present
    taught = (boxes.known | absent) & batch.is_real[:, None]
    answered = (middle | outside | absent[:, None, None]) & taught[:, None, None]
    wrong = optax.sigmoid_focal_loss(cells.logits, middle.astype(jnp.float32), gamma=FOCAL_GAMMA)
    side_px = boxes.side_px[:, None, None]
    away = jnp.abs(cells.center_px - boxes.center_px[:, None, None]).sum(-1) / side_px
    box_error = away + jnp.abs(cells.log_side - jnp.log(side_px))
    return {
        "finder": (masked(wrong, answered, "valid")[0], taught.sum(dtype=jnp.float32)),
        "finder_box": masked(box_error, middle & taught[:, None, None], "valid"),
    }


def _where(boxes: HandBoxes, rows: int, columns: int) -> tuple[Bool[Array, "b h8 w8 n"], Bool[Array, "b h8 w8 n"]]:
    """Return the cells in the middle of each hand, and those that are not."""
    away_px = jnp.abs(cell_centers_px(rows, columns)[None, :, :, None] - boxes.center_px[:, None, None]).max(-1)
    side_px = boxes.side_px[:, None, None]
    middle = (away_px <= jnp.maximum(MIDDLE_SHARE * side_px, CELL_SHARE * STRIDE)) & boxes.known[:, None, None]
    outside = away_px > jnp.maximum(OUTER_SHARE * side_px, 2 * CELL_SHARE * STRIDE)
    return middle, outside
