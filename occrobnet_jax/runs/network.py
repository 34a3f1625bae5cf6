"""The network of an experiment."""

import jax.numpy as jnp

from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.runs.experiment import Experiment


def make_model(experiment: Experiment) -> OccRobNet:
    """Return the network in the experiment's compute dtype; parameters are float32 in any case."""
    return OccRobNet(experiment.model, dtype=jnp.dtype(experiment.compute_dtype))
