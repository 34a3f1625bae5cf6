"""A run of the tiny network without training: its variables are drawn, its checkpoint is written."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from input_pipeline.config import DataConfig
from occrobnet_jax.runs.checkpoint import CheckpointMeta, CheckpointWriter
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.state import TrainState
from tests.support.tiny import INPUT_SIZE_PX, tiny_model


def tiny_experiment(data_dir: Path, **model: Any) -> Experiment:
    """An experiment with the tiny network on a dataset of `fake_datasets`."""
    data = DataConfig(data_dir=str(data_dir), input_size_px=INPUT_SIZE_PX)
    return Experiment(model=tiny_model(**model), global_batch_size=8, data=data, compilation_cache_dir="")


def drawn_variables(experiment: Experiment, seed: int = 0) -> dict[str, Any]:
    """Variables of an experiment's network, as `drawn_for` says."""
    return drawn_for(make_model(experiment), seed)


def drawn_for(model: nn.Module, seed: int = 0) -> dict[str, Any]:
    """Variables of the network's shapes, drawn by NumPy: compiling the real initialisation takes far longer."""
    image = jnp.zeros((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), jnp.uint8)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    rng = np.random.default_rng(seed)
    weights = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(scale=0.1, size=leaf.shape), leaf.dtype), shapes)
    return weights | {"batch_stats": jax.tree.map(lambda leaf: jnp.ones(leaf.shape, leaf.dtype), shapes["batch_stats"])}


def write_run(workdir: Path, experiment: Experiment, step: int) -> None:
    """Leaves in a workdir the checkpoint that a run of so many steps would."""
    state = TrainState(
        step=jnp.asarray(step), averaged=None, opt_state={"count": jnp.zeros(())}, **drawn_variables(experiment)
    )
    with CheckpointWriter(workdir, 3) as checkpoints:
        checkpoints.save(state, CheckpointMeta(step, 8 * step, config_of(experiment), "", ""))
