"""Weights that were trained elsewhere, under other names and in PyTorch's layouts, brought into our network.

Each of our arrays has one source in the file (`Source`); names, shapes and types are compared before anything is
converted, and what differs is told at once.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from occrobnet_jax.models.efficientnet_lite import STAGES
from occrobnet_jax.weights.safetensors_file import MAX_REASON, read_safetensors
from occrobnet_jax.weights.torch_file import TorchTensor, read_torch_file

StateDict = dict[str, np.ndarray]

WRAPPERS = ("network", "state_dict", "model")
"""Names under which training scripts keep the state dict in a file that holds more (KypT's is "network")."""

LISTED = 500  # of the arrays that differ

COUNTERS = r".*\.num_batches_tracked"
"""How often a BatchNorm was trained; its statistics don't depend on it."""

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
"""From our names of arrays to PyTorch's."""

LITE_LAYERS = {
    **{"expand": "_expand_conv", "depthwise": "_depthwise_conv", "project": "_project_conv"},
    **{"bn1": "_bn0", "bn2": "_bn1", "bn3": "_bn2"},
}
"""From our layers of an inverted bottleneck to those of `efficientnet_lite_pytorch`."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Where one of our arrays comes from: a name in the file, the shape that it must have there, and what to do."""

    name: str
    shape: tuple[int, ...]
    convert: Callable[[np.ndarray], np.ndarray]


def read_state_dict(path: Path) -> StateDict:
    """Name and arrays of a `.safetensors` file, or of a state dict that `torch.save` wrote.

    In the latter the state dict may stand beside other things under one of `WRAPPERS`, and its names may begin with
    "module.", as those of networks trained on several GPUs do. No pickled code is run.

    Raises:
        ValueError: the file can't be read, is damaged, would run code, or holds no state dict.
    """
    if path.suffix.lower() == ".safetensors":
        state = read_safetensors(path).arrays
    else:
        state = read_torch_file(path, lambda content: _find_state_dict(content, path))
    return {name.removeprefix("module."): array for name, array in state.items()}


def load_backbone(path: Path, like: PyTree[Any]) -> PyTree[np.ndarray]:
    """Read params and batch statistics of a ResNet as torchvision and timm save it, or of an EfficientNet-Lite as
    `efficientnet_lite_pytorch` does; their classifiers are left out.

    Args:
        path: of the file.
        like: arrays or shapes under "params" and "batch_stats", as the backbone has them.

    Raises:
        ValueError: the file can't be read, or its names, shapes or types are not those of the backbone.
    """
    state = read_state_dict(path)
    what = f"{path} does not fit the backbone; model.backbone, backbone_width=64 and stem=7x7 must be those of the file"
    if "depthwise" in like["params"]["layer1_0"]:
        return converted(state, like, lite_source, (r"(_conv_head|_bn1|_fc)\..*", COUNTERS), what)
    return converted(state, like, backbone_source, (r"fc\..*", COUNTERS), what)


def backbone_source(path: str, shape: tuple[int, ...]) -> Source:
    """Return torchvision's name of one of the backbone's arrays, such as "params/layer1_0/downsample/conv/kernel"."""
    _, *modules, leaf = path.split("/")
    module = "/".join(modules)
    module = re.sub(r"layer(\d)_(\d+)", r"layer\1/\2", module)
    module = module.replace("downsample/conv", "downsample/0").replace("downsample/bn/bn", "downsample/1")
    module = re.sub(r"(bn\d)/bn", r"\1", module)
    return array_source(module.replace("/", "."), leaf, shape)


def lite_source(path: str, shape: tuple[int, ...]) -> Source:
    """Return the name, in PyTorch's EfficientNet-Lite, of an array such as "params/layer2_1/depthwise/kernel"."""
    _, *modules, leaf = path.split("/")
    if modules[0] in ("conv1", "bn1"):
        return array_source({"conv1": "_conv_stem", "bn1": "_bn0"}[modules[0]], leaf, shape)
    stage, block = map(int, re.findall(r"\d+", modules[0]))
    number = sum(before.blocks for before in STAGES[: stage - 1]) + block
    return array_source(f"_blocks.{number}.{LITE_LAYERS[modules[1]]}", leaf, shape)


def array_source(module: str, leaf: str, shape: tuple[int, ...]) -> Source:
    """Return the source of an array of a layer that both sides have: vectors, linear layers, convolutions."""
    axes = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}[len(shape)]
    there = tuple(shape[axes.index(axis)] for axis in range(len(shape)))
    return Source(f"{module}.{LEAVES[leaf]}", there, lambda array: array.transpose(axes))


def converted(
    state: Mapping[str, np.ndarray],
    like: PyTree[Any],
    source_of: Callable[[str, tuple[int, ...]], Source],
    ignored: tuple[str, ...],
    what: str,
) -> PyTree[np.ndarray]:
    """Convert a state dict to our arrays, in float32.

    Args:
        state: names and arrays of the file.
        like: our arrays or their shapes.
        source_of: from the path of one of our arrays ("params/...") and its shape to its source.
        ignored: patterns of names that the file may have and our network doesn't.
        what: the beginning of the error message.

    Raises:
        ValueError: names, shapes or types differ; the first ones are listed.
    """
    flat, structure = jax.tree_util.tree_flatten_with_path(like)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat]
    sources = [source_of(path, tuple(leaf.shape)) for path, (_, leaf) in zip(paths, flat, strict=True)]
    expected = {source.name for source in sources}
    unknown = [name for name in state if name not in expected and not any(re.fullmatch(p, name) for p in ignored)]
    problems = dict.fromkeys(problem for source in sources if (problem := _problem(state, source)))
    lines = [*problems, *(f"{name[:MAX_REASON]}: in the file, not in the network" for name in unknown)]
    if lines:
        more = [f"and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
        raise ValueError(f"{what}; {len(lines)} arrays differ:\n  " + "\n  ".join(lines[:LISTED] + more))
    arrays = [source.convert(state[source.name].astype(np.float32)) for source in sources]
    for array, (_, leaf), source in zip(arrays, flat, sources, strict=True):
        assert array.shape == tuple(leaf.shape), source.name
    return jax.tree_util.tree_unflatten(structure, [np.ascontiguousarray(array) for array in arrays])


def _problem(state: Mapping[str, np.ndarray], source: Source) -> str | None:
    """Return what is wrong with the array that a source needs, in one line."""
    if source.name not in state:
        return f"{source.name}: missing"
    array = state[source.name]
    if array.shape != source.shape:
        return f"{source.name}: {list(array.shape)} in the file, {list(source.shape)} in the network"
    if not _is_floating(array.dtype):
        return f"{source.name}: {array.dtype} in the file, floating point in the network"
    if not np.isfinite(array.astype(np.float32)).all():
        return f"{source.name}: holds values that are not finite in float32"
    return None


def _is_floating(dtype: np.dtype) -> bool:
    return jax.numpy.issubdtype(dtype, jax.numpy.floating)


def _find_state_dict(content: Any, path: Path) -> dict[str, TorchTensor]:
    """Return the state dict of what was saved: itself, or under one of the usual names."""
    held = content
    if isinstance(content, Mapping):
        held = next((content[name] for name in WRAPPERS if isinstance(content.get(name), Mapping)), content)
    if isinstance(held, Mapping):
        tensors = {str(name): value for name, value in held.items() if isinstance(value, TorchTensor)}
        if tensors and len(tensors) == len(held):
            return tensors
    names = sorted(map(str, content))[:10] if isinstance(content, Mapping) else type(content).__name__
    raise ValueError(f"{path} holds no state dict (names to tensors), neither by itself nor under {WRAPPERS}: {names}")


def split_rows(shape: tuple[int, ...], part: int, parts: int) -> tuple[tuple[int, ...], slice]:
    """Return the shape of `parts` arrays of PyTorch's `shape` stacked along the first axis, and the rows of one of
    them.
    """
    rows = shape[0]
    return (parts * rows, *shape[1:]), slice(part * rows, (part + 1) * rows)


def heads_source(module: str, leaf: str, shape: tuple[int, ...], role: str) -> Source:
    """Return the source of an array of multi-head attention, whose query, key and value projections PyTorch stacks.

    Args:
        module: PyTorch's name of the attention.
        leaf: "kernel" or "bias".
        shape: ours; projections are [in, head, channel], [head, channel]; the output's is [head, channel, out], [out].
        role: "query", "key", "value" or "out".
    """
    if role == "out":
        there = (shape[-1], math.prod(shape[:-1])) if leaf == "kernel" else shape
        return Source(f"{module}.out_proj.{LEAVES[leaf]}", there, lambda array: array.T.reshape(shape))
    width = shape[-2] * shape[-1]
    one = (width, shape[0]) if leaf == "kernel" else (width,)
    there, rows = split_rows(one, ("query", "key", "value").index(role), 3)
    return Source(f"{module}.in_proj_{LEAVES[leaf]}", there, lambda array: array[rows].T.reshape(shape))
