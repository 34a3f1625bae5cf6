"""What XLA's compilers are told beside a program; the sources of every option stand in docs/xla_flags.md.

They are given with each program and not in XLA_FLAGS: there an option that a platform doesn't know aborts the process.
"""

from collections.abc import Callable
from typing import Any, Literal

import jax

Options = dict[str, str | int]
XlaFlags = Literal["default", "overlap", "deterministic"]

# Convolutions are left to Eigen: XLA's YNN kernels compute those with up to 64 channels of output on one core, however
# many there are (docs/performance.md).
CPU: Options = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_REDUCE"}
OVERLAP: dict[str, Options] = {
    "gpu": {
        "xla_gpu_enable_latency_hiding_scheduler": True,
        "xla_gpu_enable_pipelined_all_gather": True,
        "xla_gpu_enable_pipelined_reduce_scatter": True,
        "xla_gpu_enable_pipelined_all_reduce": True,
    },
    "tpu": {
        "xla_tpu_enable_data_parallel_all_reduce_opt": True,
        "xla_tpu_data_parallel_opt_different_sized_ops": True,
        "xla_tpu_enable_async_collective_fusion": True,
        "xla_tpu_enable_async_collective_fusion_fuse_all_gather": True,
        "xla_tpu_enable_async_collective_fusion_multiple_steps": True,
        "xla_tpu_overlap_compute_collective_tc": True,
        "xla_enable_async_all_gather": True,
        "xla_enable_async_all_reduce": True,
    },
}
DETERMINISTIC: dict[str, Options] = {"gpu": {"xla_gpu_deterministic_ops": True}}  # CPUs and TPUs are without it


def fast_jit(function: Callable[..., Any], platform: str, xla_flags: XlaFlags = "default", **layouts: Any) -> Any:
    """Return `jax.jit` of a function that runs often.

    Args:
        function: any that JAX can trace.
        platform: of the devices that will run it, as JAX names it.
        xla_flags: `config.xla_flags`.
        **layouts: what else `jax.jit` takes.
    """
    return jax.jit(function, compiler_options=fast_programs(platform, xla_flags), **layouts)


def quick_jit(function: Callable[..., Any], platform: str, **layouts: Any) -> Any:
    """Return `jax.jit` of a function that runs once, so that its compilation counts."""
    return jax.jit(function, compiler_options=quick_compilation(platform), **layouts)


def fast_programs(platform: str, xla_flags: XlaFlags = "default") -> Options | None:
    """Return options for programs that run often."""
    if platform == "cpu":
        return CPU
    chosen: dict[str, dict[str, Options]] = {"overlap": OVERLAP, "deterministic": DETERMINISTIC}
    return chosen.get(xla_flags, {}).get(platform)


def quick_compilation(platform: str) -> Options | None:
    """Return options for a program that runs once.

    LLVM's optimisation of the random number generators of all parameters takes far longer than it saves: one minute
    against four seconds of the demo's start.
    """
    return {"xla_backend_optimization_level": 0} if platform == "cpu" else None
