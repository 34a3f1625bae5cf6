"""Winograd's convolution against the plain one in float64, and the programs that platforms get."""

import collections
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.layers import Conv
from occrobnet_jax.models.ops.winograd import conv_3x3, pays, plain, winograd

SHAPES = [(1, 2, 2, 3, 4), (2, 6, 4, 5, 3), (1, 32, 32, 256, 256)]


def arrays(batch: int, height: int, width: int, cin: int, cout: int) -> list[jax.Array]:
    """A map, a kernel, and a gradient of the result."""
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = (batch, height, width, cin), (3, 3, cin, cout), (batch, height, width, cout)
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


def by_the_definition(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The sum over nine shifted maps."""
    _, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(padded[:, i : i + height, j : j + width] @ kernel[i, j] for i in range(3) for j in range(3))


def with_gradients(function, x, kernel, dy):
    value, backward = jax.vjp(function, x, kernel)
    return value, *backward(dy)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_sum_over_nine_shifted_maps(shape):
    x, kernel, _ = arrays(*shape)
    expected = by_the_definition(np.float64(x), np.float64(kernel))
    for function in (winograd, plain, conv_3x3):
        np.testing.assert_allclose(function(x, kernel), expected, atol=4e-6 * np.abs(expected).max())


@pytest.mark.parametrize("shape", SHAPES)
def test_its_gradients_are_the_plain_ones(shape):
    expected = with_gradients(plain, *arrays(*shape))
    for name, a, b in zip(("value", "dx", "dk"), with_gradients(conv_3x3, *arrays(*shape)), expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()), err_msg=name)


@pytest.mark.parametrize("training", [True, False])
def test_it_is_for_large_even_maps_with_many_channels(training):
    pays_here = functools.partial(pays, training=training)
    assert pays_here((1, 64, 64, 128), (3, 3, 128, 128))
    assert pays_here((7, 32, 32, 512), (3, 3, 512, 128))
    assert pays_here((7, 32, 64, 128), (3, 3, 128, 128)) is not training
    assert not pays_here((1, 32, 64, 128), (3, 3, 128, 128))
    assert not pays_here((1, 65, 64, 128), (3, 3, 128, 128))
    assert not pays_here((1, 64, 65, 128), (3, 3, 128, 128))
    assert not pays_here((1, 64, 64, 1024), (3, 3, 1024, 127))
    assert not pays_here((1, 64, 64, 127), (3, 3, 127, 1024))


def test_a_batch_counts_where_nothing_is_trained():
    x = jax.ShapeDtypeStruct((8, 32, 32, 128), jnp.float32)
    kernel = jax.ShapeDtypeStruct((3, 3, 128, 128), jnp.float32)
    assert num_products(conv_3x3, x, kernel) == 16
    assert num_products(lambda *given: jax.vjp(conv_3x3, *given)[0], x, kernel) == 0


def test_bfloat16_is_left_to_the_plain_convolution():
    """Its error there is four times as large."""
    low = [array.astype(jnp.bfloat16) for array in arrays(*SHAPES[-1])]
    assert num_products(lambda *given: with_gradients(conv_3x3, *given), *low) == 0
    for a, b in zip(with_gradients(conv_3x3, *low), with_gradients(plain, *low), strict=True):
        np.testing.assert_array_equal(np.float32(a), np.float32(b))


def num_products(function, *shapes) -> int:
    """Matrix products of what a CPU gets."""
    return jax.jit(function).trace(*shapes).lower(lowering_platforms=("cpu",)).as_text().count("stablehlo.dot_general")


def test_odd_maps_are_left_alone():
    odd = arrays(1, 5, 7, 3, 4)
    for a, b in zip(with_gradients(conv_3x3, *odd), with_gradients(plain, *odd), strict=True):
        np.testing.assert_array_equal(a, b)


def operations(platform: str, function) -> collections.Counter[str]:
    """What a platform computes for a convolution and its gradients."""
    x, kernel, dy = (jax.ShapeDtypeStruct(array.shape, array.dtype) for array in arrays(*SHAPES[-1]))
    traced = jax.jit(lambda *given: with_gradients(function, *given)).trace(x, kernel, dy)
    program = traced.lower(lowering_platforms=(platform,)).as_text()
    return collections.Counter(re.findall(r"stablehlo\.(convolution|dot_general|add|subtract|slice)", program))


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_accelerators_get_the_plain_convolution(platform):
    assert operations(platform, conv_3x3) == operations(platform, plain) == {"convolution": 3}


def test_a_cpu_gets_16_products_in_each_direction():
    found = operations("cpu", conv_3x3)
    assert found["dot_general"] == 16 + 2 * 16
    assert found["convolution"] == 0


def test_layers_of_3x3_and_stride_1_use_it():
    x = jax.ShapeDtypeStruct((1, 32, 32, 256), jnp.float32)

    def convolutions(kernel: int, stride: int) -> int:
        layer = Conv(256, kernel, stride)
        variables = jax.eval_shape(layer.init, jax.random.key(0), x)
        traced = jax.jit(layer.apply).trace(variables, x)
        return traced.lower(lowering_platforms=("cpu",)).as_text().count("stablehlo.convolution")

    assert [convolutions(3, 1), convolutions(3, 2), convolutions(5, 1), convolutions(1, 1)] == [0, 1, 1, 0]
