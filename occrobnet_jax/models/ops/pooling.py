"""Max-pooling and average pooling of maps."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.by_platform import by_platform


def max_pool_3x3_stride_2(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Pool a map of even size as ResNets do, with a padding of 1."""
    return by_platform(cpu=_maximum_by_axis, plain=_windowed_maximum)(x)


def _maximum_by_axis(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    """Take the maximum of three neighbors along one axis, then along the other.

    The backward pass of XLA's windowed maximum is an order of magnitude slower on a CPU, and that of nine strided
    slices twice as slow.
    """
    return _halved(_halved(x, 1), 2)


def _halved(x: Array, axis: int) -> Array:
    """Return the maximum of each pair and of the sample before it, along an axis of even length."""
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    first, second = (jax.lax.index_in_dim(pairs, i, axis + 1, keepdims=False) for i in range(2))
    padding = [(1, 0) if i == axis else (0, 0) for i in range(x.ndim)]
    before = jax.lax.slice_in_dim(jnp.pad(second, padding, constant_values=-jnp.inf), 0, first.shape[axis], axis=axis)
    return jnp.maximum(jnp.maximum(first, second), before)


def _windowed_maximum(x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c"]:
    return nn.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))


def average_pool(x: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h2 w2 c"]:
    """Take the mean of each `factor` x `factor` block."""
    b, h, w, c = x.shape
    return x.reshape(b, h // factor, factor, w // factor, factor, c).mean((2, 4))
