"""Our arrays under the mirror's names and in PyTorch's layouts: weights, and gradients for comparison."""

import re
from typing import Any

import numpy as np
import torch
from jaxtyping import PyTree
from torch import Tensor, nn

from occrobnet_jax.runs.state import leaves_by_path

LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
IN_NECK = re.compile(r"^(fpn|ciet|rebuilt|finest|unet)\.")


def load(mirror: nn.Module, variables: dict[str, Any]) -> None:
    """Copy our variables ("params", "batch_stats") into the mirror of the same network.

    Raises:
        RuntimeError: one side has an array that the other lacks, counters of BatchNorms aside.
    """
    state = mirror_arrays(variables["params"]) | mirror_arrays(variables.get("batch_stats", {}))
    counters = {name: value for name, value in mirror.state_dict().items() if name.endswith("num_batches_tracked")}
    mirror.load_state_dict(state | counters)


def mirror_arrays(tree: PyTree[Any]) -> dict[str, Tensor]:
    """Return a tree of our arrays as a state dict."""
    return dict(_mirrored(path, np.asarray(leaf)) for path, leaf in leaves_by_path(tree).items())


def _mirrored(path: str, array: np.ndarray) -> tuple[str, Tensor]:
    *modules, leaf = path.split("/")
    if modules and modules[-1] == "bn":
        modules = modules[:-1] if len(modules) > 1 and re.match(r"bn|norm", modules[-2]) else modules
    name = IN_NECK.sub(r"neck.\1.", ".".join([*modules, LEAVES.get(leaf, leaf)]))
    return name, torch.from_numpy(np.array(_laid_out(modules, leaf, array), order="C"))


def _laid_out(modules: list[str], leaf: str, array: np.ndarray) -> np.ndarray:
    """Return the array in PyTorch's order of axes; attention's heads become one axis with their channels."""
    is_attention_out = bool(modules) and modules[-1] == "out" and array.ndim == 3
    if leaf == "bias":
        return array.reshape(-1)
    if leaf != "kernel":
        return array
    if array.ndim == 4 and re.fullmatch(r"up\d?", modules[-1]):
        return array.transpose(2, 3, 0, 1)[:, :, ::-1, ::-1]
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    flat = array.reshape(-1, array.shape[-1]) if is_attention_out else array.reshape(len(array), -1)
    return flat.T
