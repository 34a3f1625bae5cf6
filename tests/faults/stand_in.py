"""A network of one layer in the place of OccRobNet: what a fault does to a run doesn't depend on the network.

It has everything that a resumed run could get wrong: batch statistics, an optimiser with state, randomness by step.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float

from occrobnet_jax.parallel.fsdp import Gather, as_they_are
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.state import TrainState
from occrobnet_jax.training import setup
from occrobnet_jax.training.metric_window import StepMetrics
from occrobnet_jax.training.step import TrainStep
from occrobnet_jax.types import Batch


class StandIn(nn.Module):
    """Wrists from a picture of 8 x 8 pixels."""

    @nn.compact
    def __call__(self, image: Array, *, train: bool) -> Float[Array, "b 6"]:
        """One layer behind batch normalisation and dropout."""
        small = jax.image.resize(image.astype(jnp.float32) / 255, (len(image), 8, 8, 3), "linear").reshape(-1, 192)
        small = nn.BatchNorm(use_running_average=not train)(small)
        small = nn.Dropout(0.1, deterministic=not train)(nn.relu(nn.Dense(256)(small)))
        return nn.Dense(6)(small)


def train_step_of(
    experiment: Experiment, model: nn.Module, optimizer: optax.GradientTransformation, gather: Gather = as_they_are
) -> TrainStep:
    """Least squares; with the signature of `step.make_train_step`."""

    def loss_of(params: Any, state: TrainState, batch: Batch) -> tuple[Array, Any]:
        found, changed = model.apply(
            {"params": gather(params), "batch_stats": state.batch_stats},
            batch.image,
            train=True,
            rngs={"dropout": jax.random.fold_in(jax.random.key(experiment.seed), state.step)},
            mutable=["batch_stats"],
        )
        wanted = batch.root_cam_m.reshape(-1, 6)
        return jnp.square(found - wanted).mean(), changed["batch_stats"]

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        (loss, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params, state, batch)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, batch_stats, state.averaged, opt_state), StepMetrics.of(
            {"loss": loss}
        )

    return train_step


def use_stand_in() -> None:
    """From now on runs are built with it."""
    setup.make_model = lambda experiment: StandIn()  # type: ignore[assignment, return-value]
    setup.make_train_step = train_step_of
