"""CIET's attention on accelerators: the softmax of all products, of which rounded powers are all that is kept."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.ops.attention import all_at_once

ARRAYS = [jnp.asarray(np.random.default_rng(seed).normal(size=(2, 12, 3, 8)), jnp.float32) for seed in range(4)]
SHARP = 3.0  # of the queries, so that weights are far from equal


def plain(q, k, v):
    scores = jnp.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(q.shape[-1])
    return jnp.einsum("bhij,bjhd->bihd", jax.nn.softmax(scores, axis=-1), v)


def with_gradients(function, dtype):
    q, k, v, dy = (scale * array for scale, array in zip((SHARP, 1, 1, 1), ARRAYS, strict=True))
    value, back = jax.vjp(function, *(x.astype(dtype) for x in (q, k, v)))
    return (value, *back(dy.astype(dtype))), back


def test_in_float32_it_is_the_softmax_and_so_are_its_gradients():
    for ours, theirs in zip(
        with_gradients(all_at_once, "float32")[0], with_gradients(plain, "float32")[0], strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_in_bfloat16_results_and_gradients_have_its_precision():
    exact, _ = with_gradients(plain, "float32")
    for ours, wanted in zip(with_gradients(all_at_once, "bfloat16")[0], exact, strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(ours.astype(jnp.float32), wanted, atol=2**-6 * float(jnp.abs(wanted).max()))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_of_the_arrays_of_all_pairs_the_gradient_keeps_one(dtype):
    _, back = with_gradients(all_at_once, dtype)
    pairs = [leaf for leaf in jax.tree.leaves(back) if leaf.shape == (2, 3, 12, 12)]
    assert [leaf.dtype for leaf in pairs] == [dtype]


def test_large_products_do_not_overflow():
    q, k, v, dy = ARRAYS
    value, back = jax.vjp(all_at_once, 1000 * q, 1000 * k, v)
    assert all(jnp.isfinite(x).all() for x in (value, *back(dy)))
