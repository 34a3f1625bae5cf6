"""Depthwise convolution by shifted maps against XLA's grouped one, and which platform gets which."""

import functools

import jax
import numpy as np
import pytest

from occrobnet_jax.models.ops.depthwise import depthwise_conv, same_padding
from tests.models.ops.forms import random

SHAPES = [(3, 1, (2, 6, 4)), (3, 2, (2, 6, 4)), (5, 1, (4, 2, 4)), (5, 2, (2, 8, 4))]


def arrays(size: int, shape: tuple[int, ...]) -> list[jax.Array]:
    return [random(*shape, 3), random(size, size, 1, 3, seed=1)]


def by_xla(x, kernel, stride):
    sides = same_padding(len(kernel), stride)
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), (sides, sides), dimension_numbers=layout, feature_group_count=3
    )


@functools.partial(jax.jit, static_argnums=0)
def with_gradients(function, *given):
    value, backward = jax.vjp(function, *given)
    return value, *backward(random(*value.shape, seed=2))


@pytest.mark.parametrize(("size", "stride", "shape"), SHAPES)
def test_result_and_gradients_are_those_of_the_grouped_convolution(size, stride, shape):
    given = arrays(size, shape)
    ours = with_gradients(functools.partial(depthwise_conv, stride=stride), *given)
    theirs = with_gradients(functools.partial(by_xla, stride=stride), *given)
    for name, a, b in zip(("value", "map", "kernel"), ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5, err_msg=name)


def test_padding_is_that_of_tensorflow():
    sides = [jax.lax.padtype_to_pads((8,), (size,), (stride,), "SAME")[0] for size in (3, 5) for stride in (1, 2)]
    assert sides == [same_padding(size, stride) for size in (3, 5) for stride in (1, 2)]


@pytest.mark.parametrize(("platform", "convolutions"), [("tpu", 3), ("cuda", 3), ("cpu", 0)])
def test_accelerators_get_the_grouped_convolution_alone(platform, convolutions):
    given = arrays(3, (2, 4, 4))
    operation = functools.partial(depthwise_conv, stride=2)
    text = with_gradients.trace(operation, *given).lower(lowering_platforms=(platform,)).as_text()
    assert text.count("stablehlo.convolution") == convolutions
