"""The smallest training that goes through everything; a fault is the same whatever the network's size."""

from ml_collections import ConfigDict

from input_pipeline.config import DataConfig
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment
from tests.support.tiny import INPUT_SIZE_PX, LEAN_MODEL


def get_config() -> ConfigDict:
    """Twenty steps of eight examples with teacher-forced keypoints and without dropout."""
    experiment = Experiment(
        model=LEAN_MODEL,
        data=DataConfig(input_size_px=INPUT_SIZE_PX),
        global_batch_size=8,
        total_steps=20,
        teacher_forced_steps=20,
        log_every_steps=1,
        eval_every_steps=0,
        checkpoint_every_steps=5,
    )
    return ConfigDict(config_of(experiment))
