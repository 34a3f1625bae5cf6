"""From a configuration to what a training run consists of, and to the state that it starts from."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import PyTree

from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.parallel.compiler import quick_jit
from occrobnet_jax.parallel.fsdp import as_they_are, gather_over
from occrobnet_jax.parallel.mesh import check_batch_size, make_mesh, platform_of, state_sharding
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.recipe import check_weights
from occrobnet_jax.runs.restore import restore_state
from occrobnet_jax.runs.state import TrainState, Variables, create_state, initial_variables
from occrobnet_jax.training.blank_batch import blank_batch
from occrobnet_jax.training.carried_state import Carried, Carrier
from occrobnet_jax.training.initialize import with_weights
from occrobnet_jax.training.kept_programs import can_be_kept, kept_step, kept_variables
from occrobnet_jax.training.optimizer import make_optimizer
from occrobnet_jax.training.step import CompiledStep, compile_for, make_train_step
from occrobnet_jax.training.utilization import step_at_peak_s


@dataclasses.dataclass(frozen=True)
class Run:
    """The parts of a training run, compiled when they are first called."""

    experiment: Experiment
    mesh: Mesh
    model: nn.Module
    state: PyTree[jax.ShapeDtypeStruct]  # shape, type and layout of each of its arrays
    create_state: Callable[[], TrainState]
    carrier: Carrier  # from a state to what the step takes and returns, and back
    train_step: CompiledStep[Carried]

    @property
    def num_parameters(self) -> int:
        """Weights of the network, which the optimiser changes."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.state.params))

    @property
    def step_at_peak_s(self) -> float | None:
        """Seconds that a step would take at the devices' published peak, if that is known."""
        return step_at_peak_s(self.experiment, self.mesh, self.model, self.state.variables)


class Position(NamedTuple):
    """How far a run has come."""

    step: int
    examples_seen: int
    is_evaluated: bool = True  # whether this step's evaluation, if one is due, is done

    def after(self, step: int, global_batch_size: int) -> "Position":
        """Return the position at a later step."""
        return Position(step, self.examples_seen + (step - self.step) * global_batch_size)


def build(experiment: Experiment, devices: list[jax.Device] | None = None, *, keeps_programs: bool = False) -> Run:
    """Put a run together, on all devices unless some are given.

    Args:
        experiment: what to train.
        devices: to train on.
        keeps_programs: whether what was traced is kept for the next start, and taken from an earlier one.

    Raises:
        ValueError: mesh, batch size and devices don't go together.
    """
    mesh = make_mesh(experiment.mesh, devices)
    check_batch_size(experiment.global_batch_size, mesh, experiment.accumulation_steps)
    model = make_model(experiment)
    optimizer = make_optimizer(experiment.optimizer, experiment.model, experiment.total_steps)
    keeps_programs = keeps_programs and can_be_kept(experiment, mesh)
    seed = np.asarray(experiment.seed).astype(np.int32)  # as `jax.random.key` takes it

    def draw(seed: jax.Array) -> Variables:
        return initial_variables(model, seed, experiment.data.input_size_px)

    if keeps_programs:
        draw = kept_variables(draw, experiment, seed)

    def create(seed: jax.Array) -> TrainState:
        return create_state(draw(seed), optimizer, average=experiment.optimizer.average_decay > 0)

    shapes = jax.eval_shape(create, seed)
    placed = state_sharding(shapes, mesh, experiment.mesh.fsdp_min_elements)
    compute_dtype = jnp.dtype(experiment.compute_dtype)
    gather = gather_over(mesh, placed.params, compute_dtype) if mesh.shape["fsdp"] > 1 else as_they_are
    train_step = make_train_step(experiment, model, optimizer, gather)
    if keeps_programs:
        train_step = kept_step(train_step, experiment, shapes, blank_batch(experiment))
    carrier = Carrier(shapes)
    return Run(
        experiment=experiment,
        mesh=mesh,
        model=model,
        state=jax.tree.map(_with_sharding, shapes, placed),
        create_state=functools.partial(quick_jit(create, platform_of(mesh), out_shardings=placed), seed),
        carrier=carrier,
        train_step=compile_for(mesh, carrier.step(train_step), carrier.carried(placed), experiment.xla_flags),
    )


@contextlib.contextmanager
def compiled_meanwhile(run: Run) -> Iterator[None]:
    """Compile the training step in a thread of its own while the body is busy with something else.

    Traced it is before: that is Python's work, and of two such threads each only waits for the other. JAX keeps the
    program, so that the step's first call finds it. The body's end waits for the compiler, except after an error in
    the body: that is told at once, though a process without others ends only after the compiler has.

    Raises:
        Exception: what the tracing raised, at once, or the compiler, at the body's end.
    """
    traced = run.train_step.trace(run.carrier.carried(run.state), blank_batch(run.experiment)).lower()
    pool = ThreadPoolExecutor(1, "compile")
    program = pool.submit(traced.compile)
    pool.shutdown(wait=False)
    yield
    program.result()


def restore_or_create(run: Run, workdir: AnyPath) -> tuple[TrainState, Position, str]:
    """Return where to go on from: the workdir's newest sound checkpoint, else a new state, whose weights may be
    another's.

    Returns:
        The state, how far it has come, and which weights the run began with, in words.

    Raises:
        ValueError: a checkpoint or a file of weights doesn't fit the config, there is none in `init_from`, or none is
            named though the recipe needs it.
    """
    restored = restore_state(workdir, run.state)
    if restored is not None:
        state, meta = restored
        return state, Position(meta.step, meta.examples_seen, is_evaluated=bool(meta.metrics)), meta.began_with
    check_weights(run.experiment.recipe, run.experiment.model.backbone_weights, run.experiment.init_from)
    state, began_with = with_weights(run.create_state(), run.experiment)
    return state, Position(0, 0), began_with


def _with_sharding(shape: jax.ShapeDtypeStruct, sharding: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)
