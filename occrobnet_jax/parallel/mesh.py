"""The mesh of devices, and the rules by which batches and the training state are laid out on it.

The mesh has two axes. Both split the batch. Over "data" parameters are copied; over "fsdp" (fully sharded data
parallel) each device keeps a slice of every large parameter and of its optimiser state, and XLA gathers the whole
where a layer needs it. One device is a 1 x 1 mesh: the same code, no special case.

Devices come in slices, within which links are fast. JAX says which: a TPU's slice; of GPUs, and of CPUs in several
processes, a machine, by its boot id. What fsdp sends stays within a slice where a slice is large enough.
"""

import collections
import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
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
    """Arrange `devices` (by default all of them, of all hosts) in a grid of data x fsdp.

    Raises:
        ValueError: the grid does not have as many places as there are devices, or slices differ in size.
    """
    devices = jax.devices() if devices is None else list(devices)
    fixed = math.prod(size for size in (config.data, config.fsdp) if size != -1)
    data, fsdp = (len(devices) // fixed if size == -1 else size for size in (config.data, config.fsdp))
    if data * fsdp != len(devices):
        raise ValueError(
            f"mesh.data={config.data} x mesh.fsdp={config.fsdp} does not fit {len(devices)} devices; "
            f"set one of them to -1 and the other to a divisor of {len(devices)}"
        )
    # Auto: XLA derives the layout of everything in between from that of the step's arguments and results.
    axis_types = (AxisType.Auto,) * len(AXES)
    if len(slice_sizes(devices)) == 1:
        return jax.make_mesh((data, fsdp), AXES, axis_types=axis_types, devices=devices)
    return Mesh(arrange_slices(fsdp, devices), AXES, axis_types=axis_types)


def slice_sizes(devices: Iterable[jax.Device]) -> dict[int, int]:
    """Return how many of the devices are in each slice; a process alone has one on platforms that know of none."""
    return dict(collections.Counter(getattr(device, "slice_index", 0) for device in devices))


def arrange_slices(fsdp: int, devices: Sequence[jax.Device]) -> np.ndarray:
    """Return the grid of several slices: as much of `fsdp`, which divides the devices, as goes into one lies within a
    slice.

    Raises:
        ValueError: slices differ in size.
    """
    sizes = slice_sizes(devices)
    in_each = sizes[min(sizes)]
    if set(sizes.values()) != {in_each}:
        raise ValueError(
            f"every slice (of GPUs: machine) must have as many devices as the others, but those of slices "
            f"{sorted(sizes)} have {[sizes[number] for number in sorted(sizes)]}; start the run on equal ones"
        )
    within = math.gcd(fsdp, in_each)
    across = fsdp // within
    return mesh_utils.create_hybrid_device_mesh(
        (in_each // within, within), (len(sizes) // across, across), devices, allow_split_physical_axes=True
    )


def describe(mesh: Mesh, num_machines: int) -> str:
    """Return the layout in words: platform and kind of device, processes, machines, slices, and the size
    of each axis.
    """
    devices = list(mesh.devices.flat)
    kinds = ", ".join(sorted({device.device_kind for device in devices}))
    processes = len({device.process_index for device in devices})
    axes = " x ".join(f"{name} {size}" for name, size in mesh.shape.items())
    crosses = " (across slices)" if any(len(slice_sizes(row)) > 1 for row in mesh.devices) else ""
    return (
        f"{_count(mesh.size, f'{platform_of(mesh)} device')} ({kinds}) of {_count(processes, 'process', 'es')} on "
        f"{_count(num_machines, 'machine')}, {_count(len(slice_sizes(devices)), 'slice')}: {axes}{crosses}"
    )


def _count(number: int, noun: str, plural: str = "s") -> str:
    return f"{number} {noun}{plural * (number != 1)}"


def platform_of(mesh: Mesh) -> str:
    """Return what JAX calls the kind of the mesh's devices: "cpu", "gpu" or "tpu"."""
    return str(mesh.devices.flat[0].platform)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the layout of what every device has a copy of."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Return the layout of a batch: examples, the first axis, are split over all devices."""
    return NamedSharding(mesh, PartitionSpec(AXES))


def state_sharding(state: PyTree[Any], mesh: Mesh, min_elements: int) -> PyTree[NamedSharding]:
    """Return where each leaf of a training state (arrays or their `jax.ShapeDtypeStruct`) lives.

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
    """Return the global batch on the mesh, put together from the share that each host holds."""
    sharding = batch_sharding(mesh)
    if jax.process_count() == 1:
        return jax.device_put(batch, sharding)  # all arrays at once: half the host's time
    return jax.tree.map(lambda local: jax.make_array_from_process_local_data(sharding, local), batch)


def check_batch_size(global_batch_size: int, mesh: Mesh, accumulation_steps: int = 1) -> None:
    """Raise a ValueError where a batch can't be split evenly over the devices, and there into microbatches."""
    parts = mesh.size * accumulation_steps
    if global_batch_size < 1 or global_batch_size % parts:
        near = max(1, round(global_batch_size / parts)) * parts
        microbatches = f" x {accumulation_steps=}" if accumulation_steps > 1 else ""
        raise ValueError(
            f"{global_batch_size=} must be a multiple of the {mesh.size} devices{microbatches}; try {near}"
        )
