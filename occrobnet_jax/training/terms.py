"""A term of the loss: a pair (weighted sum, count), divided once over the global batch."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Num

Term = tuple[Float[Array, ""], Float[Array, ""]]


def masked(values: Float[Array, "..."], mask: Num[Array, "..."] | Bool[Array, "..."], normalise: str) -> Term:
    """Sum over the valid elements, and the count of all elements or of the valid ones."""
    mask = jnp.broadcast_to(mask, values.shape).astype(jnp.float32)  # over layers too
    count = jnp.asarray(float(values.size)) if normalise == "all" else mask.sum()
    return jnp.sum(jnp.where(mask > 0, values, 0.0) * mask), count
