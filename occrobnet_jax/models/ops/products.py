"""Matrix products: linear layers, and convolutions of 1 x 1, which are the same."""

import functools
import math
from typing import Any

import jax
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.by_platform import by_platform
from occrobnet_jax.models.ops.gradient_sums import weight_product


def row_products(
    x: Float[Array, "..."], weights: Float[Array, "..."], dimension_numbers: Any = None, **options: Any
) -> Float[Array, "..."]:
    """Multiply the last axes of `x` with the first ones of `weights`, with all other axes of `x` made into one.

    What `jax.lax.dot_general` does, in the form that XLA itself brings it into for TPUs and GPUs. For CPUs it
    transposes an array of more than two axes in memory first for the gradient, and takes twice as long.

    Args:
        x: any number of axes.
        weights: any number of axes.
        dimension_numbers: as of `jax.lax.dot_general`, which a layer of Flax gives; one axis by default.
        **options: precision and type of `jax.lax.dot_general`.
    """
    count = 1 if dimension_numbers is None else len(dimension_numbers[0][0])
    outer, inner = x.shape[:-count], math.prod(x.shape[-count:])
    rows, matrix = x.reshape(-1, inner), weights.reshape(inner, -1)
    multiply = functools.partial(jax.lax.dot_general, dimension_numbers=(((1,), (0,)), ((), ())), **options)
    products = weight_product(multiply, rows, matrix)
    return products.reshape(*outer, *weights.shape[count:])


def conv_1x1(
    x: Float[Array, "b h w cin"], weights: Float[Array, "1 1 cin cout"], stride: int
) -> Float[Array, "b h2 w2 cout"]:
    """Convolve with a kernel of one pixel: on a CPU as the matrix product that it is.

    The backward pass of the same thing called a convolution is several times slower there.
    """

    def product(x: Array, weights: Array) -> Array:
        return row_products(x[:, ::stride, ::stride], weights[0, 0])

    def convolution(x: Array, weights: Array) -> Array:
        return jax.lax.conv_general_dilated(
            x, weights, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    return by_platform(cpu=product, plain=convolution)(x, weights)
