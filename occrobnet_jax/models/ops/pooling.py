"""Max-pooling and average pooling of maps."""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.by_platform import by_platform


def max_pool_3x3_stride_2(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Pool a map of even size as ResNets do, with a padding of 1."""
    return by_platform(cpu=_maximum_of_slices, plain=_windowed_maximum)(x)


def _maximum_of_slices(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Take the maximum of nine strided slices.

    The backward pass of XLA's windowed maximum is an order of magnitude slower on a CPU.
    """
    _, height, width, _ = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-jnp.inf)
    windows = [padded[:, dy : dy + height : 2, dx : dx + width : 2] for dy in range(3) for dx in range(3)]
    return functools.reduce(jnp.maximum, windows)


def _windowed_maximum(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


def average_pool(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """Take the mean of each `factor` x `factor` block."""
    b, h, w, c = x.shape
    return x.reshape(b, h // factor, factor, w // factor, factor, c).mean((2, 4))
