"""Each operation's form for CPUs against its plain one, forwards and backwards, and which platform gets which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from occrobnet_jax.models.ops.gelu import gelu
from occrobnet_jax.models.ops.pooling import max_pool_3x3_stride_2
from occrobnet_jax.models.ops.products import conv_1x1, row_products
from occrobnet_jax.models.ops.transposed_conv import transposed_conv_4x4
from tests.models.ops.forms import random

LAYOUT = ("NHWC", "HWIO", "NHWC")


def strided_conv_1x1(x, weights):
    return conv_1x1(x, weights, 2)


def plain_conv_1x1(x, weights):
    return jax.lax.conv_general_dilated(x, weights, (2, 2), "VALID", dimension_numbers=LAYOUT)


def plain_pool(x):
    return nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))


def plain_transposed_conv(x, weights):
    return jax.lax.conv_transpose(x, weights, (2, 2), "SAME", dimension_numbers=LAYOUT)


OPERATIONS = {
    "gelu": (gelu, lambda x: jax.nn.gelu(x, approximate=False), (random(2, 33),)),
    "max_pool": (max_pool_3x3_stride_2, plain_pool, (random(2, 8, 12, 3),)),
    "conv_1x1": (strided_conv_1x1, plain_conv_1x1, (random(2, 6, 8, 3), random(1, 1, 3, 5, seed=1))),
    "transposed_conv": (transposed_conv_4x4, plain_transposed_conv, (random(2, 6, 4, 3), random(4, 4, 3, 5, seed=1))),
}


def gradients(function, arguments):
    def weighted_sum(*arguments):
        result = function(*arguments)
        return (result * random(*result.shape, seed=2)).sum()

    return jax.grad(weighted_sum, argnums=tuple(range(len(arguments))))(*arguments)


def program(function, arguments, platform):
    both = jax.jit(lambda *arguments: (function(*arguments), gradients(function, arguments)))
    return both.trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.parametrize("name", OPERATIONS)
def test_on_a_cpu_result_and_gradients_are_those_of_the_plain_form(name):
    operation, plain, arguments = OPERATIONS[name]
    np.testing.assert_allclose(operation(*arguments), plain(*arguments), atol=1e-5)
    for ours, theirs in zip(gradients(operation, arguments), gradients(plain, arguments), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "operation_of_xla", "of_the_plain_form", "on_a_cpu"),
    [
        ("gelu", "chlo.erfc", 2, 0),
        ("max_pool", "stablehlo.select_and_scatter", 1, 0),
        ("conv_1x1", "stablehlo.convolution", 3, 0),
        ("transposed_conv", "stablehlo.convolution", 3, 12),
    ],
)
def test_accelerators_get_the_plain_form_alone(name, operation_of_xla, of_the_plain_form, on_a_cpu):
    operation, _, arguments = OPERATIONS[name]
    for platform, expected in (("tpu", of_the_plain_form), ("cuda", of_the_plain_form), ("cpu", on_a_cpu)):
        assert program(operation, arguments, platform).count(operation_of_xla) == expected, platform


def test_products_of_rows_are_those_of_the_last_axes_with_the_first_ones():
    x, weights = random(2, 3, 4, 5), random(4, 5, 6, 7, seed=1)
    numbers = (((2, 3), (0, 1)), ((), ()))
    expected = jnp.einsum("abcd,cdef->abef", x, weights)
    np.testing.assert_allclose(row_products(x, weights, numbers), expected, atol=1e-5)
