"""Gradients of weights over eight devices in bfloat16: sums of rounded parts, or exact sums that are rounded once."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.ops.gradient_sums import for_each_example, gradient_sums, weight_product
from occrobnet_jax.models.ops.products import row_products
from occrobnet_jax.models.ops.transposed_conv import transposed_conv_4x4
from occrobnet_jax.models.ops.winograd import conv_3x3
from occrobnet_jax.parallel.mesh import MeshConfig, batch_sharding, make_mesh, replicated
from tests.models.ops.forms import random

EVERY_ROUNDING = {"xla_allow_excess_precision": False}  # CPUs leave out those that are undone at once
PRODUCTS = {
    "rows": row_products,
    "conv_3x3": functools.partial(weight_product, conv_3x3),
    "transposed_conv": functools.partial(weight_product, transposed_conv_4x4),
    "for_each_example": lambda x, weights: x + for_each_example(weights, len(x), x.dtype),
}
X = {"rows": (16, 5, 9), "conv_3x3": (16, 4, 4, 6), "transposed_conv": (16, 4, 4, 6), "for_each_example": (16, 9, 9)}
WEIGHTS = {"rows": (9, 9), "conv_3x3": (3, 3, 6, 5), "transposed_conv": (4, 4, 6, 5), "for_each_example": (9, 9)}


def of_all(shapes, seed):
    """Numbers that bfloat16 has, in float32."""
    return {name: random(*shape, seed=seed).astype(jnp.bfloat16).astype(jnp.float32) for name, shape in shapes.items()}


def gradients(weights, x, cotangents, kind, dtype=jnp.bfloat16):
    x, cotangents = jax.tree.map(lambda leaf: leaf.astype(dtype), (x, cotangents))

    def products(weights):
        whole = {"for_each_example": weights["for_each_example"]}
        rounded = jax.tree.map(lambda leaf: leaf.astype(dtype), weights) | whole
        with gradient_sums(kind):
            return {name: product(x[name], rounded[name]) for name, product in PRODUCTS.items()}

    return jax.vjp(products, weights)[1](cotangents)[0]


@pytest.fixture(scope="module")
def found():
    """The gradients by parts, at once, and in float32."""
    mesh = make_mesh(MeshConfig(8, 1))
    x, weights = of_all(X, seed=0), of_all(WEIGHTS, seed=1)
    shapes = jax.eval_shape(lambda: {name: product(x[name], weights[name]) for name, product in PRODUCTS.items()})
    cotangents = of_all({name: leaf.shape for name, leaf in shapes.items()}, seed=2)

    def step(*arguments):
        return [
            gradients(*arguments, "compute_dtype"),
            gradients(*arguments, "float32"),
            gradients(*arguments, "compute_dtype", jnp.float32),
        ]

    shardings = (replicated(mesh), batch_sharding(mesh), batch_sharding(mesh))
    return jax.jit(step, in_shardings=shardings, compiler_options=EVERY_ROUNDING)(weights, x, cotangents)


@pytest.mark.parametrize("name", PRODUCTS)
def test_float32_sums_are_exact_and_rounded_once(found, name):
    by_parts, at_once, exact = (np.asarray(gradients[name]) for gradients in found)
    nearest = exact.astype(jnp.bfloat16)
    assert (at_once.astype(jnp.bfloat16) == nearest).mean() > 0.99
    assert (by_parts.astype(jnp.bfloat16) == nearest).mean() < 0.9
    if name == "for_each_example":  # whose parameter is added in its own type: nothing is rounded
        np.testing.assert_allclose(at_once, exact, rtol=1e-5, atol=1e-5)


def test_where_everything_is_float32_nothing_changes():
    def loss(weights, x):
        return jnp.square(row_products(x, weights)).sum()

    def traced():
        return str(jax.make_jaxpr(jax.grad(loss))(random(9, 9), random(4, 9)))

    plain = traced()
    with gradient_sums("float32"):
        assert traced() == plain
