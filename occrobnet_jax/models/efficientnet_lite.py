"""EfficientNet-Lite0: inverted bottlenecks for phones, without squeeze and excitation, with ReLU6.

Source: Tan and Le, arXiv 1905.11946, and TensorFlow's `efficientnet/lite`. The ImageNet classifier and the 1 x 1
convolution before it are left out.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.layers import BatchNorm, Conv, DepthwiseConv
from occrobnet_jax.models.remat import apply_block

BATCH_NORM_EPSILON = 1e-3  # TensorFlow's
STEM_CHANNELS = 32
PUBLISHED_WIDTH = 64  # `backbone_width` at which channels are the published ones


class Stage(NamedTuple):
    """Blocks of one shape; the first has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int
    is_tapped: bool  # its map is the last one of its resolution


STAGES = (
    Stage(1, 3, 1, 1, 16, is_tapped=True),
    Stage(2, 3, 2, 6, 24, is_tapped=True),
    Stage(2, 5, 2, 6, 40, is_tapped=True),
    Stage(3, 3, 2, 6, 80, is_tapped=False),
    Stage(3, 5, 1, 6, 112, is_tapped=True),
    Stage(4, 5, 2, 6, 192, is_tapped=False),
    Stage(1, 3, 1, 6, 320, is_tapped=True),
)


class InvertedBottleneck(nn.Module):
    """1 x 1 convolution to more channels, a depthwise one, 1 x 1 to fewer; a shortcut where shapes agree."""

    features: int
    kernel: int
    stride: int
    expansion: int
    momentum: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w cin"], *, train: bool) -> Float[Array, "b h2 w2 cout"]:
        """Apply the block."""
        y = x
        if self.expansion > 1:
            y = Conv(self.expansion * x.shape[-1], 1, dtype=self.dtype, name="expand")(y)
            y = nn.relu6(self._norm("bn1")(y, train=train))
        y = DepthwiseConv(self.kernel, self.stride, self.dtype, name="depthwise")(y)
        y = nn.relu6(self._norm("bn2")(y, train=train))
        y = Conv(self.features, 1, dtype=self.dtype, name="project")(y)
        y = self._norm("bn3")(y, train=train)
        return x + y if x.shape == y.shape else y

    def _norm(self, name: str) -> BatchNorm:
        return BatchNorm(self.momentum, self.dtype, BATCH_NORM_EPSILON, name=name)


class EfficientNetLite(nn.Module):
    """The backbone; `backbone_width` scales every layer."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], *, train: bool) -> tuple[Float[Array, "b _ _ _"], ...]:
        """Return the feature maps at strides 2, 4, 8, 16 and 32."""
        config, momentum = self.config, self.config.batch_norm_momentum
        train = train and not config.backbone_norm_is_frozen
        x = Conv(self._width(STEM_CHANNELS), 3, 2, same_padding=True, dtype=self.dtype, name="conv1")(x)
        x = nn.relu6(BatchNorm(momentum, self.dtype, BATCH_NORM_EPSILON, name="bn1")(x, train=train))
        taps: list[Float[Array, "b _ _ _"]] = []
        for number, stage in enumerate(STAGES, 1):
            for i in range(stage.blocks):
                stride, width = (stage.stride if i == 0 else 1), self._width(stage.channels)
                block = InvertedBottleneck(
                    width, stage.kernel, stride, stage.expansion, momentum, self.dtype, name=f"layer{number}_{i}"
                )
                x = apply_block(config.remat, block, x, train=train)
            if stage.is_tapped:
                x = jax.lax.stop_gradient(x) if len(taps) < config.frozen_stages else x
                taps.append(x)
        return tuple(taps)

    def _width(self, channels: int) -> int:
        return max(1, channels * self.config.backbone_width // PUBLISHED_WIDTH)
