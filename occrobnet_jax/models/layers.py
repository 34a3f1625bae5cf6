"""The small layers that every block is made of."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import initializers
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.depthwise import depthwise_conv, same_padding
from occrobnet_jax.models.ops.gradient_sums import weight_product
from occrobnet_jax.models.ops.products import conv_1x1, row_products
from occrobnet_jax.models.ops.tiny_maps import conv_3x3_tiny, is_tiny
from occrobnet_jax.models.ops.transposed_conv import transposed_conv_4x4
from occrobnet_jax.models.ops.winograd import conv_3x3

BATCH_NORM_EPSILON = 1e-5  # PyTorch's
LAYER_NORM_EPSILON = 1e-5

he_normal = initializers.variance_scaling(2.0, "fan_out", "truncated_normal")
"""torchvision's initialisation of ResNets."""

depthwise_normal = initializers.variance_scaling(2.0, "fan_in", "truncated_normal")
"""He's, of a layer in which each output sees one channel alone."""


def normal_or_he(std: float) -> nn.initializers.Initializer:
    """Return the normal initialisation of this deviation; for 0 torchvision's."""
    return initializers.normal(std) if std else he_normal


small_normal = initializers.normal(0.001)
"""KypT's initialisation of its decoder. For heads that speak in metres ours too: an ordinary one starts a metre off."""


class Conv(nn.Module):
    """Convolution with PyTorch's symmetric padding, `kernel // 2` on each side, or with TensorFlow's "SAME"."""

    features: int
    kernel: int = 3
    stride: int = 1
    use_bias: bool = False
    kernel_init: nn.initializers.Initializer = he_normal
    dtype: Any = jnp.float32
    same_padding: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w cin"]) -> Float[Array, "b h2 w2 cout"]:
        """Convolve."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        weights = self.param("kernel", self.kernel_init, shape, jnp.float32).astype(self.dtype)
        x = x.astype(self.dtype)
        y = weight_product(self._convolve, x, weights)
        if self.use_bias:
            bias = self.param("bias", initializers.zeros, (self.features,), jnp.float32)
            y = y + bias.astype(self.dtype)[None, None, None]
        return y

    def _convolve(self, x: Float[Array, "b h w cin"], weights: Float[Array, "k k cin cout"]) -> Array:
        if self.kernel == 1:
            return conv_1x1(x, weights, self.stride)
        if self.kernel == 3 and not self.same_padding and is_tiny(x.shape, self.stride):
            return conv_3x3_tiny(x, weights, self.stride)
        if (self.kernel, self.stride) == (3, 1):
            return conv_3x3(x, weights)
        symmetric = (self.kernel // 2, self.kernel // 2)
        side = same_padding(self.kernel, self.stride) if self.same_padding else symmetric
        return jax.lax.conv_general_dilated(
            x, weights, (self.stride,) * 2, (side, side), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )


class DepthwiseConv(nn.Module):
    """Convolution of each channel by itself, with TensorFlow's padding "SAME" and no bias."""

    kernel: int
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
        """Convolve."""
        shape = (self.kernel, self.kernel, 1, x.shape[-1])
        weights = self.param("kernel", depthwise_normal, shape, jnp.float32)
        convolve = functools.partial(depthwise_conv, stride=self.stride)
        return weight_product(convolve, x.astype(self.dtype), weights.astype(self.dtype))


class BatchNorm(nn.Module):
    """Batch normalisation over the whole global batch: under `jax.jit` with a sharded batch it is synchronised."""

    momentum: float = 0.9
    dtype: Any = jnp.float32
    epsilon: float = BATCH_NORM_EPSILON

    @nn.compact
    def __call__(self, x: Float[Array, "*b c"], *, train: bool) -> Float[Array, "*b c"]:
        """Normalize by the batch's statistics in training, else by the running ones."""
        return nn.BatchNorm(
            use_running_average=not train,
            momentum=self.momentum,
            epsilon=self.epsilon,
            dtype=self.dtype,
            name="bn",
        )(x)


class ConvBnRelu(nn.Module):
    """Convolution, BatchNorm, ReLU."""

    features: int
    kernel: int = 3
    stride: int = 1
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal

    @nn.compact
    def __call__(self, x: Float[Array, "b h w cin"], *, train: bool) -> Float[Array, "b h2 w2 cout"]:
        """Apply the three in turn."""
        conv = Conv(self.features, self.kernel, self.stride, self.use_bias, self.kernel_init, self.dtype, name="conv")
        return nn.relu(BatchNorm(dtype=self.dtype, name="norm")(conv(x), train=train))


class UpConvBnRelu(nn.Module):
    """Transposed 4 x 4 convolution of stride 2 (PyTorch's padding 1, no bias), BatchNorm, ReLU: doubles the map."""

    features: int
    dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal

    @nn.compact
    def __call__(self, x: Float[Array, "b h w cin"], *, train: bool) -> Float[Array, "b h2 w2 cout"]:
        """Apply the three in turn."""
        weights = self.param("kernel", self.kernel_init, (4, 4, x.shape[-1], self.features), jnp.float32)
        y = weight_product(transposed_conv_4x4, x.astype(self.dtype), weights.astype(self.dtype))
        return nn.relu(BatchNorm(dtype=self.dtype, name="norm")(y, train=train))


class Mlp(nn.Module):
    """Linear layers with ReLU between them, and after the last one where `final_relu` says so."""

    hidden: Sequence[int]
    features: int
    final_relu: bool = False
    dtype: Any = jnp.float32
    final_init: nn.initializers.Initializer = initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "*b cin"]) -> Float[Array, "*b cout"]:
        """Apply the layers in turn."""
        for i, width in enumerate((*self.hidden, self.features)):
            last = i == len(self.hidden)
            init = self.final_init if last else initializers.lecun_normal()
            x = dense(width, init, self.dtype, f"dense{i}")(x)
            if self.final_relu or not last:
                x = nn.relu(x)
        return x


def dense(features: int, kernel_init: nn.initializers.Initializer, dtype: Any, name: str) -> nn.Dense:
    """Return a linear layer with bias, on rows."""
    return nn.Dense(features, kernel_init=kernel_init, dtype=dtype, dot_general=row_products, name=name)


def layer_norm(name: str, dtype: Any) -> nn.LayerNorm:
    """Return a LayerNorm with PyTorch's epsilon."""
    return nn.LayerNorm(epsilon=LAYER_NORM_EPSILON, dtype=dtype, name=name)


def upsample_2x(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Double the map bilinearly (half-pixel centres, PyTorch's `align_corners=False`)."""
    return _double_axis(_double_axis(x, 1), 2)


def _double_axis(x: Array, axis: int) -> Array:
    """Return each sample becomes two, at a quarter of the distance to its left and its right neighbour."""
    part, size = functools.partial(jax.lax.slice_in_dim, x, axis=axis), x.shape[axis]
    before = jnp.concatenate([part(0, 1), part(0, size - 1)], axis)  # slices: the gradient of a gather is a scatter
    after = jnp.concatenate([part(1, size), part(size - 1, size)], axis)
    pairs = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
    return pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
