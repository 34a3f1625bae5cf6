"""Compiled functions of a batch, and how it travels to them: as a few arrays instead of 27.

Each array costs the host a transfer to each device. Nothing else in the project knows the packed form.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.sharding import Mesh
from jaxtyping import Int32, PyTree

from occrobnet_jax.parallel.compiler import XlaFlags, fast_jit
from occrobnet_jax.parallel.mesh import batch_sharding, place_batch, platform_of
from occrobnet_jax.types import Batch

Given = TypeVar("Given")
Result = TypeVar("Result")

MAPS = ("image", "segmentation")


class Field(NamedTuple):
    """Where a field's numbers stand among the labels."""

    name: str
    start: int
    shape: tuple[int, ...]  # of one example
    dtype: np.dtype


@struct.dataclass
class PackedBatch:
    """The fields of a Batch: maps of bytes as they are, and all others in rows of 32 bits, one row an example."""

    maps: dict[str, Any]
    labels: Int32[Any, "b n"]
    layout: tuple[Field, ...] = struct.field(pytree_node=False)

    @classmethod
    def of(cls, batch: Batch) -> "PackedBatch":
        """Pack a batch of NumPy arrays.

        Raises:
            ValueError: a field has more than 32 bits a number.
        """
        fields: dict[str, Any] = vars(batch)
        rows, layout, start = [], [], 0
        for name in sorted(set(fields) - set(MAPS)):
            values = fields[name]
            if values.dtype.itemsize > 4:
                raise ValueError(f"{name} is {values.dtype}; the fields of a batch have at most 32 bits a number")
            is_float = values.dtype == np.float32
            row = np.ascontiguousarray(values).reshape(len(values), -1)
            rows.append(row.view(np.int32) if is_float else row.astype(np.int32))
            layout.append(Field(name, start, values.shape[1:], values.dtype))
            start += row.shape[1]
        return cls({name: fields[name] for name in MAPS}, np.concatenate(rows, axis=1), tuple(layout))

    def unpacked(self) -> Batch:
        """Return the batch; to be called where the devices compute."""
        return Batch(**self.maps, **{field.name: self._field(field) for field in self.layout})

    def _field(self, field: Field) -> jax.Array:
        words = self.labels[:, field.start : field.start + int(np.prod(field.shape))]
        is_float = field.dtype == np.float32
        values = jax.lax.bitcast_convert_type(words, jnp.float32) if is_float else words.astype(field.dtype)
        return values.reshape(-1, *field.shape)


class BatchProgram(Generic[Given, Result]):
    """A compiled function of something that lies on the devices, a state or weights, and of a batch from the host."""

    def __init__(
        self,
        function: Callable[[Given, Batch], Result],
        mesh: Mesh,
        xla_flags: XlaFlags = "default",
        *,
        given: PyTree[Any] = None,
        result: PyTree[Any],
        donates: bool = False,
    ):
        """Wrap `function`; it is compiled when first called.

        Args:
            function: pure; the batch that it gets is split over all devices.
            mesh: the devices.
            xla_flags: `config.xla_flags`.
            given: the layout of its first argument; None leaves it as it comes.
            result: the layout of what it returns.
            donates: whether the first argument's memory is handed over to the result.
        """

        def unpacking(first: Given, packed: PackedBatch) -> Result:
            return function(first, packed.unpacked())

        unpacking.__name__ = function.__name__  # as profiles show it
        self._mesh = mesh
        self._jitted = fast_jit(
            unpacking,
            platform_of(mesh),
            xla_flags,
            in_shardings=(given, batch_sharding(mesh)),
            out_shardings=result,
            donate_argnums=0 if donates else (),
        )

    def __call__(self, first: Given, batch: Batch) -> Result:
        """Run the program on a global batch, of which each host gives its share in NumPy arrays."""
        with jax.transfer_guard("allow"):  # the batch, where a caller lets nothing else through
            placed = place_batch(PackedBatch.of(batch), self._mesh)
        return self._jitted(first, placed)

    def trace(self, first: Given, batch: Batch) -> jax.stages.Traced:
        """Trace the program for a whole global batch, of whose arrays only shapes and types count."""
        layout = batch_sharding(self._mesh)
        packed = jax.tree.map(
            lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=layout), PackedBatch.of(batch)
        )
        return self._jitted.trace(first, packed)
