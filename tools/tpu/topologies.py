"""The chips of a topology such as "v5e:4x4", and the bounds that follow from what Google publishes of them.

Source: https://docs.cloud.google.com/tpu/docs/ v5e, v6e and v5p, "System architecture" (read 2026-11-24). The bandwidth
of a chip's links is published for both directions together. Peaks of products are in `occrobnet_jax/parallel/chips.py`.
"""

import dataclasses

from occrobnet_jax.parallel import chips


@dataclasses.dataclass(frozen=True)
class TpuChip:
    """One chip, which JAX shows as one device."""

    device_kind: str
    memory_gib: float
    memory_gb_per_s: float
    links_gb_per_s: float  # both directions together

    @property
    def peak_tflop_per_s(self) -> float:
        """Products in bfloat16, in one pass of which JAX multiplies float32 too unless asked for more."""
        chip = chips.chip_of(self.device_kind)
        assert chip is not None
        return chip.bfloat16_tflop_per_s

    def compute_s(self, tflop: float) -> float:
        """Return the time that products take at least."""
        return tflop / self.peak_tflop_per_s

    def memory_s(self, num_bytes: float) -> float:
        """Return the time that reading and writing the chip's memory takes at least."""
        return num_bytes / 1e9 / self.memory_gb_per_s

    def links_s(self, num_bytes_sent: float) -> float:
        """Return the time that sending to other chips takes at least."""
        return num_bytes_sent / 1e9 / (self.links_gb_per_s / 2)


CHIPS = {
    "v5e": TpuChip("TPU v5e", 16, 819, 400),
    "v6e": TpuChip("TPU v6e", 32, 1638, 800),
    "v5p": TpuChip("TPU v5p", 95, 2765, 1200),
}


def chip_of(topology: str) -> TpuChip:
    """Return the chip of a topology such as "v5e:4x4".

    Raises:
        ValueError: it names no chip of the table.
    """
    name = topology.split(":")[0]
    if name not in CHIPS or ":" not in topology:
        raise ValueError(f"--topology={topology} must be a chip and a grid, for example v5e:4x4; chips: {list(CHIPS)}")
    return CHIPS[name]
