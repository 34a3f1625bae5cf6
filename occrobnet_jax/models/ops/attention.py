"""Softmax attention between many positions: all weights at once, or query block by query block.

The weights of all queries take memory that is quadratic in the positions. Block by block it is linear, since the
backward pass computes them again from their normaliser (Rabe and Staats, arXiv 2112.05682; Dao et al., arXiv
2205.14135), and on a CPU also faster: a block stays in the cache.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

CPU_BLOCK = 128  # queries
MANY_IMAGES, BLOCK_OF_MANY = 9, 64  # of which XLA's own threads can keep the weights, where nothing is differentiated

Heads = Float[Array, "b n heads dh"]
Blocks = Float[Array, "blocks b heads m dh"]


def softmax_attention(q: Heads, k: Heads, v: Heads, block: int) -> Heads:
    """Return the softmax of the scaled products of queries and keys, times the values; the softmax is in float32.

    Args:
        q: queries.
        k: keys.
        v: values.
        block: queries whose weights are in memory at a time; 0 is as many as suits the platform, which is all of them
            anywhere but on a CPU. Each platform gets the program that is best for it, whoever compiles it.
    """
    if block:
        return blockwise(q, k, v, block)
    return jax.lax.platform_dependent(q, k, v, cpu=best_on_cpu, default=all_at_once)


@jax.custom_vjp
def all_at_once(q: Heads, k: Heads, v: Heads) -> Heads:
    """Return the same with the weights of all queries in memory.

    Of 1024 tokens they are the largest arrays of a training step, and accelerators wait for their memory. So they are
    kept once, rounded and before they are divided by their sum, which is that of the rounded ones. The backward pass
    writes one more, the scores' gradient: what a row of it sums up follows from the result.
    """
    return _all_forward(q, k, v)[0]


def _all_forward(q: Heads, k: Heads, v: Heads) -> tuple[Heads, tuple[Array, ...]]:
    scores = scaled_products(q, k)
    powers = jnp.exp(scores - scores.max(-1, keepdims=True)).astype(v.dtype)
    # Behind the barrier, or XLA takes sum and rounding together, apart from the product, and keeps that in float32.
    powers = jax.lax.optimization_barrier(powers)
    total = jnp.swapaxes(powers.sum(-1, dtype=jnp.float32), 1, 2)[..., None]
    mixed = (_product("bhij,bjhd->bihd", powers, v) / total).astype(v.dtype)
    return mixed, (q, k, v, powers, total, mixed)


def _all_backward(kept: tuple[Array, ...], gradient: Heads) -> tuple[Heads, Heads, Heads]:
    q, k, v, powers, total, mixed = kept
    wide = gradient.astype(jnp.float32) / total
    along = jnp.swapaxes((wide * mixed.astype(jnp.float32)).sum(-1), 1, 2)[..., None]
    dy = wide.astype(v.dtype)
    dscores = (powers.astype(jnp.float32) * (_product("bihd,bjhd->bhij", dy, v) - along)).astype(q.dtype)
    dq = _product("bhij,bjhd->bihd", dscores, k) * _scale(q)
    dk = _product("bhij,bihd->bjhd", dscores, q) * _scale(q)
    return dq.astype(q.dtype), dk.astype(k.dtype), _product("bhij,bihd->bjhd", powers, dy).astype(v.dtype)


all_at_once.defvjp(_all_forward, _all_backward)


def scaled_products(q: Heads, k: Heads) -> Float[Array, "b heads n n"]:
    """Return the products of all queries and keys over the root of their length, in float32."""
    return _product("bihd,bjhd->bhij", q, k) * _scale(q)


def _product(axes: str, a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return a sum of products in float32."""
    return jnp.einsum(axes, a, b, preferred_element_type=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def blockwise(q: Heads, k: Heads, v: Heads, block: int) -> Heads:
    """Return the same, `block` queries at a time, or the largest smaller number that divides theirs."""
    return _forward(q, k, v, block)[0]


def _forward(q: Heads, k: Heads, v: Heads, block: int) -> tuple[Heads, tuple[Array, ...]]:
    """Return the result, and what the backward pass needs: inputs, result, and the logarithm of each query's
    normaliser.
    """
    keys, values = (jnp.swapaxes(x, 1, 2) for x in (k, v))
    queries = _blocks(q, block) * _scale(q)  # which spares a pass over the products

    def one_block(q: Float[Array, "b heads m dh"]) -> tuple[Array, Array]:
        scores = _block_products(q, keys)
        largest = scores.max(-1, keepdims=True)
        weights = jnp.exp(scores - largest)
        total = weights.sum(-1, keepdims=True)
        mixed = jnp.einsum("bhij,bhjd->bhid", weights.astype(v.dtype), values, preferred_element_type=jnp.float32)
        return (mixed / total).astype(v.dtype), largest + jnp.log(total)

    mixed, normalizers = jax.lax.map(one_block, queries)
    return _joined(mixed), (queries, keys, values, mixed, normalizers)


def _backward(_: int, kept: tuple[Array, ...], gradient: Heads) -> tuple[Heads, Heads, Heads]:
    queries, keys, values, mixed, normalizers = kept
    product = functools.partial(jnp.einsum, preferred_element_type=jnp.float32)

    def one_block(sums: tuple[Array, Array], of_block: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        q, mixed, normalizer, dy = of_block
        weights = jnp.exp(_block_products(q, keys) - normalizer)
        along = (dy.astype(jnp.float32) * mixed.astype(jnp.float32)).sum(-1, keepdims=True)
        dscores = weights * (product("bhid,bhjd->bhij", dy, values) - along)
        dscores, weights = dscores.astype(q.dtype), weights.astype(q.dtype)
        dk = sums[0] + product("bhdi,bhij->bhdj", jnp.swapaxes(q, 2, 3), dscores)
        dv = sums[1] + product("bhdi,bhij->bhdj", jnp.swapaxes(dy, 2, 3), weights)
        dq = product("bhij,bhjd->bhid", dscores, keys) * _scale(keys)
        return (dk, dv), dq.astype(q.dtype)

    zeros = jnp.zeros(jnp.swapaxes(keys, 2, 3).shape, jnp.float32)
    blocks = (queries, mixed, normalizers, _blocks(gradient, queries.shape[3]))
    (dk, dv), dq = jax.lax.scan(one_block, (zeros, zeros), blocks)
    dk, dv = (jnp.einsum("bhdj->bjhd", x).astype(keys.dtype) for x in (dk, dv))
    return _joined(dq), dk, dv


blockwise.defvjp(_forward, _backward)


@jax.custom_vjp
def best_on_cpu(q: Heads, k: Heads, v: Heads) -> Heads:
    """Return the same in the blocks that are fastest, which depends on whether it is differentiated."""
    return _forward(q, k, v, BLOCK_OF_MANY if len(q) >= MANY_IMAGES else CPU_BLOCK)[0]


best_on_cpu.defvjp(functools.partial(_forward, block=CPU_BLOCK), functools.partial(_backward, CPU_BLOCK))


def _scale(x: Float[Array, "..."]) -> float:
    """Return the scale of products of vectors as long as these."""
    return 1 / math.sqrt(x.shape[-1])


def _block_products(q: Float[Array, "b heads m dh"], keys: Float[Array, "b heads n dh"]) -> Float[Array, "b heads m n"]:
    return jnp.einsum("bhid,bhjd->bhij", q, keys, preferred_element_type=jnp.float32)


def _blocks(x: Heads, block: int) -> Blocks:
    """Cut positions into blocks, one after the other; the batch stays an axis, so that devices can share it."""
    batch, count, heads, width = x.shape
    size = max(size for size in range(1, min(block, count) + 1) if count % size == 0)
    return x.reshape(batch, count // size, size, heads, width).transpose(1, 0, 3, 2, 4)


def _joined(x: Blocks) -> Heads:
    blocks, batch, heads, size, width = x.shape
    return x.transpose(1, 0, 3, 2, 4).reshape(batch, blocks * size, heads, width)
