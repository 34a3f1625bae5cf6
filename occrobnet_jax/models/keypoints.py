"""Where tokens are taken: the peaks of the heatmap and of the object map, or the true joints."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.joint_maps import Located
from occrobnet_jax.models.ops.peaks import greedy_peaks
from occrobnet_jax.types import Batch, Keypoints


def select_keypoints(
    heatmap: Float[Array, "b hh ww"],
    object_map: Float[Array, "b hh ww"] | None,
    config: ModelConfig,
    located: Located | None = None,
) -> Keypoints:
    """Take the strongest joints, ordered by strength, or each joint where its map has it; and points on the object.

    No gradient flows through the locations.
    """
    if config.keypoints == "joints":
        assert located is not None
        xy_hm = jax.lax.stop_gradient(located.xy_hm)
        joints = (xy_hm, jnp.ones(xy_hm.shape[:2], bool))
    else:
        limits = (config.max_joint_keypoints, config.min_keypoints)
        joints = greedy_peaks(heatmap, config.joint_threshold, config.suppression_radius_hm, *limits)
    if object_map is None:
        return Keypoints(*joints, jnp.zeros_like(joints[1]))
    things = greedy_peaks(
        object_map, config.object_threshold, config.suppression_radius_hm, config.max_object_keypoints
    )
    return _joined(joints, things)


def teacher_keypoints(batch: Batch, config: ModelConfig) -> Keypoints:
    """Return tokens at the annotated joints inside the crop, and on the annotated object (teacher forcing)."""
    valid = batch.joint_in_crop.reshape(batch.joint_in_crop.shape[0], -1)
    xy = (batch.joints_px / config.heatmap_stride).reshape(*valid.shape, 2)
    pad = config.max_joint_keypoints - valid.shape[1]
    xy = jnp.pad(jnp.where(valid[..., None], xy, 0.0), ((0, 0), (0, pad), (0, 0)))
    joints = (xy, jnp.pad(valid, ((0, 0), (0, pad))))
    if not config.with_object:
        return Keypoints(*joints, jnp.zeros_like(joints[1]))
    return _joined(joints, _object_points(batch, config))


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
