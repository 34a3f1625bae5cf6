"""Every setting with its default: the records that `occrobnet_jax.training.experiment.Experiment` is made of."""

from ml_collections import ConfigDict

from occrobnet_jax.training.experiment import Experiment, config_of


def get_config() -> ConfigDict:
    """The paper's network with Keypoint Transformer's recipe; each experiment's file changes what it needs."""
    return ConfigDict(config_of(Experiment()))
