"""One step of training, as a pure function, and its compilation for a mesh."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from jax.sharding import Mesh, NamedSharding
from jaxtyping import Array, Bool, Float, Int, PyTree

from occrobnet_jax.models.keypoints import teacher_keypoints
from occrobnet_jax.models.ops.gradient_sums import gradient_sums
from occrobnet_jax.parallel.batch_program import BatchProgram
from occrobnet_jax.parallel.compiler import XlaFlags
from occrobnet_jax.parallel.fsdp import Gather, as_they_are
from occrobnet_jax.parallel.mesh import replicated
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.state import TrainState
from occrobnet_jax.training import losses
from occrobnet_jax.training.accumulation import Counts, Outcome, gradient_and_outcome
from occrobnet_jax.training.metric_window import StepMetrics
from occrobnet_jax.training.optimizer import block_norms, global_norm, schedule, update_average
from occrobnet_jax.types import Batch, Predictions

FORCING_STREAM = 1  # of a step's random numbers

Numbers = dict[str, Float[Array, ""]]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, StepMetrics]]
Given = TypeVar("Given")
CompiledStep = BatchProgram[Given, tuple[Given, StepMetrics]]


@struct.dataclass
class Inputs:
    """What one forward pass in training is given."""

    batch: Batch
    use_forced: Bool[Array, " b"] | None  # the examples that take true keypoints; None where no step has any


def make_train_step(
    experiment: Experiment, model: nn.Module, optimizer: optax.GradientTransformation, gather: Gather = as_they_are
) -> TrainStep:
    """Return a pure function from the state and a global batch to the next state and what is worth logging.

    Randomness comes from the seed and the step's number alone, so a resumed run draws what the undisturbed one did.
    `gather` makes parameters whole where devices keep slices of them.
    """
    config = experiment.optimizer

    def loss_of(
        params: PyTree[Array], batch_stats: PyTree[Array], inputs: Inputs, key: Array, counts: Counts | None
    ) -> tuple[Float[Array, ""], Outcome]:
        predictions, changed = _forward(experiment, model, gather(params), batch_stats, inputs, key)
        terms = losses.losses(predictions, inputs.batch, experiment.model, experiment.loss_in_use)
        return losses.total(terms, counts), Outcome(terms, _activity(predictions), changed["batch_stats"])

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        key = jax.random.fold_in(jax.random.key(experiment.seed), state.step)
        inputs = Inputs(batch, _draw_forced(experiment, state.step, key, len(batch.image)))
        gradient, outcome = gradient_and_outcome(
            loss_of,
            state.params,
            state.batch_stats,
            inputs,
            key,
            steps=experiment.accumulation_steps,
            dtype="float32" if experiment.gradient_sums == "float32" else experiment.compute_dtype,
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        averaged = state.averaged
        if averaged is not None:
            averaged = update_average(averaged, params, state.step + 1, config.average_decay)
        metrics = {"loss": losses.total(outcome.terms)}
        metrics |= {f"loss/{name}": _mean(*term) for name, term in outcome.terms.items()}
        metrics |= _norms(gradient) | outcome.activity
        metrics["learning_rate"] = config.learning_rate * schedule(config, experiment.total_steps, state.step)
        return TrainState(state.step + 1, params, outcome.batch_stats, averaged, opt_state), StepMetrics.of(metrics)

    return train_step


def compile_for(
    mesh: Mesh,
    step: Callable[[Given, Batch], tuple[Given, StepMetrics]],
    placed: PyTree[NamedSharding],
    xla_flags: XlaFlags = "default",
) -> CompiledStep[Given]:
    """Return the step for a mesh: the batch comes split over all devices, the state stays where it lives.

    With these layouts given, XLA finds the rest: it sums gradients over devices. The old state's memory is handed over
    to the new one.
    """
    return BatchProgram(step, mesh, xla_flags, given=placed, result=(placed, replicated(mesh)), donates=True)


def forced_share(experiment: Experiment, step: Int[Array, ""]) -> Float[Array, ""]:
    """Return the share of the examples that take true keypoints at a step, counted from 0 (scheduled sampling, where it
    fades).
    """
    left = experiment.teacher_forced_steps + experiment.teacher_fading_steps - step
    return jnp.clip(left / max(1, experiment.teacher_fading_steps), 0.0, 1.0)


def _draw_forced(experiment: Experiment, step: Int[Array, ""], key: Array, batch_size: int) -> Bool[Array, " b"] | None:
    """Return the examples of a global batch that take true keypoints in place of detected ones."""
    if not experiment.teacher_forced_steps + experiment.teacher_fading_steps:
        return None
    drawn = jax.random.uniform(jax.random.fold_in(key, FORCING_STREAM), (batch_size,))
    return drawn < forced_share(experiment, step)


def _forward(
    experiment: Experiment,
    model: nn.Module,
    params: PyTree[Array],
    batch_stats: PyTree[Array],
    inputs: Inputs,
    key: Array,
) -> tuple[Predictions, dict[str, PyTree[Array]]]:
    """Return predictions and new batch statistics."""
    forcing: dict[str, Any] = {}
    if inputs.use_forced is not None:
        forcing = {"forced": teacher_keypoints(inputs.batch, experiment.model), "use_forced": inputs.use_forced}
    with gradient_sums(experiment.gradient_sums):
        predictions, changed = model.apply(
            {"params": params, "batch_stats": batch_stats},
            inputs.batch.image,
            train=True,
            rngs={"dropout": key},
            mutable=["batch_stats"],
            **forcing,
        )
    return predictions, dict(changed)


def _mean(total: Float[Array, ""], count: Float[Array, ""]) -> Float[Array, ""]:
    return total / jnp.maximum(count, 1.0)


def _norms(gradient: PyTree[Array]) -> Numbers:
    """Return the length of the gradient, of each block of the network and of all together."""
    blocks = {f"gradient_norm/{block}": norm for block, norm in block_norms(gradient).items()}
    return {"gradient_norm": global_norm(gradient)} | blocks


def _activity(predictions: Predictions) -> Numbers:
    """Return whether the network's discontinuous parts are alive: keypoints found in an image, gates
    driven to 0 or 1.
    """
    return {
        "keypoints_per_image": predictions.keypoints.valid.sum(-1).mean(dtype=jnp.float32),
        "saturated_gates": predictions.saturated_gates,
    }
