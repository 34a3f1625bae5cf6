"""The error that 2.5D's bins leave at best: `python -m tools.bins_floor --config=configs/X.py [--split=val]`.

A network that put every maximum into the right bin would have this MPJPE on the split: what training in 2.5D is to be
compared with (method: encode the truth as 1D heatmaps, decode their maxima at the true depth of the wrist).
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from input_pipeline.pipeline import eval_batches, open_split, split_size
from occrobnet_jax import command_line
from occrobnet_jax.evaluation.evaluate import gather
from occrobnet_jax.evaluation.formats.records import Setting, in_chunks
from occrobnet_jax.evaluation.metrics.mean_pose import mean_pose
from occrobnet_jax.evaluation.metrics.metrics import Metrics, compute_metrics
from occrobnet_jax.models.decode import decode
from occrobnet_jax.parallel.mesh import make_mesh
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.training.targets import axis_targets
from occrobnet_jax.types import Batch, Pose, Predictions


def bins_floor(experiment: Experiment, split: str) -> Metrics:
    """Return the metrics of the truth, once it went through the bins; only those of the pose mean something.

    Raises:
        ValueError: the experiment isn't one in 2.5D, or the split can't be read.
    """
    if experiment.model.representation != "2.5d":
        raise ValueError(f"only 2.5d has bins, not {experiment.model.representation!r}: set model.representation=2.5d")
    data, size, mesh = experiment.data, experiment.global_batch_size, make_mesh(experiment.mesh)
    batches = eval_batches(data, split, heatmap_stride=experiment.model.heatmap_stride, global_batch_size=size)
    num_batches = math.ceil(split_size(data, split) / size)
    perfect = jax.jit(functools.partial(perfect_pose, experiment))
    chunks = in_chunks(gather(perfect, batches, num_batches, mesh, experiment.model.max_joint_keypoints))
    setting = Setting(data.input_size_px, mean_pose(open_split(data, data.train_split)), {})
    return compute_metrics(chunks, setting, seed=None)


def perfect_pose(experiment: Experiment, batch: Batch) -> Pose:
    """Return the labels' own bins, decoded as the network's would be."""
    config = experiment.model
    heatmaps, _ = axis_targets(batch, config, experiment.loss.axis_sigma_bins)
    blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), _output_shapes(experiment, batch))
    predictions = dataclasses.replace(blank, axis_heatmaps=heatmaps[None])
    return decode(predictions, batch.intrinsics, experiment.data.input_size_px, config, batch.root_cam_m[..., 2])


def _output_shapes(experiment: Experiment, batch: Batch) -> Predictions:
    def predictions(image: jax.Array) -> Any:
        return make_model(experiment).init_with_output(jax.random.key(0), image, train=False)[0]

    shapes: Predictions = jax.eval_shape(predictions, batch.image)
    return shapes


def main(arguments: list[str]) -> None:
    """Print the floor of what the flags say."""
    if arguments:
        raise ValueError(f"bins_floor takes flags only, not {arguments[0]!r}")
    experiment = command_line.experiment_of(CONFIG)
    metrics = bins_floor(experiment, SPLIT.value or experiment.data.eval_split)
    print(f"mpjpe_mm {metrics['mpjpe_mm']:.3f} with {experiment.model.bins} bins, {experiment.model.axis_decoding}")


if __name__ == "__main__":
    CONFIG = command_line.define_config_flag()
    SPLIT = flags.DEFINE_string("split", None, "split to look at; config.data.eval_split by default")
    command_line.run(main)
