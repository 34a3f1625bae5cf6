"""Every setting with its default: the records that `occrobnet_jax.runs.experiment.Experiment` is made of."""

from ml_collections import ConfigDict

from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment


def get_config() -> ConfigDict:
    """Return the paper's network with Keypoint Transformer's recipe; each experiment's file changes what it needs."""
    return ConfigDict(config_of(Experiment()))
