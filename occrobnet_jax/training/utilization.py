"""How near a training step comes to what its devices can multiply (model FLOP utilization, MFU)."""

from typing import Any

import jax
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import PyTree

from occrobnet_jax.parallel.chips import chip_of
from occrobnet_jax.parallel.flops import product_flops
from occrobnet_jax.runs.experiment import Experiment

STEP_OVER_FORWARD = 3
"""The backward pass multiplies twice for each product: for the gradient of either factor."""


def step_at_peak_s(experiment: Experiment, mesh: Mesh, model: nn.Module, variables: PyTree[Any]) -> float | None:
    """Return the seconds that the products of a step would take at the peak of the mesh's devices.

    Counted are those of the model as defined, whatever the program computes a second time to save memory
    (Chowdhery et al., PaLM, arXiv 2204.02311, appendix B).

    Args:
        experiment: has the batch, the size of images and the type of computation.
        mesh: devices that share the batch.
        model: the network.
        variables: the network's, or their shapes.

    Returns:
        The time, or None where the peak of such devices isn't known (`parallel/chips.py`).
    """
    chip = chip_of(mesh.devices.flat[0].device_kind)
    if chip is None:
        return None
    flops = STEP_OVER_FORWARD * experiment.global_batch_size * forward_flops(experiment, model, variables)
    return flops / (mesh.size * chip.peak_flop_per_s(experiment.compute_dtype))


def forward_flops(experiment: Experiment, model: nn.Module, variables: PyTree[Any]) -> float:
    """Return the operations of the products that the predictions of one image take."""
    side_px = experiment.data.input_size_px
    image = jax.ShapeDtypeStruct((1, side_px, side_px, 3), np.uint8)
    return product_flops(lambda variables, image: model.apply(variables, image, train=False), variables, image)
