"""Attention query block by query block against the plain form, and the programs that platforms get."""

import collections
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.ops.attention import all_at_once, best_on_cpu, blockwise, softmax_attention

BOOKKEEPING = {"constant", "broadcast_in_dim", "case", "return"}


def inputs(count: int, dtype=jnp.float32) -> list[jax.Array]:
    """Queries, keys, values, and a gradient of the result; the products are far from uniform."""
    keys = jax.random.split(jax.random.key(0), 4)
    scales = (3.0, 3.0, 1.0, 1.0)
    shape = (2, count, 3, 8)
    return [(scale * jax.random.normal(key, shape)).astype(dtype) for key, scale in zip(keys, scales, strict=True)]


def with_gradients(function, q, k, v, dy):
    value, backward = jax.vjp(function, q, k, v)
    return value, *backward(dy)


@pytest.mark.parametrize(("count", "block"), [(24, 8), (24, 24), (24, 100), (30, 7), (1, 4)])
def test_blocks_change_nothing(count, block):
    arrays = inputs(count)
    expected = with_gradients(all_at_once, *arrays)
    got = with_gradients(lambda q, k, v: blockwise(q, k, v, block), *arrays)
    for name, a, b in zip(("value", "dq", "dk", "dv"), got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5, err_msg=name)


@pytest.mark.parametrize(("batch", "blocks", "blocks_in_training"), [(1, 2, 2), (8, 2, 2), (9, 4, 2)])
def test_many_images_have_small_blocks_where_nothing_is_differentiated(batch, blocks, blocks_in_training):
    q, k, v, dy = (jnp.tile(x[:1], (batch, 1, 1, 1)) for x in inputs(256))
    found = with_gradients(lambda q, k, v: softmax_attention(q, k, v, 0), q, k, v, dy)
    for a, b in zip(found, with_gradients(all_at_once, q, k, v, dy), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(jax.jit(best_on_cpu)(q, k, v), found[0], rtol=2e-5, atol=2e-5)
    assert num_blocks(best_on_cpu, q, k, v) == blocks
    assert num_blocks(lambda *given: jax.vjp(best_on_cpu, *given)[0], q, k, v) == blocks_in_training


def num_blocks(function, *arrays) -> int:
    """Steps of the loop over blocks of queries."""
    (length,) = {
        int(n) for n in re.findall(r"scan\[.*?length=(\d+)", str(jax.make_jaxpr(function)(*arrays)), re.DOTALL)
    }
    return length


def test_bfloat16_in_and_out_with_a_float32_softmax():
    arrays = inputs(16, jnp.bfloat16)
    exact = with_gradients(all_at_once, *(x.astype(jnp.float32) for x in arrays))
    for a, b in zip(with_gradients(lambda q, k, v: blockwise(q, k, v, 8), *arrays), exact, strict=True):
        assert a.dtype == jnp.bfloat16
        np.testing.assert_allclose(a.astype(jnp.float32), b, atol=0.03 * float(jnp.abs(b).max()))


def test_large_products_do_not_overflow():
    q, k, v, dy = inputs(16)
    for x in with_gradients(lambda q, k, v: blockwise(q, k, v, 4), 100 * q, 100 * k, v, dy):
        assert jnp.isfinite(x).all()


def temporary_bytes(count: int, block: int) -> int:
    shape = jax.ShapeDtypeStruct((1, count, 1, 8), jnp.float32)

    def all_gradients(q, k, v, dy):
        return with_gradients(lambda q, k, v: softmax_attention(q, k, v, block), q, k, v, dy)

    return jax.jit(all_gradients).lower(*[shape] * 4).compile().memory_analysis().temp_size_in_bytes


def test_memory_is_linear_in_the_positions():
    linear = temporary_bytes(2048, 32) / temporary_bytes(512, 32)
    assert linear < 6
    assert temporary_bytes(2048, 32) < 2048**2 * 4 / 4


def operations(platform: str, block: int | None) -> collections.Counter[str]:
    """What a platform computes for attention and its gradient; `block` None is the plain form."""
    shape = jax.ShapeDtypeStruct((2, 64, 3, 8), jnp.float32)

    def all_gradients(q, k, v, dy):
        chosen = all_at_once if block is None else lambda q, k, v: softmax_attention(q, k, v, block)
        return with_gradients(chosen, q, k, v, dy)

    program = jax.jit(all_gradients).trace(*[shape] * 4).lower(lowering_platforms=(platform,)).as_text()
    found = collections.Counter(re.findall(r"stablehlo\.(\w+)", program))
    return collections.Counter({name: count for name, count in found.items() if name not in BOOKKEEPING})


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_accelerators_get_the_plain_form(platform):
    assert operations(platform, 0) == operations(platform, None)
    assert operations("cpu", 0)["while"] == operations(platform, 16)["while"] == 2
