"""The published peaks of accelerators, by the name that JAX gives a device (`device.device_kind`).

Google: https://docs.cloud.google.com/tpu/docs/ v4, v5e, v5p and v6e, "System architecture" (read 2026-11-24).
NVIDIA: the data sheets of H100, H200, A100, L40S, L4 and A10; the white papers "NVIDIA Ada GPU Architecture" (RTX 4090)
and "NVIDIA Ampere GA102 GPU Architecture" (RTX 3090), their products in bfloat16 with sums in float32. Where a sheet
has the rate with sparsity only, half of it stands here. MIG slices and laptop GPUs have other names and no row.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chip:
    """What one JAX device multiplies at most, dense."""

    kinds: tuple[str, ...]  # names of it; some are told by one version of a driver and some by another
    bfloat16_tflop_per_s: float
    float32_tflop_per_s: float  # as JAX multiplies float32 unless asked for more: bfloat16 on TPUs, TF32 on GPUs

    def peak_flop_per_s(self, dtype: str) -> float:
        """Return the peak of products in "bfloat16" or "float32"."""
        return 1e12 * (self.bfloat16_tflop_per_s if dtype == "bfloat16" else self.float32_tflop_per_s)


CHIPS = (
    Chip(("TPU v4",), 275, 275),
    Chip(("TPU v5 lite", "TPU v5e"), 197, 197),
    Chip(("TPU v5", "TPU v5p"), 459, 459),
    Chip(("TPU v6 lite", "TPU v6e"), 918, 918),
    Chip(("NVIDIA H200", "NVIDIA H100 80GB HBM3"), 989.4, 494.7),
    Chip(("NVIDIA H100 NVL",), 835.5, 417.5),
    Chip(("NVIDIA H100 PCIe",), 756.5, 378),
    Chip(("NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-80GB"), 312, 156),
    Chip(("NVIDIA A100-PCIE-40GB", "NVIDIA A100 80GB PCIe"), 312, 156),
    Chip(("NVIDIA L40S",), 362, 183),
    Chip(("NVIDIA L4",), 121, 60),
    Chip(("NVIDIA A10",), 125, 62.5),
    Chip(("NVIDIA GeForce RTX 4090",), 165.2, 82.6),
    Chip(("NVIDIA GeForce RTX 3090",), 71.2, 35.6),
)


def chip_of(device_kind: str) -> Chip | None:
    """Return the chip that JAX calls `device_kind`, or None where the table has none of that name."""
    return next((chip for chip in CHIPS if device_kind in chip.kinds), None)
