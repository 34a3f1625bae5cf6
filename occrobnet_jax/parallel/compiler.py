"""What XLA's CPU compiler is told beside a program; TPUs and GPUs compile with their own defaults."""

Options = dict[str, str | int]


def fast_programs(platform: str) -> Options | None:
    """Options for programs that run often.

    Of the operations that XLA gives to its YNN kernels on a CPU, convolutions are left to Eigen: YNN computes those
    with up to 64 channels of output on one core, however many there are (docs/performance.md).

    Args:
        platform: of the devices that will run it, as JAX names it.
    """
    kinds = ("LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT", "LIBRARY_FUSION_TYPE_REDUCE")
    return {"xla_cpu_experimental_ynn_fusion_type": ",".join(kinds)} if platform == "cpu" else None


def quick_compilation(platform: str) -> Options | None:
    """Options for a program that runs once.

    LLVM's optimisation of the random number generators of all parameters takes far longer than it saves: one minute
    against four seconds of the demo's start.
    """
    return {"xla_backend_optimization_level": 0} if platform == "cpu" else None
