"""The exact GELU."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from occrobnet_jax.models.ops.by_platform import by_platform


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Apply x Phi(x), as PyTorch has it (Hendrycks and Gimpel, arXiv 1606.08415)."""
    return by_platform(cpu=_by_error_function, plain=_by_its_complement)(x)


def _by_error_function(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Spare the complement, which takes several times longer on a CPU.

    In float32 within: the sum of 1 and a value near -1 has few digits in bfloat16.
    """
    wide = x.astype(jnp.float32)
    return (0.5 * wide * (1 + jax.lax.erf(wide / math.sqrt(2)))).astype(x.dtype)


@jax.custom_vjp
def _by_its_complement(x: Float[Array, "..."]) -> Float[Array, "..."]:
    return jax.nn.gelu(x.astype(jnp.float32), approximate=False).astype(x.dtype)


def _forward(x: Array) -> tuple[Array, Array]:
    return _by_its_complement(x), x


def _backward(x: Array, gradient: Array) -> tuple[Array]:
    """Compute the complement again: XLA would find that it did so before, and keep it in float32."""
    wide = jax.lax.optimization_barrier(x).astype(jnp.float32)
    below = 0.5 * jax.lax.erfc(-wide / math.sqrt(2))
    density = jnp.exp(-0.5 * jnp.square(wide)) / math.sqrt(2 * math.pi)
    return (((below + wide * density) * gradient.astype(jnp.float32)).astype(x.dtype),)


_by_its_complement.defvjp(_forward, _backward)
