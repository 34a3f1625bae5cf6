import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from occrobnet_jax.parallel.mesh import (
    MeshConfig,
    batch_sharding,
    check_batch_size,
    make_mesh,
    place_batch,
    replicated,
    state_sharding,
)


@pytest.mark.parametrize(("data", "fsdp", "shape"), [(-1, 1, (8, 1)), (1, -1, (1, 8)), (-1, 2, (4, 2)), (2, 4, (2, 4))])
def test_the_mesh_takes_all_devices(data, fsdp, shape):
    mesh = make_mesh(MeshConfig(data, fsdp))
    assert tuple(mesh.shape.values()) == shape
    assert {device.id for device in mesh.devices.flat} == set(range(8))


def test_one_device_is_a_mesh_too():
    assert make_mesh(MeshConfig(), jax.devices()[:1]).size == 1


@pytest.mark.parametrize("sizes", [(3, 1), (-1, 3), (16, -1), (4, 1)])
def test_a_mesh_that_does_not_fit_the_devices_says_how_many_there_are(sizes):
    with pytest.raises(ValueError, match=rf"mesh.data={sizes[0]} x mesh.fsdp={sizes[1]} does not fit 8 devices"):
        make_mesh(MeshConfig(*sizes))


@pytest.mark.parametrize("sizes", [(0, 1), (-1, -1), (1, -2)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=r"mesh\.data="):
        MeshConfig(*sizes)


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((8, 64), PartitionSpec(None, "fsdp")),  # the longest
        ((128, 64), PartitionSpec("fsdp")),
        ((7, 8, 33), PartitionSpec(None, "fsdp")),  # the longest that divides
        ((7, 33), PartitionSpec()),  # none divides
        ((2, 4), PartitionSpec()),  # too small
        ((), PartitionSpec()),
        ((4096,), PartitionSpec()),  # a vector
    ],
)
def test_large_parameters_are_split_along_their_longest_divisible_axis(shape, spec):
    mesh = make_mesh(MeshConfig(1, 8))
    state = {"w": jax.ShapeDtypeStruct(shape, jnp.float32)}
    assert state_sharding(state, mesh, min_elements=100)["w"].spec == spec


def test_data_parallelism_copies_every_parameter():
    mesh = make_mesh(MeshConfig(8, 1))
    state = {"w": jax.ShapeDtypeStruct((1024, 1024), jnp.float32)}
    assert state_sharding(state, mesh, min_elements=1)["w"] == replicated(mesh)


@pytest.mark.parametrize("sizes", [(8, 1), (1, 8), (4, 2)])
def test_each_device_gets_its_own_examples(sizes):
    mesh = make_mesh(MeshConfig(*sizes))
    examples = np.arange(16, dtype=np.int32)[:, None] * np.ones((1, 3), np.int32)
    placed = place_batch({"x": examples}, mesh)["x"]
    assert placed.sharding == batch_sharding(mesh)
    assert sorted(int(shard.data[0, 0]) for shard in placed.addressable_shards) == list(range(0, 16, 2))
    np.testing.assert_array_equal(placed, examples)


def test_a_batch_that_can_not_be_split_evenly_is_refused_with_one_that_can():
    mesh = make_mesh(MeshConfig())
    check_batch_size(24, mesh)
    with pytest.raises(ValueError, match=r"global_batch_size=20 must be a multiple of the 8 devices; try 16"):
        check_batch_size(20, mesh)
    with pytest.raises(ValueError, match="try 8"):
        check_batch_size(0, mesh)
