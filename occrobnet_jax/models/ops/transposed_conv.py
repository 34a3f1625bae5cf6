"""Transposed convolution of 4 x 4 and stride 2, which doubles a map."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.by_platform import by_platform

Map = Float[Array, "b h w cin"]
Kernel = Float[Array, "4 4 cin cout"]
Doubled = Float[Array, "b h2 w2 cout"]
LAYOUT = ("NHWC", "HWIO", "NHWC")


def transposed_conv_4x4(x: Map, weights: Kernel) -> Doubled:
    """Convolve the input with zeros between its samples (PyTorch's padding 1, the kernel turned)."""
    return by_platform(cpu=_by_phases, plain=_zero_spaced)(x, weights)


def _by_phases(x: Map, weights: Kernel) -> Doubled:
    """Compute each of the four phases of the output from the 2 x 2 taps that it sees, so that no zero is multiplied.

    The padding is left to the convolutions: on slices of a padded input they are three times slower on a CPU.
    """
    batch, height, width, _ = x.shape
    phases = [
        jax.lax.conv_general_dilated(
            x, weights[dy::2, dx::2], (1, 1), ((1 - dy, dy), (1 - dx, dx)), dimension_numbers=LAYOUT
        )
        for dy in range(2)
        for dx in range(2)
    ]
    grid = jnp.stack(phases, 3).reshape(batch, height, width, 2, 2, -1)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * height, 2 * width, -1)


def _zero_spaced(x: Map, weights: Kernel) -> Doubled:
    return jax.lax.conv_general_dilated(
        x, weights, (1, 1), ((2, 2), (2, 2)), lhs_dilation=(2, 2), dimension_numbers=LAYOUT
    )
