"""What a training step says about itself."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Array, Float


@struct.dataclass
class StepMetrics:
    """Named numbers of a step as one array: each array that a step returns costs the host some microseconds."""

    values: Float[Array, " n"]
    names: tuple[str, ...] = struct.field(pytree_node=False)

    @classmethod
    def of(cls, numbers: Mapping[str, Float[Array, ""]]) -> "StepMetrics":
        """Put numbers together, in float32; still on the device."""
        return cls(jnp.stack([jnp.asarray(number, jnp.float32) for number in numbers.values()]), tuple(numbers))

    def numbers(self) -> dict[str, float]:
        """Return the numbers by their names; wait for the device."""
        return dict(zip(self.names, np.asarray(self.values).tolist(), strict=True))
