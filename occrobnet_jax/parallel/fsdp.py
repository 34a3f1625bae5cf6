"""Fully sharded data parallel: layers are given whole parameters, the optimiser is given its slice of the gradient."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, PyTree

from occrobnet_jax.parallel.mesh import replicated

Gather = Callable[[PyTree[Array]], PyTree[Array]]


def as_they_are(params: PyTree[Array]) -> PyTree[Array]:
    """Return the parameters, which every device has whole."""
    return params


def gather_over(mesh: Mesh, placed: PyTree[NamedSharding], dtype: Any) -> Gather:
    """Return a function that makes parameters whole on every device, and in its backward pass slices of their gradient.

    Left to itself XLA gathers activations where it finds that cheaper, and exchanges them to get at slices of the
    gradient. What is divided travels in `dtype`, the type in which layers use it anyway: half the bytes in bfloat16.

    Args:
        mesh: the devices.
        placed: the layout of each parameter; those on all devices stay as they are.
        dtype: of computation.
    """

    on_all = replicated(mesh)

    @jax.custom_vjp
    def gather(params: PyTree[Array]) -> PyTree[Array]:
        return jax.tree.map(whole, params, placed)

    def whole(leaf: Array, layout: NamedSharding) -> Array:
        if layout.is_fully_replicated:
            return leaf
        sliced = jax.lax.with_sharding_constraint(leaf.astype(dtype), layout)  # rounded before it is sent
        return jax.lax.with_sharding_constraint(sliced, on_all)

    def own_slice(gradient: Array, layout: NamedSharding) -> Array:
        if layout.is_fully_replicated:
            return gradient
        summed = jax.lax.with_sharding_constraint(gradient, on_all)
        return jax.lax.with_sharding_constraint(summed, layout).astype(jnp.float32)

    def forward(params: PyTree[Array]) -> tuple[PyTree[Array], None]:
        return gather(params), None

    def backward(_: None, gradient: PyTree[Array]) -> tuple[PyTree[Array]]:
        return (jax.tree.map(own_slice, gradient, placed),)

    gather.defvjp(forward, backward)
    return gather
