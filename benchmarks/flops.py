"""How many floating point operations a program of ours stands for."""

from typing import Any


def flops_of(function: Any, *arguments: Any, items: int = 1) -> float | None:
    """Return the floating point operations of a jitted function an item, by XLA's count before it optimises.

    Counted are the plain forms: attention with all its weights at once and nothing computed a second time, and
    convolutions as sums over their taps. That is the program for a TPU, which is only lowered. In the one for a CPU
    attention is a loop over blocks of queries, and XLA counts a loop's body once, however often it runs; Winograd's
    convolutions do fewer operations, and attention's backward pass some more. A rate from this count therefore says how
    much of the work is done in a second, whatever form does it.

    The loops that are left select keypoints: some 100 times twelve operations a pixel of a heatmap, not 0.1 % of the
    paper's network. The parts of a batch with `accumulation_steps` are a loop too; no benchmark has them.

    Args:
        function: made by `jax.jit`, or a `BatchProgram`.
        *arguments: of the function; their shapes count.
        items: that a call works through.

    Returns:
        The count, or None where JAX can't count on this platform, as with a GPU's plugin.
    """
    costs = function.trace(*arguments).lower(lowering_platforms=("tpu",)).cost_analysis()
    return None if costs is None else float(costs["flops"]) / items
