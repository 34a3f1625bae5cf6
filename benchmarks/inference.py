"""The paper's network from images to raw predictions, with keypoints detected: batches of 1 and 8."""

import copy
from typing import Any

import jax
import torch

from benchmarks.flops import flops_of
from benchmarks.networks import forward_of, mirror_of, paper_experiment, prepared, synthetic_batch
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate, repeated
from benchmarks.torch_device import autocast, compute_dtype, torch_device, wait
from benchmarks.torch_mirror.targets import torch_batch

REPEATS = {1: 8, 8: 1}


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds an image; the batch size is the end of the name."""
    batch_size = int(name.rsplit("_", 1)[1])
    experiment = paper_experiment(batch_size)
    run, state = prepared(experiment)
    image = synthetic_batch(batch_size).image
    predict = forward_of(run)
    mirror = mirror_of(experiment, state.variables).eval()
    pixels = torch_batch(synthetic_batch(batch_size), torch_device()).image
    compiled = torch.compile(copy.deepcopy(mirror))
    count = REPEATS[batch_size]
    contestants = {
        "ours": repeated(lambda: jax.block_until_ready(predict(state.variables, image)), count),
        "PyTorch eager": repeated(lambda: without_gradient(mirror, pixels), count),
        "torch.compile": repeated(lambda: without_gradient(compiled, pixels), count),
    }
    times = alternate(contestants, runs)
    flops = flops_of(predict, state.variables, image, items=batch_size)
    return measurement(times, "s/image", count * batch_size, flops=flops)


def without_gradient(network: Any, pixels: torch.Tensor) -> Any:
    """Return what a network makes, in PyTorch's fastest mode for that."""
    with torch.inference_mode(), autocast(compute_dtype()):
        made = network(pixels)
    wait()
    return made
