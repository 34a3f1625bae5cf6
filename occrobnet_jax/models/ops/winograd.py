"""3 x 3 convolutions with 2.25 times fewer products (Winograd's F(2 x 2, 3 x 3); Lavin and Gray, arXiv 1509.09308).

Every 2 x 2 block of the result comes from 4 x 4 samples: 16 products of transformed samples and kernels instead of 36.
Along one axis y0 = m0 + m1 + m2 and y1 = m1 - m2 - m3, where m0 = (d0 - d2) g0, m1 = (d1 + d2) (g0 + g1 + g2) / 2,
m2 = (d2 - d1) (g0 - g1 + g2) / 2 and m3 = (d1 - d3) g2. The same is done along the other axis, so that 16 matrix
products over all blocks remain. The error is that of the plain sum: some 1e-6 of the largest value in float32.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

LEAST_CHANNELS = 128  # with fewer the transforms cost more than the products that they save
LEAST_PRODUCTS = 2**26  # a tap

Map = Float[Array, "b h w cin"]
Kernel = Float[Array, "3 3 cin cout"]
Convolved = Float[Array, "b h w cout"]


@jax.custom_vjp
def conv_3x3(x: Map, kernel: Kernel) -> Convolved:
    """Convolve with stride 1 and a padding of 1: on a CPU as Winograd did where that pays, and by XLA's own elsewhere.

    TPU and GPU keep XLA's whatever the shape.
    """
    return _best(x, kernel, training=False)


def _best(x: Map, kernel: Kernel, *, training: bool) -> Convolved:
    if not _pays(x, kernel, training=training):
        return plain(x, kernel)
    return jax.lax.platform_dependent(x, kernel, cpu=winograd, default=plain)


def _forward(x: Map, kernel: Kernel) -> tuple[Convolved, tuple[Map, Kernel]]:
    return _best(x, kernel, training=True), (x, kernel)


def _backward(kept: tuple[Map, Kernel], gradient: Convolved) -> tuple[Map, Kernel]:
    if not _pays(*kept, training=True):
        return _plain_backward(*kept, gradient)
    return jax.lax.platform_dependent(*kept, gradient, cpu=_winograd_backward, default=_plain_backward)


conv_3x3.defvjp(_forward, _backward)


def _pays(x: Map, kernel: Kernel, *, training: bool) -> bool:
    """Return whether Winograd's way is faster, and as exact."""
    # In bfloat16 the samples' sums, which nearly cancel, would make four times the error of a plain convolution.
    return x.dtype == jnp.float32 and pays(x.shape, kernel.shape, training=training)


def pays(shape: Sequence[int], kernel_shape: Sequence[int], *, training: bool) -> bool:
    """Return whether Winograd's way is the faster one on a CPU; the map's sides must be even.

    In training a batch doesn't count: a step has three times as many products, and with those of all convolutions of
    ResNet-50 a start would load its program for longer than they save in many steps.
    """
    is_even = shape[1] % 2 == shape[2] % 2 == 0
    products = (1 if training else shape[0]) * shape[1] * shape[2] * kernel_shape[2] * kernel_shape[3]
    return is_even and min(kernel_shape[2:]) >= LEAST_CHANNELS and products >= LEAST_PRODUCTS


def plain(x: Map, kernel: Kernel) -> Convolved:
    """Convolve as XLA does."""
    sides = ((1, 1), (1, 1))
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), sides, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def winograd(x: Map, kernel: Kernel) -> Convolved:
    """Return the same by Winograd's minimal filtering, of a map with even sides."""
    batch, height, width, _ = x.shape
    samples, weights = _samples(x), _weights(kernel)
    products = [
        [a.reshape(-1, a.shape[-1]) @ b for a, b in zip(*rows, strict=True)]
        for rows in zip(samples, weights, strict=True)
    ]
    columns = [_results(row) for row in products]
    blocks = [_results([row[x] for row in columns]) for x in range(2)]
    halves = (batch, height // 2, width // 2, -1)
    by_row = [jnp.stack([blocks[x][y].reshape(halves) for x in range(2)], 3) for y in range(2)]
    return jnp.stack(by_row, 2).reshape(batch, height, width, -1)


def _samples(x: Map) -> list[list[Float[Array, "b h2 w2 cin"]]]:
    """Return the 4 x 4 transformed samples of every block."""
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return [_transformed(row, 2) for row in _transformed(padded, 1)]


def _transformed(x: Array, axis: int) -> list[Array]:
    """Return what the four products along one axis take, of blocks of four that overlap by two."""
    count = x.shape[axis] // 2 - 1
    d0, d1, d2, d3 = (jax.lax.slice_in_dim(x, i, i + 2 * count - 1, 2, axis) for i in range(4))
    return [d0 - d2, d1 + d2, d2 - d1, d1 - d3]


def _weights(kernel: Kernel) -> list[list[Float[Array, "cin cout"]]]:
    """Return the 4 x 4 transformed kernels."""
    return [_transformed_kernel(row) for row in _transformed_kernel(kernel)]


def _transformed_kernel(taps: Array) -> list[Array]:
    ends, middle = (taps[0] + taps[2]) / 2, taps[1] / 2
    return [taps[0], ends + middle, ends - middle, taps[2]]


def _results(products: Sequence[Array]) -> tuple[Array, Array]:
    m0, m1, m2, m3 = products
    return m0 + m1 + m2, m1 - m2 - m3


def _plain_backward(x: Map, kernel: Kernel, gradient: Convolved) -> tuple[Map, Kernel]:
    return jax.vjp(plain, x, kernel)[1](gradient)


def _winograd_backward(x: Map, kernel: Kernel, gradient: Convolved) -> tuple[Map, Kernel]:
    """Transform the map and the kernel again, which is cheaper than keeping four times as many numbers."""
    return jax.vjp(winograd, x, kernel)[1](gradient)
