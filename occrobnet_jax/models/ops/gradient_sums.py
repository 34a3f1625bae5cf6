"""In which type the gradients of weights are summed over a batch, and so over the devices that share it.

A product in bfloat16 has gradients of bfloat16: XLA rounds each device's part of a weight's gradient, then sums the
parts in bfloat16. In float32 the parts and their sum are exact to float32, and the sum alone is rounded, once.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.by_platform import Form

GradientSums = Literal["compute_dtype", "float32"]
_sums: contextvars.ContextVar[GradientSums] = contextvars.ContextVar("gradient sums", default="compute_dtype")


@contextlib.contextmanager
def gradient_sums(kind: GradientSums) -> Iterator[None]:
    """Choose for what is traced in the block, as `jax.default_matmul_precision` does for products."""
    token = _sums.set(kind)
    try:
        yield
    finally:
        _sums.reset(token)


def weight_product(product: Form, x: Float[Array, "..."], weights: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return product(x, weights), linear in both, whose gradient of the weights is summed as chosen."""
    if _sums.get() == "compute_dtype" or weights.dtype == jnp.float32:
        return product(x, weights)
    return _summed_in_float32(product)(x, weights)


def for_each_example(parameter: Float[Array, "..."], batch: int, dtype: Any) -> Float[Array, "b ..."]:
    """Return a parameter that all examples share, once for each, whose gradient is summed as chosen."""
    if _sums.get() == "compute_dtype":
        return jnp.broadcast_to(parameter.astype(dtype), (batch, *parameter.shape))
    return jnp.broadcast_to(parameter, (batch, *parameter.shape)).astype(dtype)


def _summed_in_float32(product: Form) -> Form:
    @jax.custom_vjp
    def wide(x: Array, weights: Array) -> Array:
        return product(x, weights)

    def forward(x: Array, weights: Array) -> tuple[Array, tuple[Array, Array]]:
        return product(x, weights), (x, weights)

    def backward(kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
        x, weights = kept
        (of_x,) = jax.vjp(lambda x: product(x, weights), x)[1](gradient)
        exact, weights_f32, gradient_f32 = (value.astype(jnp.float32) for value in (x, weights, gradient))
        (of_weights,) = jax.vjp(lambda weights: product(exact, weights), weights_f32)[1](gradient_f32)
        return of_x, of_weights.astype(weights.dtype)

    wide.defvjp(forward, backward)
    return wide
