"""From keypoints to tokens: features sampled at every level of the pyramid, an MLP, and a position code."""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen import initializers
from jaxtyping import Array, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.layers import Mlp
from occrobnet_jax.models.neck import Maps
from occrobnet_jax.types import Keypoints

POSITION_TEMPERATURE = 100.0  # KypT's, not DETR's 10,000
COARSE_LEVELS = 2  # object tokens see strides 16 and 32 only (KypT)


class Tokens(nn.Module):
    """Token = [features at the keypoint, all levels, through an MLP | position code], concatenated (KypT)."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, levels: Maps, keypoints: Keypoints, map_size: tuple[int, int]) -> Float[Array, "b t width"]:
        """Build the tokens.

        Args:
            levels: finest first; each is sampled bilinearly with aligned corners.
            keypoints: where, in heatmap pixels.
            map_size: width and height of the heatmap.
        """
        config, features = self.config, self.config.width - self.config.position_width
        sampled = sample_levels(levels, keypoints.xy_hm, map_size)
        code = position_code(keypoints.xy_hm, map_size, config.position_width).astype(self.dtype)
        split = config.max_joint_keypoints
        joints = jnp.concatenate([level[:, :split] for level in sampled], -1)
        tokens = Mlp(config.token_mlp, features, True, self.dtype, name="joint_mlp")(joints)
        if config.keypoints == "joints":
            identity = self.param("joint_identity", initializers.normal(1.0), (split, features), jnp.float32)
            tokens = tokens + identity.astype(self.dtype)[None]
        if config.with_object:
            things = jnp.concatenate([level[:, split:] for level in sampled[-COARSE_LEVELS:]], -1)
            things = Mlp(config.object_token_mlp, features, True, self.dtype, name="object_mlp")(things)
            tokens = jnp.concatenate([tokens, things], 1)
        return jnp.concatenate([tokens, code], -1)


def sample_levels(levels: Maps, xy_hm: Float[Array, "b t 2"], map_size: tuple[int, int]) -> list[Float[Array, "b t _"]]:
    """Sample each level where the heatmap's pixels lie on it (corners aligned with corners)."""
    share = xy_hm / (jnp.array(map_size, jnp.float32) - 1)[None, None]
    return [
        sample_bilinear(level, share * jnp.array([[[level.shape[2] - 1, level.shape[1] - 1]]], jnp.float32))
        for level in levels
    ]


def sample_bilinear(features: Float[Array, "b h w c"], xy: Float[Array, "b t 2"]) -> Float[Array, "b t c"]:
    """Sample bilinearly at pixel positions; what lies outside counts as zero (PyTorch's `grid_sample`)."""
    corner = jnp.floor(xy)
    fraction = (xy - corner).astype(features.dtype)
    fx, fy = fraction[..., :1], fraction[..., 1:]
    right, down = jnp.array([[[1.0, 0.0]]]), jnp.array([[[0.0, 1.0]]])
    top = (1 - fx) * _at(features, corner) + fx * _at(features, corner + right)
    bottom = (1 - fx) * _at(features, corner + down) + fx * _at(features, corner + right + down)
    return (1 - fy) * top + fy * bottom


def _at(features: Float[Array, "b h w c"], corner: Float[Array, "b t 2"]) -> Float[Array, "b t c"]:
    _, height, width, channels = features.shape
    x, y = corner[..., 0].astype(jnp.int32), corner[..., 1].astype(jnp.int32)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = jnp.clip(y, 0, height - 1) * width + jnp.clip(x, 0, width - 1)
    flat = features.reshape(features.shape[0], -1, channels)
    return jnp.where(inside[..., None], jnp.take_along_axis(flat, index[..., None], axis=1), 0)


def position_code(xy_hm: Float[Array, "b t 2"], map_size: tuple[int, int], width: int) -> Float[Array, "b t width"]:
    """Return the sine code of the nearest heatmap pixel: half the values for y, half for x, sine and cosine
    interleaved.

    Pixels count from 1 and are scaled so that the whole map is one turn.
    """
    index = jnp.arange(width // 2)
    period = POSITION_TEMPERATURE ** (2 * (index // 2) / (width // 2))
    turns = 2 * math.pi * (jnp.round(xy_hm) + 1) / jnp.array([[map_size]], jnp.float32)
    angle = turns[..., ::-1, None] / period[None, None, None]  # y before x
    code = jnp.where((index % 2 == 0)[None, None, None], jnp.sin(angle), jnp.cos(angle))
    return code.reshape(*xy_hm.shape[:-1], width)
