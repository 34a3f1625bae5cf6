"""Where tokens are taken: greedy non-maximum suppression on the device, with static shapes.

One pass of maximum filter and top-k is not greedy suppression: where A suppresses B and B would have suppressed C,
it loses C, and that is where fingers overlap. So the strongest pixel is taken and its disc suppressed, as many times
as there are slots, for the whole batch at once. (Rounds that take every disc's maximum need fewer iterations, but
each costs more than all of these together on a CPU, and on a flat map they are not bounded by the slots.)
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.types import Batch, Keypoints


def select_keypoints(
    heatmap: Float[Array, "b hh ww"], object_map: Float[Array, "b hh ww"] | None, config: ModelConfig
) -> Keypoints:
    """Take the strongest joints, and points on the object, each list ordered by strength.

    No gradient flows through the locations.
    """
    joints = greedy_peaks(
        heatmap, config.joint_threshold, config.suppression_radius_hm, config.max_joint_keypoints, config.min_keypoints
    )
    if object_map is None:
        return Keypoints(*joints, jnp.zeros_like(joints[1]))
    things = greedy_peaks(
        object_map, config.object_threshold, config.suppression_radius_hm, config.max_object_keypoints
    )
    return _joined(joints, things)


def teacher_keypoints(batch: Batch, config: ModelConfig) -> Keypoints:
    """Tokens at the annotated joints inside the crop, and on the annotated object (teacher forcing)."""
    valid = batch.joint_in_crop.reshape(batch.joint_in_crop.shape[0], -1)
    xy = (batch.joints_px / config.heatmap_stride).reshape(*valid.shape, 2)
    pad = config.max_joint_keypoints - valid.shape[1]
    xy = jnp.pad(jnp.where(valid[..., None], xy, 0.0), ((0, 0), (0, pad), (0, 0)))
    joints = (xy, jnp.pad(valid, ((0, 0), (0, pad))))
    if not config.with_object:
        return Keypoints(*joints, jnp.zeros_like(joints[1]))
    return _joined(joints, _object_points(batch, config))


def empty_keypoints(batch_size: int, config: ModelConfig) -> Keypoints:
    """Slots without any keypoint."""
    valid = jnp.zeros((batch_size, config.num_keypoints), bool)
    return Keypoints(jnp.zeros((*valid.shape, 2)), valid, valid)


def _object_points(batch: Batch, config: ModelConfig) -> tuple[Array, Array]:
    """Return points at least a suppression radius apart on the object's mask.

    A flat mask is all ties, which greedy suppression would pack in raster order from the top left; a fixed noise
    breaks them, so that the points spread over the object.
    """
    inside = batch.segmentation == 3
    noise = jax.random.uniform(jax.random.key(0), (1, *inside.shape[1:]))
    mask = jnp.where(inside & batch.segmentation_known[:, None, None], 254.0 + noise, 0.0)
    return greedy_peaks(mask, config.object_threshold, config.suppression_radius_hm, config.max_object_keypoints)


def _joined(joints: tuple[Array, Array], things: tuple[Array, Array]) -> Keypoints:
    is_object = jnp.concatenate([jnp.zeros_like(joints[1]), jnp.ones_like(things[1])], 1)
    return Keypoints(
        xy_hm=jnp.concatenate([joints[0], things[0]], 1),
        valid=jnp.concatenate([joints[1], things[1]], 1),
        is_object=is_object,
    )


def greedy_peaks(
    heatmap: Float[Array, "b hh ww"], threshold: float, radius: float, max_peaks: int, min_peaks: int = 0
) -> tuple[Float[Array, "b t 2"], Bool[Array, "b t"]]:
    """Greedy non-maximum suppression: the strongest pixel above the threshold, then the next outside its disc...

    Args:
        heatmap: one map an example.
        threshold: a peak must be above it.
        radius: pixels within this Euclidean distance of a taken peak are suppressed.
        max_peaks: how many of the strongest are kept.
        min_peaks: where fewer pass the threshold, this many of the strongest are taken all the same.

    Returns:
        Positions (x, y), strongest first, zeros in empty slots; and which slots hold a peak. Ties go to the
        smaller raster index.
    """
    batch, height, width = heatmap.shape
    y, x = jnp.mgrid[:height, :width]

    def take_strongest(i: Int[Array, ""], carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        remaining, xy, valid = carry
        strength, index = _first_maximum(remaining)
        px, py = index % width, index // width
        good = (strength > threshold) | ((i < min_peaks) & jnp.isfinite(strength))
        disc = (x[None] - px[:, None, None]) ** 2 + (y[None] - py[:, None, None]) ** 2 <= radius**2
        remaining = jnp.where(disc, -jnp.inf, remaining)
        slot = jnp.where(good[:, None], jnp.stack([px, py], -1), 0).astype(jnp.float32)
        return remaining, xy.at[:, i].set(slot), valid.at[:, i].set(good)

    start = (
        jax.lax.stop_gradient(heatmap).astype(jnp.float32),
        jnp.zeros((batch, max_peaks, 2)),
        jnp.zeros((batch, max_peaks), bool),
    )
    _, xy, valid = jax.lax.fori_loop(0, max_peaks, take_strongest, start)
    return xy, valid


def _first_maximum(maps: Float[Array, "b hh ww"]) -> tuple[Float[Array, " b"], Int[Array, " b"]]:
    """Return value and raster index of each map's maximum: two plain reductions, which vectorise where argmax does
    not.
    """
    strength = maps.max((1, 2))
    raster = jnp.arange(maps[0].size).reshape(1, *maps.shape[1:])
    return strength, jnp.where(maps == strength[:, None, None], raster, maps[0].size - 1).min((1, 2))
