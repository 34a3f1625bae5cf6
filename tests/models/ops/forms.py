"""What the tests of operations with two forms share."""

import jax


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)
