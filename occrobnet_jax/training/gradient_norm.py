"""The gradient's length, in few operations: a program has four or five for each array that is summed up whole."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

SMALL_ELEMENTS = 4096


def is_small(array: Any) -> bool:
    """Whether it is cheaper to copy an array into one with others than to have operations of its own."""
    return math.prod(array.shape) <= SMALL_ELEMENTS


def block_norms(gradient: PyTree[Array]) -> dict[str, Float[Array, ""]]:
    """Length of the gradient of each block of the network."""
    return {block: jnp.sqrt(_sum_of_squares(part)) for block, part in gradient.items()}


def global_norm(gradient: PyTree[Array]) -> Float[Array, ""]:
    """Length of the whole gradient; in a program that has the blocks' as well, their sums are shared."""
    return jnp.sqrt(sum(jnp.square(norm) for norm in block_norms(gradient).values()))


def clip_by_norm(longest: float) -> optax.GradientTransformation:
    """Shortens gradients that are longer, without turning them; optax's with this module's norm."""

    def clip(gradient: PyTree[Array], _: Any) -> PyTree[Array]:
        factor = jnp.minimum(1.0, longest / global_norm(gradient))
        return jax.tree.map(lambda leaf: leaf * factor, gradient)

    return optax.stateless(clip)


def _sum_of_squares(tree: PyTree[Array]) -> Float[Array, ""]:
    """Small arrays are joined first; large ones are summed up to their last axis, and joined then."""
    leaves = jax.tree.leaves(tree)
    small = [jnp.square(jnp.concatenate([leaf.ravel() for leaf in leaves if is_small(leaf)] or [jnp.zeros(1)]))]
    large = [jnp.square(leaf).sum(tuple(range(leaf.ndim - 1))) for leaf in leaves if not is_small(leaf)]
    return jnp.concatenate(small + large).sum()
