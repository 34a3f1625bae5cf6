"""The benchmarks' count of operations against closed formulas."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from benchmarks.flops import flops_of
from occrobnet_jax.models.ops.attention import softmax_attention
from occrobnet_jax.models.ops.winograd import conv_3x3, pays

BATCH, TOKENS, HEADS, WIDTH = 8, 1024, 4, 64  # CIET's
PRODUCT = 2 * BATCH * HEADS * TOKENS**2 * WIDTH  # of all queries and keys


def attention(q, k, v):
    return softmax_attention(q, k, v, 0)


def with_gradients(q, k, v, dy):
    value, backward = jax.vjp(attention, q, k, v)
    return value, backward(dy)


@pytest.mark.parametrize(("function", "arrays", "products"), [(attention, 3, 2), (with_gradients, 4, 6)])
def test_attention_counts_all_of_its_queries(function, arrays, products):
    shape = jax.ShapeDtypeStruct((BATCH, TOKENS, HEADS, WIDTH), jnp.float32)
    found = flops_of(jax.jit(function), *[shape] * arrays)
    assert found == pytest.approx(products * PRODUCT, rel=0.03)  # the softmax comes on top
    assert found > products * PRODUCT
    assert flops_of(jax.jit(function), *[shape] * arrays, items=BATCH) == found / BATCH


def test_convolutions_count_as_sums_over_their_taps():
    x, kernel = jax.ShapeDtypeStruct((2, 64, 64, 256), jnp.float32), jax.ShapeDtypeStruct((3, 3, 256, 256), jnp.float32)
    assert pays(x.shape, kernel.shape, training=True)
    inner_taps = (3 * 64 - 2) ** 2  # of all pixels; XLA leaves out those in the padding
    assert flops_of(jax.jit(conv_3x3), x, kernel) == pytest.approx(2 * 2 * inner_taps * 256**2, rel=0.01)


def test_where_jax_cannot_count_there_is_no_count():
    stages = SimpleNamespace(lower=lambda lowering_platforms: SimpleNamespace(cost_analysis=lambda: None))
    assert flops_of(SimpleNamespace(trace=lambda x: stages), 1.0) is None
