"""ResNet-50 alone, in training mode: forward and backward to its weights, batch 8; torchvision's as a third opinion."""

import copy
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import torch
import torchvision

from benchmarks.flops import flops_of
from benchmarks.networks import compiled
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate
from benchmarks.torch_device import autocast, compute_dtype, placed, torch_device, wait
from benchmarks.torch_mirror.resnet import ResNet as MirrorResNet
from benchmarks.torch_mirror.weights import load
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.resnet import ResNet

BATCH_SIZE, SIZE_PX = 8, 256


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds a pass through the batch."""
    model, config = ResNet(ModelConfig(), dtype=jnp.dtype(compute_dtype())), ModelConfig()
    image = jax.random.normal(jax.random.key(0), (BATCH_SIZE, SIZE_PX, SIZE_PX, 3))
    variables = jax.jit(lambda: model.init(jax.random.key(0), image[:1], train=False))()

    def loss_of(params: Any, image: jax.Array) -> tuple[jax.Array, Any]:
        taps, changed = model.apply(variables | {"params": params}, image, train=True, mutable=["batch_stats"])
        return (taps[-1].astype(jnp.float32) ** 2).mean(), changed

    ours = compiled(jax.grad(loss_of, has_aux=True))
    mirror = MirrorResNet(config)
    load(mirror, jax.device_get(variables))
    images = torch.from_numpy(jax.device_get(image).copy()).to(torch_device()).permute(0, 3, 1, 2)
    reference = torchvision.models.resnet50(weights=None)
    reference.avgpool = reference.fc = torch.nn.Identity()
    contestants = {
        "ours": lambda: jax.block_until_ready(ours(variables["params"], image)),
        "PyTorch eager": forward_backward(mirror, images, last_tap),
        "torch.compile": forward_backward(torch.compile(copy.deepcopy(mirror)), images, last_tap),
        "torchvision": forward_backward(reference, images, lambda made: made),
    }
    times = alternate(contestants, runs)
    return measurement(times, "s/pass", flops=flops_of(ours, variables["params"], image))


def forward_backward(network: Any, images: torch.Tensor, taken: Callable[[Any], torch.Tensor]) -> Callable[[], None]:
    """Return a contestant: the mean of the squares of what the network makes, and its gradient."""
    network = placed(network).train()

    def run() -> None:
        with autocast(compute_dtype()):
            made = taken(network(images))
        (made.float() ** 2).mean().backward()
        network.zero_grad(set_to_none=True)
        wait()

    return run


def last_tap(taps: list[torch.Tensor]) -> torch.Tensor:
    """Return the coarsest map."""
    return taps[-1]
