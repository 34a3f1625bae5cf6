"""The mesh of devices, and the rules by which batches and the training state are laid out on it.

The mesh has two axes. Both split the batch. Over "data" parameters are copied; over "fsdp" (fully sharded data
parallel) each device keeps a slice of every large parameter and of its optimiser state, and XLA gathers the whole
where a layer needs it. One device is a 1 x 1 mesh: the same code, no special case.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree

AXES = ("data", "fsdp")


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """Fields of `config.mesh`: the number of devices along each axis, of which one may be -1, "all the rest"."""

    data: int = -1
    fsdp: int = 1
    fsdp_min_elements: int = 16_384  # smaller parameters are copied: gathering them costs more than they weigh

    def __post_init__(self) -> None:
        sizes = (self.data, self.fsdp)
        if any(size < 1 and size != -1 for size in sizes) or sizes == (-1, -1):
            raise ValueError(f"mesh.data={self.data}, mesh.fsdp={self.fsdp}: use numbers from 1, and -1 at most once")


def make_mesh(config: MeshConfig, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Arranges `devices` (by default all of them, of all hosts) in a grid of data x fsdp.

    Raises:
        ValueError: the grid does not have as many places as there are devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    fixed = math.prod(size for size in (config.data, config.fsdp) if size != -1)
    sizes = tuple(len(devices) // fixed if size == -1 else size for size in (config.data, config.fsdp))
    if math.prod(sizes) != len(devices):
        raise ValueError(
            f"mesh.data={config.data} x mesh.fsdp={config.fsdp} does not fit {len(devices)} devices; "
            f"set one of them to -1 and the other to a divisor of {len(devices)}"
        )
    # Auto: XLA derives the layout of everything in between from that of the step's arguments and results.
    return jax.make_mesh(sizes, AXES, axis_types=(AxisType.Auto,) * len(AXES), devices=devices)


def platform_of(mesh: Mesh) -> str:
    """What JAX calls the kind of the mesh's devices: "cpu", "gpu" or "tpu"."""
    return str(mesh.devices.flat[0].platform)


def replicated(mesh: Mesh) -> NamedSharding:
    """The same array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Examples, the first axis, split over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def state_sharding(state: PyTree[Any], mesh: Mesh, min_elements: int) -> PyTree[NamedSharding]:
    """Where each leaf of a training state (arrays or their `jax.ShapeDtypeStruct`) lives.

    A leaf of at least `min_elements` is split over "fsdp" along its longest axis that divides evenly; others, those
    without such an axis, and vectors are copied to every device. The optimiser's moments of a large parameter have its
    shape and so its layout; those of all small ones are a vector, which no device has to gather to update them.
    """
    return jax.tree.map(lambda leaf: _leaf_sharding(leaf.shape, mesh, min_elements), state)


def _leaf_sharding(shape: tuple[int, ...], mesh: Mesh, min_elements: int) -> NamedSharding:
    parts = mesh.shape["fsdp"]
    divisible = [axis for axis, size in enumerate(shape) if size % parts == 0]
    if parts == 1 or len(shape) < 2 or math.prod(shape) < min_elements or not divisible:
        return replicated(mesh)
    longest = max(divisible, key=lambda axis: shape[axis])
    return NamedSharding(mesh, PartitionSpec(*(None,) * longest, "fsdp"))


def place_batch(batch: PyTree[np.ndarray], mesh: Mesh) -> PyTree[jax.Array]:
    """The global batch on the mesh, put together from the share that each host holds."""
    sharding = batch_sharding(mesh)
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)  # all arrays at once: half the host's time
    return jax.tree.map(lambda local: jax.make_array_from_process_local_data(sharding, local), batch)


def check_batch_size(global_batch_size: int, mesh: Mesh, accumulation_steps: int = 1) -> None:
    """Raises a ValueError where a batch can't be split evenly over the devices, and there into microbatches."""
    parts = mesh.size * accumulation_steps
    if global_batch_size < 1 or global_batch_size % parts:
        near = max(1, round(global_batch_size / parts)) * parts
        microbatches = f" x {accumulation_steps=}" if accumulation_steps > 1 else ""
        raise ValueError(
            f"{global_batch_size=} must be a multiple of the {mesh.size} devices{microbatches}; try {near}"
        )
