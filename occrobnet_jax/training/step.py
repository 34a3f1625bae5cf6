"""One step of training, as a pure function, and its compilation for a mesh."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree

from occrobnet_jax.models.keypoints import teacher_keypoints
from occrobnet_jax.parallel.mesh import batch_sharding, replicated, state_sharding
from occrobnet_jax.training import losses
from occrobnet_jax.training.experiment import Experiment
from occrobnet_jax.training.optimiser import schedule, update_average
from occrobnet_jax.training.state import TrainState
from occrobnet_jax.types import Batch, Predictions

FORCING_STREAM = 1  # of a step's random numbers

Metrics = dict[str, Float[Array, ""]]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def make_train_step(experiment: Experiment, model: nn.Module, optimiser: optax.GradientTransformation) -> TrainStep:
    """A pure function from the state and a global batch to the next state and what is worth logging.

    Randomness comes from the seed and the step's number alone, so a resumed run draws what the undisturbed one did.
    """
    config = experiment.optimizer

    def loss_of(params: PyTree[Array], state: TrainState, batch: Batch) -> tuple[Float[Array, ""], tuple]:
        predictions, changed = _forward(experiment, model, params, state, batch)
        terms = losses.losses(predictions, batch, experiment.model, experiment.loss_in_use)
        return losses.total(terms), (terms, predictions, changed["batch_stats"])

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        gradients = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (terms, predictions, batch_stats)), gradient = gradients(state.params, state, batch)
        updates, opt_state = optimiser.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        averaged = state.averaged
        if averaged is not None:
            averaged = update_average(averaged, params, state.step + 1, config.average_decay)
        metrics = {"loss": loss} | {f"loss/{name}": _mean(*term) for name, term in terms.items()}
        metrics |= _norms(gradient) | _activity(predictions)
        metrics["learning_rate"] = config.learning_rate * schedule(config, experiment.total_steps, state.step)
        return TrainState(state.step + 1, params, batch_stats, averaged, opt_state), metrics

    return train_step


def compile_for(mesh: Mesh, step: TrainStep, state: PyTree[jax.ShapeDtypeStruct], fsdp_min_elements: int) -> TrainStep:
    """The step for a mesh: the batch comes split over all devices, the state stays where it lives.

    With these layouts given, XLA finds the rest: it sums gradients over devices and, under fsdp, gathers parameters
    before their layer and drops them after it. The old state's memory is handed over to the new one.
    """
    placed = state_sharding(state, mesh, fsdp_min_elements)
    return jax.jit(
        step,
        in_shardings=(placed, batch_sharding(mesh)),
        out_shardings=(placed, replicated(mesh)),
        donate_argnums=0,
    )


def forced_share(experiment: Experiment, step: Int[Array, ""]) -> Float[Array, ""]:
    """Share of the examples that take true keypoints at a step, counted from 0 (scheduled sampling, where it fades)."""
    left = experiment.teacher_forced_steps + experiment.teacher_fading_steps - step
    return jnp.clip(left / max(1, experiment.teacher_fading_steps), 0.0, 1.0)


def _forward(
    experiment: Experiment, model: nn.Module, params: PyTree[Array], state: TrainState, batch: Batch
) -> tuple[Predictions, dict[str, PyTree[Array]]]:
    """Predictions and new batch statistics; true keypoints in place of detected ones as the schedule wants it."""
    key = jax.random.fold_in(jax.random.key(experiment.seed), state.step)
    forcing: dict[str, Any] = {}
    if experiment.teacher_forced_steps + experiment.teacher_fading_steps:
        drawn = jax.random.uniform(jax.random.fold_in(key, FORCING_STREAM), batch.image.shape[:1])
        forced = teacher_keypoints(batch, experiment.model)
        forcing = {"forced": forced, "use_forced": drawn < forced_share(experiment, state.step)}
    predictions, changed = model.apply(
        {"params": params, "batch_stats": state.batch_stats},
        batch.image,
        train=True,
        rngs={"dropout": key},
        mutable=["batch_stats"],
        **forcing,
    )
    return predictions, dict(changed)


def _mean(total: Float[Array, ""], count: Float[Array, ""]) -> Float[Array, ""]:
    return total / jnp.maximum(count, 1.0)


def _norms(gradient: PyTree[Array]) -> Metrics:
    """Length of the gradient, of each block of the network and of all together."""
    blocks = {f"gradient_norm/{block}": optax.tree.norm(part) for block, part in gradient.items()}
    return {"gradient_norm": optax.tree.norm(gradient)} | blocks


def _activity(predictions: Predictions) -> Metrics:
    """Whether the network's discontinuous parts are alive: keypoints found in an image, gates driven to 0 or 1."""
    return {
        "keypoints_per_image": predictions.keypoints.valid.sum(-1).mean(dtype=jnp.float32),
        "saturated_gates": predictions.saturated_gates,
    }
