"""Whole parameters for the layers, slices of the gradient for the optimiser."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.parallel.fsdp import gather_over
from occrobnet_jax.parallel.mesh import MeshConfig, batch_sharding, make_mesh, replicated, state_sharding
from tools.tpu.collectives import collectives, on_activations

MESH = make_mesh(MeshConfig(1, 8))
PARAMS = {"kernel": jnp.linspace(-1, 1, 64 * 32).reshape(64, 32), "bias": jnp.linspace(0, 1, 32)}
LAYOUT = state_sharding(PARAMS, MESH, min_elements=1_000)
X = jnp.sin(jnp.arange(16 * 64, dtype=jnp.float32)).reshape(16, 64)


def loss(params: dict[str, Any], x: jax.Array) -> jax.Array:
    dtype = params["kernel"].dtype
    return jnp.square(jnp.tanh(x.astype(dtype) @ params["kernel"] + params["bias"][None].astype(dtype))).sum(
        dtype=jnp.float32
    )


def gradient_of(dtype: Any) -> Any:
    gather = gather_over(MESH, LAYOUT, dtype)
    return jax.jit(
        jax.grad(lambda params, x: loss(gather(params), x)),
        in_shardings=(LAYOUT, batch_sharding(MESH)),
        out_shardings=LAYOUT,
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_gradient_is_that_of_one_device_in_slices_of_float32(dtype):
    alone = jax.grad(lambda params: loss({**params, "kernel": params["kernel"].astype(dtype)}, X))(PARAMS)
    gradient = gradient_of(dtype)(jax.device_put(PARAMS, LAYOUT), jax.device_put(X, batch_sharding(MESH)))
    tolerance = 1e-5 if dtype == jnp.float32 else 0.03
    for name, part in gradient.items():
        assert part.dtype == jnp.float32
        assert part.sharding.is_equivalent_to(LAYOUT[name], part.ndim)
        np.testing.assert_allclose(part, alone[name], rtol=tolerance, atol=tolerance * np.abs(alone[name]).max())
    assert gradient["kernel"].addressable_shards[0].data.size == 64 * 32 // 8


def test_parameters_are_gathered_and_activations_stay_where_they_are():
    found = collectives(gradient_of(jnp.float32).lower(PARAMS, X).compile().as_text())
    gathered = [one for one in found if one.kind == "all-gather"]
    assert [one.num_bytes for one in gathered] == [PARAMS["kernel"].nbytes]
    assert {one.kind for one in found} <= {"all-gather", "all-reduce", "reduce-scatter"}
    assert on_activations(found, PARAMS) == []


def test_what_is_divided_is_rounded_before_it_is_sent():
    """CPUs send bfloat16 as float32, so that this is read from the program before XLA's compilation."""
    gather = gather_over(MESH, LAYOUT, jnp.bfloat16)
    whole = jax.jit(gather, in_shardings=(LAYOUT,), out_shardings=replicated(MESH))
    assert jax.tree.map(lambda leaf: leaf.dtype, jax.eval_shape(whole, PARAMS)) == {
        "kernel": jnp.bfloat16,
        "bias": jnp.float32,
    }
    constraints = [line for line in whole.lower(PARAMS).as_text().splitlines() if "sharding_constraint" in line]
    assert len(constraints) == 2
    assert all("64x32xbf16" in line for line in constraints)
