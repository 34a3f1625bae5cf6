"""Convolutions of tiny maps against XLA's, and the programs that platforms get."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.layers import Conv
from occrobnet_jax.models.ops.tiny_maps import conv_3x3_tiny, is_tiny


def plain(x, kernel, stride):
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize(
    ("height", "width", "stride"), [(2, 2, 1), (1, 2, 1), (2, 1, 1), (4, 4, 2), (3, 4, 2), (4, 3, 2), (2, 2, 2)]
)
def test_it_is_the_plain_convolution_and_has_its_gradients(height, width, stride):
    keys = jax.random.split(jax.random.key(0), 3)
    x, kernel = jax.random.normal(keys[0], (3, height, width, 5)), jax.random.normal(keys[1], (3, 3, 5, 4))
    expected, backward = jax.vjp(lambda x, kernel: plain(x, kernel, stride), x, kernel)
    value, own_backward = jax.vjp(lambda x, kernel: conv_3x3_tiny(x, kernel, stride), x, kernel)
    np.testing.assert_allclose(value, expected, atol=1e-5)
    dy = jax.random.normal(keys[2], expected.shape)
    for own, other in zip(own_backward(dy), backward(dy), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)


def test_a_map_is_tiny_where_no_side_of_the_result_has_more_than_two_samples():
    assert is_tiny((64, 2, 2, 256), 1)
    assert is_tiny((64, 4, 4, 128), 2)
    assert not is_tiny((64, 3, 2, 256), 1)
    assert not is_tiny((64, 2, 3, 256), 1)
    assert not is_tiny((64, 5, 4, 128), 2)


@pytest.mark.parametrize(("platform", "expected"), [("cpu", 0), ("tpu", 1), ("cuda", 1)])
def test_only_cpus_get_the_product(platform, expected):
    layer, x = Conv(8), jnp.zeros((1, 2, 2, 8))
    apply = jax.jit(lambda x: layer.init_with_output(jax.random.key(0), x)[0])
    program = apply.trace(x).lower(lowering_platforms=(platform,)).as_text()
    assert program.count("stablehlo.convolution") == expected
