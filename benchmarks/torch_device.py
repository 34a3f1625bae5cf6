"""Where both sides of a benchmark run: on the CPU in float32, or on an NVIDIA GPU in bfloat16."""

import contextlib
from typing import Any, Literal

import jax
import torch
from torch import nn

from benchmarks.memory import own_peak_mb


def torch_device() -> torch.device:
    """Return PyTorch's name of the device that JAX computes on."""
    return torch.device("cuda" if jax.default_backend() == "gpu" else jax.default_backend())


def compute_dtype() -> Literal["float32", "bfloat16"]:
    """Return the type that both sides multiply in."""
    return "bfloat16" if torch_device().type == "cuda" else "float32"


def autocast(dtype: str) -> contextlib.AbstractContextManager[Any]:
    """Let PyTorch multiply in `dtype` what it deems safe there; parameters stay in float32, as ours do."""
    return torch.autocast(torch_device().type, torch.bfloat16, enabled=dtype == "bfloat16")


def placed(network: nn.Module) -> Any:
    """Return the network on the device, in the memory layout and with the kernels that PyTorch is fastest with."""
    if torch_device().type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")  # TF32, in which JAX multiplies float32 on a GPU
    return network.to(torch_device(), memory_format=torch.channels_last)


def wait() -> None:
    """Wait for what PyTorch has begun on a GPU."""
    if torch_device().type == "cuda":
        torch.cuda.synchronize()


def device_peak_mb(side: str) -> float:
    """Return the most memory that a side ("ours" or PyTorch's) had so far: of the GPU, or of this process on a CPU."""
    if torch_device().type != "cuda":
        return own_peak_mb()
    if side == "ours":
        return float(jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20)
    return float(torch.cuda.max_memory_allocated() / 2**20)
