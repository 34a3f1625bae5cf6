"""AdamW with learning-rate groups, its schedule, the gradient's length, and the moving average of the weights."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, Float, Int, PyTree

from occrobnet_jax.models.backbone import is_frozen
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.runs.experiment import OptimizerConfig

DROP_AT, DROP_TO = 0.8, 0.1
"""The schedule "drop": from this share of the steps on, the learning rate is this factor lower."""

FEWEST_OF_MATRIX = 8  # inputs and outputs, for Muon

FROZEN_BATCH_NORMS = ("bn1", "bn2", "bn3")
"""BatchNorm layers of the backbone whose scale and offset stay as they are unless `model.batch_norm` is "trained": all
with "bn" in their name in PyTorch, so not the shortcuts' (Keypoint Transformer)."""


def make_optimizer(config: OptimizerConfig, model: ModelConfig, total_steps: int) -> optax.GradientTransformation:
    """Return clipping, AdamW and the learning rate, as PyTorch applies them to parameter groups.

    Weight decay is scaled by a group's learning rate, and frozen parameters do not decay either.
    """

    def scale_groups(updates: PyTree[Array], params: PyTree[Array]) -> PyTree[Array]:
        del params
        return jax.tree_util.tree_map_with_path(
            lambda path, update: update * group_rate(config, model, _names(path)), updates
        )

    return optax.chain(
        clip_by_norm(config.clip_norm) if config.clip_norm else optax.identity(),
        _preconditioner(config, model),
        optax.add_decayed_weights(config.weight_decay),
        optax.stateless(scale_groups),
        optax.scale_by_learning_rate(lambda step: schedule(config, total_steps, step)),
    )


def _preconditioner(config: OptimizerConfig, model: ModelConfig) -> optax.GradientTransformation:
    """Return the direction of a step. Muon's has the same size for every shape, so that rates mean what they do for
    Adam.

    Vectors, more than half of all arrays, are Adam's as one: fewer operations in a program, fewer arrays in a state. No
    device holds slices of them (`parallel.mesh`), which would have to be gathered. What is frozen has no state.

    Source: Jordan et al., Muon (2024); Liu et al., arXiv 2502.16982, for the size.
    """
    is_muon = config.preconditioner == "muon"
    adam = optax.scale_by_adam(config.beta1, config.beta2, nesterov=is_muon)  # as beside optax's Muon
    rest = _without_empty_nodes(_muon(config) if is_muon else adam)
    kinds = {"vectors": optax.flatten(adam), "rest": rest, "frozen": optax.set_to_zero()}
    return optax.partition(kinds, functools.partial(_kinds, config, model))


def _without_empty_nodes(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Spare `inner` the nodes that `optax.partition` leaves in the places of others' arrays.

    Its state would hold them for good, and the host walk through them twice at every step: a tenth of its time.
    """

    def update(updates: Any, state: optax.OptState, params: Any = None) -> tuple[Any, optax.OptState]:
        pruned, state = inner.update(_pruned(updates), state, _pruned(params))
        return jax.tree.unflatten(jax.tree.structure(updates), jax.tree.leaves(pruned)), state

    return optax.GradientTransformation(lambda params: inner.init(_pruned(params)), update)


def _pruned(tree: Any) -> Any:
    """Return nested dictionaries without the entries that hold no array."""
    if not isinstance(tree, dict):
        return tree
    entries = {name: _pruned(entry) for name, entry in tree.items()}
    return {name: entry for name, entry in entries.items() if jax.tree.leaves(entry)}


def _muon(config: OptimizerConfig) -> optax.GradientTransformation:
    return optax.contrib.muon(
        learning_rate=-1.0,  # optax turns the sign here, and rate and sign come last in our chain
        adam_b1=config.beta1,
        adam_b2=config.beta2,
        consistent_rms=config.muon_rms,
        muon_weight_dimension_numbers=functools.partial(matrices, most_elements=config.muon_most_elements),
    )


def _kinds(config: OptimizerConfig, model: ModelConfig, params: PyTree[Any]) -> PyTree[str]:
    def kind(path: tuple[jax.tree_util.DictKey, ...], leaf: Any) -> str:
        if group_rate(config, model, _names(path)) == 0:
            return "frozen"
        return "vectors" if leaf.ndim == 1 else "rest"

    return jax.tree_util.tree_map_with_path(kind, params)


def matrices(params: PyTree[Any], most_elements: int = 0) -> PyTree[optax.contrib.MuonDimensionNumbers | None]:
    """Return for each parameter which axes are inputs and which outputs, or None where AdamW trains it, not Muon.

    It has the matrices between features: no tables (queries, position maps), no layers with few outputs, such as those
    that say a position, no depthwise kernels, and none of more than `most_elements`, where that is not 0.
    """

    def axes(path: tuple[jax.tree_util.DictKey, ...], weights: Any) -> optax.contrib.MuonDimensionNumbers | None:
        if _names(path)[-1] != "kernel" or (most_elements and math.prod(weights.shape) > most_elements):
            return None
        # Attention's projections hold heads in axes of their own, behind the inputs, or before the outputs.
        outputs = 2 if weights.ndim == 3 and _names(path)[-2] != "out" else 1
        split = weights.ndim - outputs
        is_depthwise = weights.ndim == 4 and weights.shape[2] == 1
        if is_depthwise or min(math.prod(weights.shape[:split]), math.prod(weights.shape[split:])) < FEWEST_OF_MATRIX:
            return None
        return optax.contrib.MuonDimensionNumbers(tuple(range(split)), tuple(range(split, weights.ndim)))

    return jax.tree_util.tree_map_with_path(axes, params)


def group_rate(config: OptimizerConfig, model: ModelConfig, path: tuple[str, ...]) -> float:
    """Return the learning rate, before the schedule, of the parameter at `path` (module names, outermost first)."""
    in_backbone = path[0] == "backbone"
    if in_backbone and model.batch_norm != "trained" and not set(FROZEN_BATCH_NORMS).isdisjoint(path):
        return 0.0
    if in_backbone and is_frozen(path[1], model):
        return 0.0
    return config.backbone_learning_rate if in_backbone or path[0] == "unet" else config.learning_rate


def schedule(config: OptimizerConfig, total_steps: int, step: Int[Array, ""]) -> Float[Array, ""]:
    """Return the factor on all learning rates at a step, counted from 0."""
    rising = jnp.minimum(1.0, (step + 1) / max(1, config.warmup_steps))
    progress = jnp.minimum(1.0, step / total_steps)
    match config.schedule:
        case "constant":
            return rising
        case "drop":
            return rising * jnp.where(progress < DROP_AT, 1.0, DROP_TO)
        case "step":
            return rising * config.decay_factor ** (step // config.decay_every_steps)
        case "cosine":
            return rising * 0.5 * (1 + jnp.cos(jnp.pi * progress))


def update_average(averaged: PyTree[Array], params: PyTree[Array], step: Int[Array, ""], decay: float) -> PyTree[Array]:
    """Move the average of the weights towards `params`, the weights after `step` steps.

    A young average forgets faster, by (1 + step) / (10 + step), or the random start would stay in it for long.
    """
    decay_now = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: old + (1 - decay_now) * (new - old), averaged, params)


def _names(path: tuple[jax.tree_util.DictKey, ...]) -> tuple[str, ...]:
    return tuple(str(entry.key) for entry in path)


def block_norms(gradient: PyTree[Array]) -> dict[str, Float[Array, ""]]:
    """Return the length of the gradient of each block of the network."""
    return {block: jnp.sqrt(_sum_of_squares(part)) for block, part in gradient.items()}


def global_norm(gradient: PyTree[Array]) -> Float[Array, ""]:
    """Return the length of the whole gradient; in a program that has the blocks' as well, their sums are shared."""
    return jnp.sqrt(sum(jnp.square(norm) for norm in block_norms(gradient).values()))


def clip_by_norm(longest: float) -> optax.GradientTransformation:
    """Shorten gradients that are longer, without turning them; optax's with `global_norm`."""

    def clip(gradient: PyTree[Array], _: Any) -> PyTree[Array]:
        factor = jnp.minimum(1.0, longest / global_norm(gradient))
        return jax.tree.map(lambda leaf: leaf * factor, gradient)

    return optax.stateless(clip)


def _sum_of_squares(tree: PyTree[Array]) -> Float[Array, ""]:
    """Sum the squares of all numbers; vectors are joined first, no other array is, since devices may hold slices of
    it.
    """
    leaves = jax.tree.leaves(tree)
    vectors = jnp.concatenate([jnp.zeros(1), *(leaf for leaf in leaves if leaf.ndim == 1)])
    return sum((jnp.square(leaf).sum() for leaf in leaves if leaf.ndim != 1), jnp.square(vectors).sum())
