"""Runs a network over a split and gathers what its metrics need; train.py and eval.py both use it."""

import dataclasses
import functools
import itertools
import json
import math
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array

from input_pipeline.pipeline import eval_batches, open_split, split_size
from occrobnet_jax.evaluation.formats import records as records_of
from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.mean_pose import mean_pose
from occrobnet_jax.evaluation.metrics.metrics import PROTOCOL, Metrics, compute_metrics
from occrobnet_jax.evaluation.metrics.switches import data_switches
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.geometry.root_depth import PRIOR_DEPTH_M
from occrobnet_jax.models.decode import decode
from occrobnet_jax.parallel import hosts, watchdog
from occrobnet_jax.parallel.compiler import fast_programs
from occrobnet_jax.parallel.mesh import batch_sharding, check_batch_size, place_batch, platform_of
from occrobnet_jax.parallel.packed_batch import PackedBatch
from occrobnet_jax.progress import progress
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.state import Variables
from occrobnet_jax.types import Pose, Predictions

MustEnd = Callable[[], bool]
PredictStep = Callable[[Variables, PackedBatch], Pose]


class Interrupted(Exception):
    """An evaluation was asked to end before its last batch."""


def never() -> bool:
    """For an evaluation that nobody asks to end."""
    return False


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """A network's result on a split, the same on every host."""

    metrics: Metrics
    records: Records
    setting: Setting

    @property
    def switches(self) -> Mapping[str, Any]:
        """Of the protocol."""
        return self.setting.switches


def make_predict_step(experiment: Experiment, model: nn.Module, mesh: Mesh) -> PredictStep:
    """The compiled function from variables and a placed batch to poses, at the depth that the experiment says."""
    config, input_size_px = experiment.model, experiment.data.input_size_px

    def predict(variables: Variables, packed: PackedBatch) -> Pose:
        batch = packed.unpacked()
        predictions = typing.cast(Predictions, model.apply(variables, batch.image, train=False))
        depth_m = None
        if experiment.root_depth == "ground_truth":
            # A hand without a known wrist is not evaluated; it only must not become NaN.
            depth_m = jnp.where(batch.root_known, batch.root_cam_m[..., 2], PRIOR_DEPTH_M)
        return decode(predictions, batch.intrinsics, input_size_px, config, depth_m)

    options = fast_programs(platform_of(mesh), experiment.xla_flags)
    return jax.jit(predict, out_shardings=batch_sharding(mesh), compiler_options=options)


def make_evaluate(
    experiment: Experiment, model: nn.Module, mesh: Mesh, split: str, must_end: MustEnd = never
) -> Callable[[Variables], Evaluation]:
    """A function that evaluates variables on a split; it compiles once and reads the mean pose once, when first called.

    All hosts must call it, and each gets the whole result; or Interrupted, where `must_end` says so between batches.

    Raises:
        ValueError: the split or the training split can't be read, or the batch size doesn't divide.
    """
    data, size = experiment.data, experiment.global_batch_size
    check_batch_size(size, mesh)
    num_batches = math.ceil(split_size(data, split) / size)  # a missing split is told at once
    split_size(data, data.train_split)
    switches = data_switches(data, split) | {
        "mean_pose_split": data.train_split,
        "representation": experiment.model.representation,
        **_hand_switches(experiment),
        "root_depth": experiment.root_depth,
    }
    setting = functools.cache(
        lambda: Setting(data.input_size_px, mean_pose(open_split(data, data.train_split)), switches)
    )
    predict = make_predict_step(experiment, model, mesh)

    def evaluate(variables: Variables) -> Evaluation:
        batches = eval_batches(
            data,
            split,
            heatmap_stride=experiment.model.heatmap_stride,
            global_batch_size=size,
            host=hosts.host_index(),
            num_hosts=hosts.num_hosts(),
        )
        slots = experiment.model.max_joint_keypoints
        records = gather(lambda batch: predict(variables, batch), batches, num_batches, mesh, slots, must_end)
        return Evaluation(compute_metrics(records, setting()), records, setting())

    return evaluate


def gather(
    predict: Callable[[PackedBatch], Pose],
    batches: Iterator[dict[str, np.ndarray]],
    num_batches: int,
    mesh: Mesh,
    joint_slots: int,
    must_end: MustEnd = never,
) -> Records:
    """Records of all real examples of all hosts, in the order of the split.

    Of several hosts labels and keys travel the same way as predictions, so rows belong together however hosts and
    devices are laid out. A host that is alone keeps them.

    Args:
        predict: from a placed batch to poses.
        batches: this host's; equally many and equally large on every host.
        num_batches: for the progress bar.
        mesh: that `predict` runs on.
        joint_slots: keypoint slots of joints; those of the object come after them.
        must_end: asked between batches; the same on all hosts.

    Raises:
        Interrupted: `must_end` said so.
    """

    def hand_in(fields: dict[str, np.ndarray]) -> tuple[dict[str, Array], dict[str, np.ndarray]]:
        facts = {name: fields.pop(name) for name in records_of.FACTS if name in fields}
        labels = {name: fields[name] for name in (*records_of.LABELS, "is_real")}
        return columns(predict(place_batch(PackedBatch.of(fields), mesh))), labels | facts

    parts: list[Records] = []
    shown = progress(batches, "evaluating", num_batches, is_shown=hosts.is_lead())
    for on_devices, known in _one_behind(map(hand_in, shown)):
        if parts and must_end():
            raise Interrupted
        arrays = hosts.fetch(on_devices) | (known if hosts.num_hosts() == 1 else _of_all_hosts(known, mesh))
        parts.append(records_of.from_columns(arrays, joint_slots))
        watchdog.beat()
    together = records_of.concatenate(parts)
    return records_of.select(together, np.argsort(together["example_index"], kind="stable"))


def columns(pose: Pose) -> dict[str, Array]:
    """What the network says about a batch, under the names that records have for it."""
    said = {name: getattr(pose, name) for name in (*records_of.POSE, *records_of.ANGLES)}
    return {f"predicted_{name}": values for name, values in said.items() if values is not None}


def _one_behind(items: Iterable[Any]) -> Iterator[Any]:
    """Each item once the next has been made: the devices work on a batch while the host reads the one before."""
    return (item for item, _ in itertools.pairwise(itertools.chain(items, [None])))


def _of_all_hosts(fields: dict[str, np.ndarray], mesh: Mesh) -> dict[str, np.ndarray]:
    """The rows of all hosts, as one array of bytes: text and 64-bit integers don't travel over devices otherwise."""
    rows = [np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8) for values in fields.values()]
    everywhere = hosts.fetch(place_batch(np.concatenate(rows, axis=1), mesh))
    ends = np.cumsum([row.shape[1] for row in rows])
    parts = np.split(everywhere, ends[:-1], axis=1)
    return {
        name: np.ascontiguousarray(part).view(values.dtype).reshape(-1, *values.shape[1:])
        for (name, values), part in zip(fields.items(), parts, strict=True)
    }


def write_evaluation(evaluation: Evaluation, folder: Path, step: int) -> None:
    """Writes `predictions.npz` and `metrics.json` of a split into its folder."""
    records_of.save(folder / "predictions.npz", evaluation.records, evaluation.setting)
    protocol = {"words": PROTOCOL, "switches": {**evaluation.switches, "step": step}}
    content = {**evaluation.metrics, "protocol": protocol}
    write_atomically(folder / "metrics.json", json.dumps(content, indent=1, allow_nan=False) + "\n")


def _hand_switches(experiment: Experiment) -> dict[str, Any]:
    """Which points of which hand model the joints of a network of angles are."""
    model = experiment.model
    if model.representation != "angles":
        return {}
    return {"hand_model": f"MANO, {model.hand_joints}" if model.hand_model else "embedded"}
