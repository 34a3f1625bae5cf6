import jax.numpy as jnp
import numpy as np
from scipy import special

from occrobnet_jax.models.ops.gelu import gelu


def test_gelu_in_bfloat16_is_the_exact_one_rounded() -> None:
    x = jnp.linspace(-5, 5, 2001).astype(jnp.bfloat16)
    wide = np.asarray(x, np.float64)
    exact = 0.5 * wide * special.erfc(-wide / np.sqrt(2))
    assert gelu(x).dtype == jnp.bfloat16
    # half a unit in the last place, and the rounding of 1 + erf in float32; in bfloat16 that would be 0.008
    np.testing.assert_allclose(gelu(x).astype(jnp.float32), exact, rtol=2.0**-8, atol=1e-6)
