"""CIET's softmax, whose gradient keeps rounded weights only."""

import jax
import jax.numpy as jnp
import numpy as np

from occrobnet_jax.models.ops.attention import softmax_rows

SCORES = jnp.asarray(np.random.default_rng(0).normal(scale=3.0, size=(2, 2, 8, 8)), jnp.float32)
COTANGENT = jnp.asarray(np.random.default_rng(1).normal(size=SCORES.shape), jnp.float32)


def gradient(function, dtype):
    value, back = jax.vjp(function, SCORES)
    return value, back(COTANGENT.astype(dtype))[0], back


def test_in_float32_it_is_softmax_and_so_is_its_gradient():
    value, slope, _ = gradient(lambda scores: softmax_rows(scores, jnp.float32), jnp.float32)
    expected, expected_slope, _ = gradient(lambda scores: jax.nn.softmax(scores, -1), jnp.float32)
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_allclose(slope, expected_slope, atol=1e-6)


def test_in_bfloat16_it_keeps_half_the_bytes_and_the_gradient_to_its_precision():
    value, slope, back = gradient(lambda scores: softmax_rows(scores, jnp.bfloat16), jnp.bfloat16)
    _, expected, plain = gradient(lambda scores: jax.nn.softmax(scores, -1).astype(jnp.bfloat16), jnp.bfloat16)
    assert value.dtype == jnp.bfloat16
    assert slope.dtype == jnp.float32
    np.testing.assert_allclose(slope, expected, atol=2**-8)
    kept, plainly = (sum(leaf.nbytes for leaf in jax.tree.leaves(each)) for each in (back, plain))
    assert kept == 2 * SCORES.size < plainly
