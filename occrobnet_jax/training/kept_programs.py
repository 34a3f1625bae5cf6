"""What a training run is made of, as an earlier start traced it: a third of a later start went into that.

The drawing of the network's parameters, and the step, which takes longest. The optimizer's state and the layout on the
devices are made anew around them. Programs for several devices are not kept: what `jax.export` does with their layouts
was not measured.
"""

import dataclasses

import jax
import numpy as np
from jax import export
from jax.sharding import Mesh

from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.kept_programs import Program, keep_program, path_for, read_program
from occrobnet_jax.runs.state import TrainState, leaves_by_path
from occrobnet_jax.training.metric_window import StepMetrics
from occrobnet_jax.training.step import TrainStep
from occrobnet_jax.types import Batch

export.register_pytree_node_serialization(
    StepMetrics,
    serialized_name="occrobnet_jax.StepMetrics",
    serialize_auxdata=lambda names: "\n".join(names[0]).encode(),
    deserialize_auxdata=lambda names: (tuple(bytes(names).decode().split("\n")),),
)


def can_be_kept(experiment: Experiment, mesh: Mesh) -> bool:
    """Return whether programs of an experiment are made of what a digest covers, and of one device."""
    return mesh.size == 1 and not experiment.model.hand_model


def kept_variables(function: Program, experiment: Experiment, seed: np.ndarray) -> Program:
    """Return the function that draws a network's variables from a seed, kept or traced.

    Args:
        function: pure.
        experiment: that it is of; the seed is an argument, so that runs that differ in it alone share a program.
        seed: an example of its argument.
    """
    path = path_for("variables", dataclasses.asdict(dataclasses.replace(experiment, seed=0)))
    if path is None:
        return function
    return read_program(path) or keep_program(path, function, seed)


def kept_step(step: TrainStep, experiment: Experiment, state: TrainState, batch: Batch) -> TrainStep:
    """Return a training step, kept or traced.

    Args:
        step: pure.
        experiment: that it is of.
        state: its arrays' shapes.
        batch: a global one; shapes and types count.
    """
    shapes = {name: (leaf.shape, leaf.dtype) for name, leaf in leaves_by_path((state, batch)).items()}
    path = path_for("step", dataclasses.asdict(experiment), sorted(shapes.items()))
    if path is None:
        return step
    (leaves, state_tree), (rows, batch_tree) = jax.tree.flatten(state), jax.tree.flatten(batch)

    def flat_step(leaves: list[jax.Array], rows: list[jax.Array]) -> tuple[list[jax.Array], StepMetrics]:
        """Take and return lists: the optimizer's own kinds of trees can't be written down."""
        after, metrics = step(jax.tree.unflatten(state_tree, leaves), jax.tree.unflatten(batch_tree, rows))
        return jax.tree.leaves(after), metrics

    program = read_program(path) or keep_program(path, flat_step, leaves, rows)

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        after, metrics = program(jax.tree.leaves(state), jax.tree.leaves(batch))
        return jax.tree.unflatten(state_tree, after), metrics

    return train_step
