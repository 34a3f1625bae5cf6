"""ResNet-18, 34, 50 and 101 as torchvision has them (v1.5: the stride is in the 3 x 3 convolution)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.layers import BatchNorm, Conv
from occrobnet_jax.models.ops.pooling import max_pool_3x3_stride_2
from occrobnet_jax.models.remat import apply_block

STAGE_SIZES = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
"""Residual blocks in each of the four stages."""

EXPANSION = 4  # of a bottleneck's output over its inner width


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (ResNet-18 and 34)."""

    width: int
    stride: int
    momentum: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w cin"], *, train: bool) -> Float[Array, "b h2 w2 cout"]:
        """Apply the block."""
        y = Conv(self.width, 3, self.stride, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(BatchNorm(self.momentum, self.dtype, name="bn1")(y, train=train))
        y = Conv(self.width, 3, dtype=self.dtype, name="conv2")(y)
        y = BatchNorm(self.momentum, self.dtype, name="bn2")(y, train=train)
        shortcut = Shortcut(self.width, self.stride, self.momentum, self.dtype, name="downsample")(x, train=train)
        return nn.relu(y + shortcut)


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3, 1 x 1 convolutions and a shortcut (ResNet-50 and 101)."""

    width: int
    stride: int
    momentum: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w cin"], *, train: bool) -> Float[Array, "b h2 w2 cout"]:
        """Apply the block."""
        y = Conv(self.width, 1, dtype=self.dtype, name="conv1")(x)
        y = nn.relu(BatchNorm(self.momentum, self.dtype, name="bn1")(y, train=train))
        y = Conv(self.width, 3, self.stride, dtype=self.dtype, name="conv2")(y)
        y = nn.relu(BatchNorm(self.momentum, self.dtype, name="bn2")(y, train=train))
        y = Conv(EXPANSION * self.width, 1, dtype=self.dtype, name="conv3")(y)
        y = BatchNorm(self.momentum, self.dtype, name="bn3")(y, train=train)
        out = EXPANSION * self.width
        shortcut = Shortcut(out, self.stride, self.momentum, self.dtype, name="downsample")(x, train=train)
        return nn.relu(y + shortcut)


class Shortcut(nn.Module):
    """The identity where shapes agree, else a 1 x 1 convolution and BatchNorm."""

    features: int
    stride: int
    momentum: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w cin"], *, train: bool) -> Float[Array, "b h2 w2 cout"]:
        """Bring the block's input to the shape of its output."""
        if self.stride == 1 and x.shape[-1] == self.features:
            return x
        x = Conv(self.features, 1, self.stride, dtype=self.dtype, name="conv")(x)
        return BatchNorm(self.momentum, self.dtype, name="bn")(x, train=train)


class ResNet(nn.Module):
    """The backbone; `backbone_width` scales every layer and `stem="3x3"` suits small inputs."""

    config: ModelConfig
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w 3"], *, train: bool) -> tuple[Float[Array, "b _ _ _"], ...]:
        """Return the feature maps at strides 2 (after the stem's ReLU, before pooling), 4, 8, 16 and 32."""
        config, momentum = self.config, self.config.batch_norm_momentum
        train = train and not config.backbone_norm_is_frozen
        x = Conv(config.backbone_width, int(config.stem[0]), 2, dtype=self.dtype, name="conv1")(x)
        x = nn.relu(BatchNorm(momentum, self.dtype, name="bn1")(x, train=train))
        x = jax.lax.stop_gradient(x) if config.frozen_stages else x
        taps = [x]
        x = max_pool_3x3_stride_2(x)
        block = BasicBlock if config.backbone in ("resnet18", "resnet34") else Bottleneck
        for stage, num_blocks in enumerate(STAGE_SIZES[config.backbone]):
            for i in range(num_blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                width = config.backbone_width * 2**stage
                residual = block(width, stride, momentum, self.dtype, name=f"layer{stage + 1}_{i}")
                x = apply_block(config.remat, residual, x, train=train)
            x = jax.lax.stop_gradient(x) if len(taps) < config.frozen_stages else x
            taps.append(x)
        return tuple(taps)
