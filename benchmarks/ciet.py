"""CIET on a map of 32 x 32, batch 8: forward and backward to weights and input, beside PyTorch's fused attention."""

import copy
from typing import Any

import jax
import jax.numpy as jnp
import torch

from benchmarks.flops import flops_of
from benchmarks.networks import compiled
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate
from benchmarks.torch_device import autocast, compute_dtype, placed, torch_device, wait
from benchmarks.torch_mirror.ciet import Ciet as MirrorCiet
from benchmarks.torch_mirror.weights import load
from occrobnet_jax.models.ciet import Ciet
from occrobnet_jax.models.config import ModelConfig

BATCH_SIZE, SIDE = 8, 32


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds a pass through the batch."""
    config = ModelConfig()
    model = Ciet(config, dtype=jnp.dtype(compute_dtype()))
    features = jax.random.normal(jax.random.key(0), (BATCH_SIZE, SIDE, SIDE, config.neck_channels))
    variables = jax.jit(lambda: model.init(jax.random.key(0), features[:1], train=False))()

    def loss_of(params: Any, features: jax.Array) -> tuple[jax.Array, Any]:
        kept = variables | {"params": params}
        enhanced, changed = model.apply(kept, features, train=True, mutable=["batch_stats"])
        return (enhanced.features.astype(jnp.float32) ** 2).mean(), changed

    ours = compiled(jax.grad(loss_of, argnums=(0, 1), has_aux=True))
    mirror = MirrorCiet(config, SIDE**2)
    load(mirror, jax.device_get(variables))
    mirror = placed(mirror).train()
    maps = torch.from_numpy(jax.device_get(features).copy()).to(torch_device()).permute(0, 3, 1, 2).requires_grad_()
    inductor = torch.compile(copy.deepcopy(mirror))
    contestants = {
        "ours": lambda: jax.block_until_ready(ours(variables["params"], features)),
        "PyTorch eager": lambda: forward_backward(mirror, maps),
        "torch.compile": lambda: forward_backward(inductor, maps),
    }
    times = alternate(contestants, runs)
    memory = ours.lower(variables["params"], features).compile().memory_analysis()
    details = {} if memory is None else {"temporary memory of ours in MB": memory.temp_size_in_bytes / 2**20}
    return measurement(times, "s/pass", flops=flops_of(ours, variables["params"], features), details=details)


def forward_backward(network: Any, maps: torch.Tensor) -> None:
    """Return the mean of the squares of what CIET makes, and its gradient."""
    with autocast(compute_dtype()):
        made = network(maps)
    (made.float() ** 2).mean().backward()
    network.zero_grad(set_to_none=True)
    maps.grad = None
    wait()
