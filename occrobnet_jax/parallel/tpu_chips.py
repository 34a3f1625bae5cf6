"""What Google publishes of its TPU chips, and the bounds that follow from it.

Source: https://docs.cloud.google.com/tpu/docs/ v5e, v6e and v5p, "System architecture" (read 2026-11-24). Peaks are
those of bfloat16 products; JAX multiplies float32 in one bfloat16 pass too unless it is asked for more. The bandwidth
of a chip's links is published for both directions together.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """One chip, which JAX shows as one device."""

    name: str
    memory_gib: float
    peak_tflop_per_s: float
    memory_gb_per_s: float
    links_gb_per_s: float  # both directions together

    def compute_s(self, tflop: float) -> float:
        """Time that products take at least."""
        return tflop / self.peak_tflop_per_s

    def memory_s(self, num_bytes: float) -> float:
        """Time that reading and writing the chip's memory takes at least."""
        return num_bytes / 1e9 / self.memory_gb_per_s

    def links_s(self, num_bytes_sent: float) -> float:
        """Time that sending to other chips takes at least."""
        return num_bytes_sent / 1e9 / (self.links_gb_per_s / 2)


CHIPS = {
    "v5e": Chip("v5e", 16, 197, 819, 400),
    "v6e": Chip("v6e", 32, 918, 1638, 800),
    "v5p": Chip("v5p", 95, 459, 2765, 1200),
}


def chip_of(topology: str) -> Chip:
    """The chip of a topology such as "v5e:4x4".

    Raises:
        ValueError: it names no chip of the table.
    """
    name = topology.split(":")[0]
    if name not in CHIPS or ":" not in topology:
        raise ValueError(f"--topology={topology} must be a chip and a grid, for example v5e:4x4; chips: {list(CHIPS)}")
    return CHIPS[name]
