"""The weights that a new run starts with: drawn ones, a pretrained backbone, or those of another network."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from occrobnet_jax.files.hashes import file_sha256
from occrobnet_jax.files.paths import AnyPath, local_path_of, path_of
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.state import TrainState, leaves_by_path
from occrobnet_jax.runs.trained import read_trained
from occrobnet_jax.weights.pretrained import load_backbone

BACKBONE = "backbone"


def with_weights(state: TrainState, experiment: Experiment) -> tuple[TrainState, str]:
    """Return a new run's state with the weights that the config names, and which they are, with SHA-256.

    Raises:
        ValueError: see `with_backbone` and `initialize_from`.
    """
    began_with = f"drawn from seed {experiment.seed}"
    if file := experiment.model.backbone_weights:
        path = local_path_of(file)
        state = with_backbone(state, path)
        began_with = f"backbone of {file} (SHA-256 {file_sha256(path)}), the rest {began_with}"
    if experiment.init_from:
        state, report = initialize_from(experiment.init_from, state, experiment.init_may_differ, experiment.init_parts)
        began_with = f"{report}\n  before that: {began_with}"
    return state, began_with


def with_backbone(state: TrainState, path: Path) -> TrainState:
    """Return the state with the backbone's weights and statistics from a file of torchvision's or timm's.

    Raises:
        ValueError: the file can't be read or doesn't fit the backbone.
    """
    like = {"params": state.params[BACKBONE], "batch_stats": state.batch_stats[BACKBONE]}
    loaded = load_backbone(path, like)
    return _with_leaves(state, {f"{kind}/{BACKBONE}/{name}": leaf for kind, name, leaf in _by_kind(loaded)})


def initialize_from(
    path: AnyPath | str, state: TrainState, may_differ: tuple[str, ...] = (), parts: tuple[str, ...] = ()
) -> tuple[TrainState, str]:
    """Return a new run's state with the weights and batch statistics of another run's checkpoint, as far as both have
    them.

    Args:
        path: workdir, the folder of one checkpoint, or a network's file.
        state: the new run's, freshly drawn.
        may_differ: parts of the network, such as "decoder/queries" or "class_head", whose arrays stay as they were
            drawn where the checkpoint's have another shape.
        parts: those that take the checkpoint's weights, where not all do.

    Returns:
        The state, and what was taken and what was not, in words.

    Raises:
        ValueError: there is no such checkpoint, it is damaged, it has nothing that the network could take, or an
            array has another shape and is not in a part that may differ; all of these are listed.
    """
    restored = read_trained(path_of(path))
    weights = restored.variables
    new = leaves_by_path({"params": state.params, "batch_stats": state.batch_stats})
    stored = leaves_by_path(weights)
    common = [name for name in new if name in stored and (not parts or _is_in(name, parts))]
    reshaped = [name for name in common if new[name].shape != stored[name].shape]
    refused = [name for name in reshaped if not _is_in(name, may_differ)]
    if refused:
        lines = [f"  {name}: expected {list(new[name].shape)}, got {list(stored[name].shape)}" for name in refused]
        raise ValueError(
            f"init_from={path}: {len(refused)} arrays have another shape there; parts that shall start anew are named "
            "in config.init_may_differ\n" + "\n".join(lines)
        )
    taken = {name: stored[name] for name in common if name not in reshaped}
    if not taken:
        where = f" in init_parts={parts}" if parts else ""
        raise ValueError(
            f"init_from={path} has no array that this network has{where}; it is the checkpoint of another network"
        )
    left_new = [name for name in new if name not in taken]
    unused = [name for name in stored if name not in taken]
    report = (
        f"init_from={path}: {len(taken)} of {len(new)} arrays taken, of step {restored.step} "
        f"(SHA-256 {restored.sha256})\n"
        f"  not in it, start anew: {_listed(set(left_new) - set(reshaped))}\n"
        f"  of another shape, start anew: {_listed(reshaped)}\n"
        f"  in it, not used: {_listed(set(unused) - set(reshaped))}"
    )
    return _with_leaves(state, taken), report


def _with_leaves(state: TrainState, leaves: dict[str, Any]) -> TrainState:
    """Return the state with some of its variables replaced, laid out as they were; averages start from the same
    weights.
    """

    def replaced(path: tuple, leaf: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return jax.device_put(np.asarray(leaves[name], leaf.dtype), leaf.sharding) if name in leaves else leaf

    old = {"params": state.params, "batch_stats": state.batch_stats}
    variables = jax.tree_util.tree_map_with_path(replaced, old)
    averaged = None if state.averaged is None else jax.tree.map(jnp.copy, variables["params"])
    return dataclasses.replace(state, averaged=averaged, **variables)


def _by_kind(variables: dict[str, Any]) -> list[tuple[str, str, Any]]:
    return [(kind, name, leaf) for kind, tree in variables.items() for name, leaf in leaves_by_path(tree).items()]


def _is_in(name: str, parts: tuple[str, ...]) -> bool:
    """Return whether an array, such as "params/decoder/queries", belongs to one of the parts."""
    module = name.split("/", 1)[1]
    return any(module == part or module.startswith(f"{part}/") for part in parts)


def _listed(names: Any) -> str:
    """Return the parts that arrays belong to, with how many of them each has."""
    parts = Counter("/".join(name.split("/")[1:3]) for name in names)
    return ", ".join(f"{part} ({count})" for part, count in sorted(parts.items())) or "nothing"
