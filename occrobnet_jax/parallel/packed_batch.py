"""A training batch on its way to the devices: a few arrays instead of 27, each of which costs the host a transfer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Int32

from occrobnet_jax.types import Batch

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
    def of(cls, fields: Mapping[str, np.ndarray]) -> "PackedBatch":
        """Pack what `input_pipeline` yields, without the keys, which are text.

        Raises:
            ValueError: a field has more than 32 bits a number.
        """
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
