import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from occrobnet_jax.models.ops.gelu import gelu


def test_gelu_in_bfloat16_is_the_exact_one_rounded() -> None:
    x = jnp.linspace(-5, 5, 2001).astype(jnp.bfloat16)
    wide = np.asarray(x, np.float64)
    exact = 0.5 * wide * special.erfc(-wide / np.sqrt(2))
    assert gelu(x).dtype == jnp.bfloat16
    # half a unit in the last place, and the rounding of 1 + erf in float32; in bfloat16 that would be 0.008
    np.testing.assert_allclose(gelu(x).astype(jnp.float32), exact, rtol=2.0**-8, atol=1e-6)


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
def test_on_accelerators_the_gradient_is_computed_from_x_again(platform):
    """Without the barrier the compiler finds the complement of the forward pass, and keeps it in float32."""
    x = jax.ShapeDtypeStruct((8, 16), jnp.bfloat16)
    both = jax.jit(lambda x: (gelu(x), jax.vjp(gelu, x)[1](x)))
    program = both.trace(x).lower(lowering_platforms=(platform,)).as_text()
    assert program.count("optimization_barrier") == 1
    assert program.count("chlo.erfc") == 2
