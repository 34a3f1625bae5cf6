"""3 x 3 convolutions whose result has one or two samples a side, as a ResNet's last ones of 64 px crops."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.by_platform import by_platform

LARGEST_SIDE = 2  # of the result; with three samples a side XLA's own is as fast


def is_tiny(shape: tuple[int, ...], stride: int) -> bool:
    """Return whether a map of this shape, [b, h, w, c], convolved with a padding of 1, gives one that is tiny."""
    return max(_result_side(side, stride) for side in shape[1:3]) <= LARGEST_SIDE


def conv_3x3_tiny(
    x: Float[Array, "b h w cin"], weights: Float[Array, "3 3 cin cout"], stride: int
) -> Float[Array, "b h2 w2 cout"]:
    """Convolve with a padding of 1: on a CPU as one matrix product of all nine samples that each result sees.

    XLA's own convolution takes 25 to 45 times as long there, and so does its gradient of the map.
    """

    def product(x: Array, weights: Array) -> Array:
        height, width = (_result_side(side, stride) for side in x.shape[1:3])
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        seen = [
            padded[:, dy : dy + stride * height : stride, dx : dx + stride * width : stride]
            for dy in range(3)
            for dx in range(3)
        ]
        rows = jnp.concatenate(seen, axis=-1).reshape(len(x) * height * width, -1)
        return (rows @ weights.reshape(rows.shape[1], -1)).reshape(len(x), height, width, -1)

    def convolution(x: Array, weights: Array) -> Array:
        return jax.lax.conv_general_dilated(
            x, weights, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    return by_platform(cpu=product, plain=convolution)(x, weights)


def _result_side(side: int, stride: int) -> int:
    return (side - 1) // stride + 1
