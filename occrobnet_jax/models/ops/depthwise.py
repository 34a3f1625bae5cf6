"""Depthwise convolution: every channel has a kernel of its own and sees no other.

XLA's grouped convolution takes ten to fifty times longer on a CPU than the sum of shifted maps that it is.
"""

import functools
import math
from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.by_platform import by_platform

ROWS = 16  # that are summed at a time for the gradient of a kernel: fewer pass through memory often, more compile long

Map = Float[Array, "b h w c"]
Kernel = Float[Array, "k k 1 c"]
Convolved = Float[Array, "b h2 w2 c"]
Sides = tuple[int, int]


def depthwise_conv(x: Map, kernel: Kernel, stride: int) -> Convolved:
    """Convolve each channel of a map with its own kernel, of an odd size.

    The padding is TensorFlow's "SAME": with a stride of 2 an even map has one pixel more of it below and on the right.
    Height and width are multiples of the stride.
    """
    shifted = functools.partial(_shifted, stride)
    return by_platform(cpu=shifted, plain=functools.partial(_grouped, stride))(x, kernel)


def _grouped(stride: int, x: Map, kernel: Kernel) -> Convolved:
    sides = same_padding(len(kernel), stride)
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        (sides, sides),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )


def same_padding(size: int, stride: int) -> Sides:
    """Return the pixels that a kernel of a size needs before and behind a map whose length the stride divides."""
    return (size - stride) // 2, size - stride - (size - stride) // 2


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _shifted(stride: int, x: Map, kernel: Kernel) -> Convolved:
    """Add up the map's shifted copies, each times its tap."""
    size, padded = len(kernel), _padded(x, same_padding(len(kernel), stride))
    height, width = x.shape[1] // stride, x.shape[2] // stride

    def copy(dy: int, dx: int) -> Array:
        return padded[:, dy : dy + stride * height : stride, dx : dx + stride * width : stride]

    return _sum(copy(dy, dx) * kernel[dy, dx][None, None] for dy in range(size) for dx in range(size))


def _forward(stride: int, x: Map, kernel: Kernel) -> tuple[Convolved, tuple[Map, Kernel]]:
    return _shifted(stride, x, kernel), (x, kernel)


def _backward(stride: int, kept: tuple[Map, Kernel], gradient: Convolved) -> tuple[Map, Kernel]:
    x, kernel = kept
    return _gradient_of_map(stride, kernel, gradient), _gradient_of_kernel(stride, len(kernel), x, gradient)


_shifted.defvjp(_forward, _backward)


def _gradient_of_map(stride: int, kernel: Kernel, gradient: Convolved) -> Map:
    """Return the transposed convolution, phase by phase, so that no zero is multiplied."""
    batch, height, width, channels = gradient.shape
    padded = _padded(gradient, (len(kernel), len(kernel)))

    def copy(dy: int, dx: int) -> Array:
        y, x = len(kernel) + dy, len(kernel) + dx
        return padded[:, y : y + height, x : x + width]

    def phase(py: int, px: int) -> Array:
        rows, columns = (_taps_of_phase(len(kernel), stride, p) for p in (py, px))
        return _sum(copy(sy, sx) * kernel[dy, dx][None, None] for dy, sy in rows for dx, sx in columns)

    if stride == 1:
        return phase(0, 0)
    by_row = [jnp.stack([phase(py, px) for px in range(stride)], 3) for py in range(stride)]
    return jnp.stack(by_row, 2).reshape(batch, stride * height, stride * width, channels)


def _taps_of_phase(size: int, stride: int, phase: int) -> list[tuple[int, int]]:
    """Return the taps that meet every pixel `phase` of `stride`, each with the shift of the result that it leads to."""
    before = same_padding(size, stride)[0]
    return [(tap, (phase + before - tap) // stride) for tap in range(size) if (phase + before - tap) % stride == 0]


def _gradient_of_kernel(stride: int, size: int, x: Map, gradient: Convolved) -> Kernel:
    """Return the sum of all products of map and gradient, tap by tap.

    A sum over all but the last axis is slow on a CPU. Here rows are added up, some at a time, while they are in the
    cache, and columns at the end.
    """
    batch, height, width, channels = gradient.shape
    padded = _padded(x, same_padding(size, stride))
    rows, images = math.gcd(ROWS, height), math.gcd(max(1, ROWS // height), batch)
    span = stride * (rows - 1) + 1, stride * (width - 1) + 1

    def add_tap(tap: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        part, sums = state
        image, row = part // (height // rows) * images, part % (height // rows) * rows
        start = (image, stride * row + tap // size, tap % size, 0)
        seen = jax.lax.dynamic_slice(padded, start, (images, *span, channels))[:, ::stride, ::stride]
        wanted = jax.lax.dynamic_slice(gradient, (image, row, 0, 0), (images, rows, width, channels))
        found = _sum(seen[i, y] * wanted[i, y] for i in range(images) for y in range(rows))
        return part, sums.at[tap].add(found)

    def add_part(part: Array, sums: Array) -> Array:
        return jax.lax.fori_loop(0, size * size, add_tap, (part, sums))[1]

    parts = batch // images * (height // rows)
    sums = jax.lax.fori_loop(0, parts, add_part, jnp.zeros((size * size, width, channels), x.dtype))
    return sums.sum(1).reshape(size, size, 1, channels)


def _padded(x: Map, sides: Sides) -> Float[Array, "b h3 w3 c"]:
    return jnp.pad(x, ((0, 0), sides, sides, (0, 0)))


def _sum(terms: Iterable[Array]) -> Array:
    return functools.reduce(jnp.add, terms)
