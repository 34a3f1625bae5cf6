import jax
import jax.numpy as jnp
import numpy as np

from occrobnet_jax.models.ops.transposed_conv import transposed_conv_4x4
from tests.models.ops.forms import random


def test_transposed_convolution_is_the_adjoint_of_a_strided_one() -> None:
    weights = random(4, 4, 3, 5)
    x, y = random(2, 6, 4, 3), random(2, 12, 8, 5, seed=1)
    # PyTorch's ConvTranspose2d(4, 2, 1) is the transpose of Conv2d(4, 2, 1); our kernel is its kernel turned around.
    strided = jax.lax.conv_general_dilated(
        y,
        jnp.flip(weights, (0, 1)).swapaxes(2, 3),
        (2, 2),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    np.testing.assert_allclose((transposed_conv_4x4(x, weights) * y).sum(), (x * strided).sum(), rtol=1e-4)
