"""What tests tell XLA's compiler for CPUs: most of them compile a program and run it a few times only."""

import jax

HAS_TWO_EMITTERS = jax.__version_info__ < (0, 11)  # later versions know but one, and end at a flag unknown to them


def xla_flags(num_devices: int) -> str:
    """Value of XLA_FLAGS: LLVM's optimisation takes longer than it brings back, and so do the emitters of fusions."""
    flags = [
        f"--xla_force_host_platform_device_count={num_devices}",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    ]
    return " ".join(flags + ["--xla_cpu_use_fusion_emitters=false"] * HAS_TWO_EMITTERS)
