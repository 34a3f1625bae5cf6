"""The gradient of a global batch in several microbatches, one after another: memory of one, result of all.

Losses are (sum, count) pairs that are divided by the count of the global batch. Which examples teach depends on the
keypoints that the network finds, so the counts are taken first, in a forward pass of their own that XLA cuts down to
what they need: backbone, neck and heatmap.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from occrobnet_jax.training.terms import Term


class Outcome(NamedTuple):
    """What the forward pass of a batch comes to, besides the loss."""

    terms: dict[str, Term]
    activity: dict[str, Float[Array, ""]]  # means over examples
    batch_stats: PyTree[Array]


Counts = dict[str, Float[Array, ""]]
LossOf = Callable[[PyTree[Array], PyTree[Array], Any, Any, Counts | None], tuple[Float[Array, ""], Outcome]]
"""Loss and outcome from parameters, batch statistics, inputs, random key and, for a part of a batch, its counts."""


def gradient_and_outcome(
    loss_of: LossOf,
    params: PyTree[Array],
    batch_stats: PyTree[Array],
    inputs: PyTree[Array],
    key: Any,
    steps: int,
    dtype: str = "float32",
) -> tuple[PyTree[Array], Outcome]:
    """Return the gradient of the loss over all inputs, in `steps` microbatches with a random key each.

    BatchNorm that isn't frozen sees microbatches, and moves its running statistics once in each. Each microbatch's
    gradient of matrices is summed over devices in `dtype`, and over microbatches in float32.
    """
    differentiate = jax.grad(loss_of, has_aux=True)
    if steps == 1:
        return differentiate(params, batch_stats, inputs, key, None)
    parts = (split(inputs, steps), jax.random.split(key, steps))

    def count(part: tuple[Any, Any]) -> Counts:
        _, outcome = loss_of(params, batch_stats, part[0], part[1], None)
        return {name: count for name, (_, count) in outcome.terms.items()}

    counts = _summed(jax.lax.map(count, parts))

    def add_part(carry: tuple[Any, Any], part: tuple[Any, Any]) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        gradient, batch_stats = carry
        more, outcome = differentiate(params, batch_stats, part[0], part[1], counts)
        gradient = jax.tree.map(lambda total, part: total + _rounded(part, dtype), gradient, more)
        return (gradient, outcome.batch_stats), (outcome.terms, outcome.activity)

    start = (jax.tree.map(jnp.zeros_like, params), batch_stats)
    (gradient, batch_stats), (terms, activity) = jax.lax.scan(add_part, start, parts)
    return gradient, Outcome(_summed(terms), jax.tree.map(lambda values: values.mean(0), activity), batch_stats)


def split(inputs: PyTree[Array], steps: int) -> PyTree[Array]:
    """Give microbatch i every `steps`-th example from i on: no example leaves its device, however many there are."""
    return jax.tree.map(lambda x: jnp.swapaxes(x.reshape(-1, steps, *x.shape[1:]), 0, 1), inputs)


def _rounded(gradient: Array, dtype: str) -> Array:
    """Round a matrix to `dtype`."""
    # Left to itself XLA drops the rounding, since a sum in float32 follows it, and sends twice the bytes.
    return jax.lax.optimization_barrier(gradient.astype(dtype)) if gradient.ndim > 1 else gradient


def _summed(parts: PyTree[Array]) -> PyTree[Array]:
    return jax.tree.map(lambda values: values.sum(0), parts)
