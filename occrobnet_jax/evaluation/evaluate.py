"""Runs a network over a split, in chunks of records that its metrics are made of; train.py and eval.py both use it."""

import collections
import functools
import itertools
import json
import math
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Array

from input_pipeline.config import DataConfig
from input_pipeline.corruptions import Corruption
from input_pipeline.pipeline import eval_batches, open_split, split_size
from input_pipeline.splits import MissingSplit
from occrobnet_jax.evaluation.formats import records as records_of
from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.hand_prior import hand_covariance
from occrobnet_jax.evaluation.metrics.mean_pose import equally_spaced, mean_pose
from occrobnet_jax.evaluation.metrics.metrics import PROTOCOL, Metrics, check_finite, compute_metrics
from occrobnet_jax.evaluation.metrics.switches import data_switches
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.geometry.root_depth import PRIOR_DEPTH_M
from occrobnet_jax.models.decode import decode
from occrobnet_jax.parallel import hosts, watchdog
from occrobnet_jax.parallel.batch_program import BatchProgram
from occrobnet_jax.parallel.mesh import batch_sharding, check_batch_size, place_batch
from occrobnet_jax.progress import progress
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.state import Variables
from occrobnet_jax.types import Batch, Pose, Predictions

MustEnd = Callable[[], bool]
PredictStep = BatchProgram[Variables, Pose]


@typing.runtime_checkable
class Predict(typing.Protocol):
    """From variables to the records of a split, in chunks; all hosts go through them, the lead gets them."""

    def __call__(self, variables: Variables, corruption: Corruption | None = None) -> Iterator[Records]:
        """Return the records of the split as it is, or corrupted."""


class Interrupted(Exception):
    """An evaluation was asked to end before its last batch."""


def never() -> bool:
    """Return False: nobody asks this evaluation to end."""
    return False


class Evaluation(NamedTuple):
    """What a network scores on a split; both are empty on hosts other than the lead."""

    metrics: Metrics
    shown: Records  # of a few examples, for pictures


def make_evaluate(
    experiment: Experiment, model: nn.Module, mesh: Mesh, split: str, must_end: MustEnd = never, num_shown: int = 0
) -> Callable[[Variables], Evaluation]:
    """Return a function that evaluates variables on a split and keeps nothing of single examples but `num_shown`.

    Those lie at equal distances through the split, and are the same every time. All hosts must call the function.

    Raises:
        ValueError: the split or the training split can't be read, or the batch size doesn't divide.
    """
    predict, setting = make_predict(experiment, model, mesh, split, must_end), make_setting(experiment, split)
    wanted = equally_spaced(split_size(experiment.data, split), num_shown)

    def evaluate(variables: Variables) -> Evaluation:
        shown: list[Records] = []
        chunks = _keeping(predict(variables), wanted, shown)
        metrics = compute_metrics(chunks, setting(), seed=None)
        return Evaluation(metrics, records_of.concatenate(shown) if shown else {})

    return evaluate


def _keeping(chunks: Iterable[Records], wanted: np.ndarray, kept: list[Records]) -> Iterator[Records]:
    """Return the chunks; the wanted examples of each are put into `kept` on the way."""
    for records in chunks:
        kept.append(records_of.select(records, np.isin(records["example_index"], wanted)))
        yield records


def make_predict_step(experiment: Experiment, model: nn.Module, mesh: Mesh) -> PredictStep:
    """Return the compiled function from variables and a batch to poses, at the depth that the
    experiment says.
    """
    config, input_size_px = experiment.model, experiment.data.input_size_px

    def predict(variables: Variables, batch: Batch) -> Pose:
        predictions = typing.cast(Predictions, model.apply(variables, batch.image, train=False))
        depth_m = None
        if experiment.root_depth == "ground_truth":
            # A hand without a known wrist is not evaluated; it only must not become NaN.
            depth_m = jnp.where(batch.root_known, batch.root_cam_m[..., 2], PRIOR_DEPTH_M)
        return decode(predictions, batch.intrinsics, input_size_px, config, depth_m)

    return BatchProgram(predict, mesh, experiment.xla_flags, result=batch_sharding(mesh))


def make_predict(
    experiment: Experiment, model: nn.Module, mesh: Mesh, split: str, must_end: MustEnd = never
) -> Predict:
    """Return a function from variables to the records of a split, in chunks; it compiles once, corruptions included.

    All hosts must call it and go through all chunks, of which only the lead gets any; or Interrupted, where `must_end`
    says so between batches.

    Raises:
        ValueError: the split can't be read, or the batch size doesn't divide.
    """
    data, size = experiment.data, experiment.global_batch_size
    check_batch_size(size, mesh)
    num_batches = math.ceil(split_size(data, split) / size)  # a missing split is told at once
    predict = make_predict_step(experiment, model, mesh)

    def predict_split(variables: Variables, corruption: Corruption | None = None) -> Iterator[Records]:
        batches = eval_batches(
            data,
            split,
            heatmap_stride=experiment.model.heatmap_stride,
            global_batch_size=size,
            host=hosts.host_index(),
            num_hosts=hosts.num_hosts(),
            corruption=corruption,
        )
        slots = experiment.model.max_joint_keypoints
        parts = gather(lambda batch: predict(variables, batch), batches, num_batches, mesh, slots, must_end)
        return records_of.in_chunks(parts)

    return predict_split


def make_setting(experiment: Experiment, split: str) -> Callable[[], Setting]:
    """Return a function that says what is the same for all examples; it reads the mean pose once, when first called.

    Raises:
        ValueError: the split can't be read, or the training split is damaged. Without a training split there is no
            mean pose to compare with.
    """
    data = experiment.data
    split_size(data, split)
    has_mean = _has_split(data, data.train_split)
    switches = data_switches(data, split) | {
        "mean_pose_split": data.train_split if has_mean else f"none: there is no {data.train_split}",
        "representation": experiment.model.representation,
        **_hand_switches(experiment),
        "root_depth": experiment.root_depth,
    }

    def setting() -> Setting:
        mean = mean_pose(open_split(data, data.train_split)) if has_mean else None
        covariance = None
        if mean is not None and open_split(data, split)[0]["arm"]:
            covariance = hand_covariance(open_split(data, data.train_split), mean)
        return Setting(data.input_size_px, mean, switches, covariance)

    return functools.cache(setting)


def _has_split(data: DataConfig, split: str) -> bool:
    try:
        return split_size(data, split) > 0
    except MissingSplit:  # whoever evaluates may have the test set alone
        return False


def gather(
    predict: Callable[[Batch], Pose],
    batches: Iterator[dict[str, np.ndarray]],
    num_batches: int,
    mesh: Mesh,
    joint_slots: int,
    must_end: MustEnd = never,
) -> Iterator[Records]:
    """Yield records of the real examples of all hosts, batch by batch in the order of the split, on the lead host.

    Of several hosts labels and keys travel the same way as predictions, so rows belong together however hosts and
    devices are laid out. A host that is alone keeps them.

    Args:
        predict: from a batch of this host's to poses of all hosts.
        batches: this host's; equally many and equally large on every host.
        num_batches: for the progress bar.
        mesh: that `predict` runs on.
        joint_slots: keypoint slots of joints; those of the object come after them.
        must_end: asked between batches; the same on all hosts.

    Raises:
        FloatingPointError: a prediction isn't finite; on all hosts.
        Interrupted: `must_end` said so.
    """

    def hand_in(fields: dict[str, np.ndarray]) -> tuple[dict[str, Array], dict[str, np.ndarray]]:
        facts = {name: fields.pop(name) for name in records_of.FACTS if name in fields}
        labels = {name: fields[name] for name in (*records_of.LABELS, "is_real")}
        return columns(predict(Batch.of(fields))), labels | facts

    shown = progress(batches, "evaluating", num_batches, is_shown=hosts.is_lead())
    for number, (on_devices, known) in enumerate(_one_behind(map(hand_in, shown))):
        if number and must_end():
            raise Interrupted
        arrays = hosts.fetch(on_devices) | (known if hosts.num_hosts() == 1 else _of_all_hosts(known, mesh))
        records = records_of.from_columns(arrays, joint_slots)
        check_finite(records)
        watchdog.beat()
        if hosts.is_lead():
            yield records_of.select(records, np.argsort(records["example_index"], kind="stable"))


def columns(pose: Pose) -> dict[str, Array]:
    """Return what the network says about a batch, under the names that records have for it."""
    said = {name: getattr(pose, name) for name in (*records_of.POSE, *records_of.OPTIONAL)}
    return {f"predicted_{name}": values for name, values in said.items() if values is not None}


def _one_behind(items: Iterable[Any]) -> Iterator[Any]:
    """Return each item once the next has been made: the devices work on a batch while the host reads the one before."""
    return (item for item, _ in itertools.pairwise(itertools.chain(items, [None])))


def _of_all_hosts(fields: dict[str, np.ndarray], mesh: Mesh) -> dict[str, np.ndarray]:
    """Return the rows of all hosts, as one array of bytes: text and 64-bit integers don't travel over devices
    otherwise.
    """
    rows = [np.ascontiguousarray(values).reshape(len(values), -1).view(np.uint8) for values in fields.values()]
    everywhere = hosts.fetch(place_batch(np.concatenate(rows, axis=1), mesh))
    ends = np.cumsum([row.shape[1] for row in rows])
    parts = np.split(everywhere, ends[:-1], axis=1)
    return {
        name: np.ascontiguousarray(part).view(values.dtype).reshape(-1, *values.shape[1:])
        for (name, values), part in zip(fields.items(), parts, strict=True)
    }


def write_predictions(path: AnyPath, chunks: Iterable[Records], setting: Setting) -> None:
    """Write predictions.npz while they are made; all hosts must call it, the lead writes.

    Raises:
        OSError: it can't be written.
    """
    if hosts.is_lead():
        records_file.save(path, chunks, setting)
    else:
        collections.deque(chunks, maxlen=0)


def write_metrics(path: AnyPath, metrics: Metrics, setting: Setting, step: int) -> None:
    """Write metrics.json of a split."""
    protocol = {"words": PROTOCOL, "switches": {**setting.switches, "step": step}}
    write_atomically(path, json.dumps({**metrics, "protocol": protocol}, indent=1, allow_nan=False) + "\n")


def _hand_switches(experiment: Experiment) -> dict[str, Any]:
    """Return which points of which hand model the joints of a network of angles are."""
    model = experiment.model
    if model.representation != "angles":
        return {}
    return {"hand_model": f"MANO, {model.hand_joints}" if model.hand_model else "embedded"}
