"""What is read out of a compiled program's text."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from occrobnet_jax.parallel.mesh import MeshConfig, batch_sharding, make_mesh, replicated
from tools.tpu.collectives import Collective, collectives, on_activations

PROGRAM = (Path(__file__).parent / "collectives.hlo").read_text()
"""In the form that the TPU compiler writes, put together by hand."""


def found() -> dict[str, Collective]:
    return {f"{one.kind} {one.arrays[0][1]}": one for one in collectives(PROGRAM)}


def test_every_collective_is_found_once_with_what_it_sends():
    sizes = {name: one.num_bytes for name, one in found().items()}
    assert sizes == {
        "all-reduce (100, 10)": 4 * 1000 + 2 * 7,
        "all-reduce (64,)": 5 * 4 * 64,  # in a loop of five
        "all-gather (32, 6)": 4 * 32 * 6,  # its operand doesn't count
        "all-gather (256, 8)": 2 * 256 * 8,  # once, though two computations show it
        "reduce-scatter (4, 6)": 8 * 4 * 4 * 6,  # before it is scattered
        "collective-permute (8, 8)": 4 * 64,
    }


def test_groups_times_and_origin_are_read():
    ones = found()
    assert ones["all-reduce (64,)"].times == 5
    assert [ones[name].group for name in ("all-reduce (64,)", "all-reduce (100, 10)", "all-gather (32, 6)")] == [
        4,
        8,
        8,
    ]
    assert ones["all-reduce (100, 10)"].scope == "jit(step)/transpose/kernel"
    assert ones["all-reduce (100, 10)"].num_bytes_sent == pytest.approx(2 * 7 / 8 * 4014)
    assert ones["all-gather (32, 6)"].num_bytes_sent == pytest.approx(7 / 8 * 768)


def test_arrays_of_no_parameters_size_are_activations():
    params = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in (("w", (10, 100)), ("b", (32,)))}

    def reduced(*shape: int) -> Collective:
        return Collective("all-reduce", (("f32", (64,)), ("f32", shape)), "", 1, 8)

    assert on_activations([reduced(100, 10), reduced(64)], params) == []  # transposed; statistics
    assert on_activations([reduced(100, 10), reduced(4, 17)], params) == [reduced(4, 17)]


@pytest.mark.parametrize(("mesh", "kinds"), [((8, 1), {"all-reduce"}), ((1, 8), {"all-reduce", "all-gather"})])
def test_a_real_program_of_a_linear_layer(mesh, kinds):
    """Its gradient is summed over devices, and under fsdp its weights are gathered."""
    grid = make_mesh(MeshConfig(*mesh))
    kept = replicated(grid) if mesh[1] == 1 else NamedSharding(grid, PartitionSpec("fsdp"))

    @jax.jit
    def step(weights, x):
        gradient = jax.grad(lambda w: jnp.sum(jnp.tanh(x @ w)))(weights)
        return jax.lax.with_sharding_constraint(weights - gradient, kept)

    weights = jax.ShapeDtypeStruct((64, 128), np.float32, sharding=kept)
    x = jax.ShapeDtypeStruct((16, 64), np.float32, sharding=batch_sharding(grid))
    ones = collectives(step.lower(weights, x).compile().as_text())
    assert {one.kind for one in ones} <= {*kinds, "reduce-scatter"}
    assert on_activations(ones, {"w": weights}) == []
    gradients = [one for one in ones if one.kind != "all-gather"]
    assert sum(one.num_bytes for one in gradients) == 4 * 64 * 128
    assert {one.group for one in ones} == {8}
