import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from occrobnet_jax.parallel.mesh import (
    AXES,
    MeshConfig,
    batch_sharding,
    check_batch_size,
    describe,
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


@dataclasses.dataclass(frozen=True, eq=False)
class Chip:
    """What `make_mesh` looks at in a device of several slices, each of one process."""

    id: int
    slice_index: int
    process_index: int
    device_kind: str = "NVIDIA H100"
    platform: str = "gpu"

    __class__ = jax.Device  # type: ignore[assignment]


def chips(*sizes: int) -> list[Chip]:
    """Devices of slices with so many each."""
    slices = [number for number, size in enumerate(sizes) for _ in range(size)]
    return [Chip(i, number, number) for i, number in enumerate(slices)]


@pytest.mark.parametrize(
    ("sizes", "fsdp", "rows"),
    [
        ((2, 2), 1, [[0], [1], [2], [3]]),
        ((2, 2), 2, [[0, 1], [2, 3]]),  # within a slice
        ((2, 2), 4, [[0, 1, 2, 3]]),  # across all
        ((1, 1, 1, 1), 2, [[0, 1], [2, 3]]),
        ((2, 2, 2, 2), 4, [[0, 1, 2, 3], [4, 5, 6, 7]]),  # across pairs
        ((4, 4), 2, [[0, 1], [2, 3], [4, 5], [6, 7]]),
        ((2, 2, 2), 3, [[0, 2, 4], [1, 3, 5]]),  # nothing but one of each slice
    ],
)
def test_fsdp_lies_within_a_slice_and_crosses_no_more_of_them_than_it_must(sizes, fsdp, rows):
    grid = make_mesh(MeshConfig(-1, fsdp), chips(*sizes)).devices
    assert [[chip.id for chip in row] for row in grid] == rows


def test_the_mesh_of_several_slices_is_called_as_that_of_one():
    mesh = make_mesh(MeshConfig(), chips(2, 2))
    assert (mesh.axis_names, dict(mesh.shape)) == (AXES, {"data": 4, "fsdp": 1})
    assert set(mesh.axis_types) == {AxisType.Auto}


def test_slices_of_different_size_are_named():
    with pytest.raises(ValueError, match=r"as many devices as the others, but those of slices \[0, 1\] have \[4, 2\]"):
        make_mesh(MeshConfig(), chips(4, 2))


@pytest.mark.parametrize(
    ("sizes", "fsdp", "said"),
    [
        ((2, 2), 2, "4 gpu devices (NVIDIA H100) of 2 processes on 2 machines, 2 slices: data 2 x fsdp 2"),
        (
            (2, 2),
            4,
            "4 gpu devices (NVIDIA H100) of 2 processes on 2 machines, 2 slices: data 1 x fsdp 4 (across slices)",
        ),
    ],
)
def test_the_layout_is_told_in_words(sizes, fsdp, said):
    assert describe(make_mesh(MeshConfig(-1, fsdp), chips(*sizes)), num_machines=2) == said


def test_the_layout_of_one_device_is_told_in_words():
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    assert describe(mesh, num_machines=1) == "1 cpu device (cpu) of 1 process on 1 machine, 1 slice: data 1 x fsdp 1"
