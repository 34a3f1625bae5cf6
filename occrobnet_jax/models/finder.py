"""Where the hands of a whole photo are: a coarse map of hand centers with the size of each hand's box [ours].

The map is read off the feature pyramid, so that the same weights find hands in a photo of any size and read the pose
off a crop around them. Each cell of a hand's map answers for itself: the probability that it lies in the middle of such
a hand, and where that hand's box is (an anchor-free detector: Zhou et al., Objects as Points, arXiv 1904.07850; Tian et
al., FCOS, arXiv 1904.01355).
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from occrobnet_jax.models.backbone import make_backbone, normalized
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.layers import Conv, ConvBnRelu, small_normal
from occrobnet_jax.models.neck import FeaturePyramid
from occrobnet_jax.skeleton import NUM_HANDS
from occrobnet_jax.types import HandCells

STRIDE = 8  # input px a cell
RARE = -4.0  # the logit that a cell starts with: hardly any is the middle of a hand


class FinderHead(nn.Module):
    """Reads the cells off the pyramid's level of stride 8."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, level: Float[Array, "b h8 w8 c"], *, train: bool) -> HandCells:
        """Apply a 3 x 3 convolution and a linear layer."""
        x = ConvBnRelu(level.shape[-1], dtype=self.dtype, name="conv")(level, train=train)
        logits = Conv(NUM_HANDS, 1, use_bias=True, kernel_init=small_normal, dtype=self.dtype, name="logits")(x)
        boxes = Conv(3 * NUM_HANDS, 1, use_bias=True, kernel_init=small_normal, dtype=self.dtype, name="boxes")(x)
        boxes = boxes.astype(jnp.float32).reshape(*boxes.shape[:3], NUM_HANDS, 3)
        center_px = cell_centers_px(*level.shape[1:3])[None, :, :, None] + STRIDE * boxes[..., :2]
        return HandCells(logits.astype(jnp.float32) + RARE, center_px, jnp.log(8.0 * STRIDE) + boxes[..., 2])


class HandFinder(nn.Module):
    """The part of `OccRobNet` that finds hands, under the same names, so that it runs on the same parameters."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, image: UInt8[Array, "b h w 3"]) -> HandCells:
        """Find the hands of photos, whose width and height are multiples of 32."""
        taps = make_backbone(self.config, self.dtype)(normalized(image, self.config, self.dtype), train=False)
        pyramid = FeaturePyramid(self.config.neck_channels, self.dtype, name="fpn")(taps)
        return FinderHead(self.dtype, name="finder_head")(pyramid.p3, train=False)


def cell_centers_px(rows: int, columns: int) -> Float[Array, "rows columns 2"]:
    """Return the input px (x, y) of each cell's middle."""
    y, x = jnp.mgrid[:rows, :columns]
    return STRIDE * (jnp.stack([x, y], -1) + 0.5) - 0.5
