"""The gradient's length, by blocks and as a whole, from sums that a program has once."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree


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
    """Vectors are joined first; no other array is, since devices may hold slices of it."""
    leaves = jax.tree.leaves(tree)
    vectors = jnp.concatenate([jnp.zeros(1), *(leaf for leaf in leaves if leaf.ndim == 1)])
    return sum((jnp.square(leaf).sum() for leaf in leaves if leaf.ndim != 1), jnp.square(vectors).sum())
