"""Reads predictions, ours or anyone's, and puts them beside the labels that they are scored against."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from occrobnet_jax.evaluation.formats import records as records_of
from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.plain_format import is_plain, plain_poses
from occrobnet_jax.evaluation.formats.poses import predicted_columns
from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.formats.submission_format import (
    ground_truth,
    ground_truth_mesh,
    read_text,
    submission_poses,
)
from occrobnet_jax.files.hashes import file_sha256
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.files.readers import read_words

MAX_LIST_BYTES = 64 * 2**20
OF_OTHERS: Mapping[str, Any] = {"representation": "3d"}
"""What is known of predictions of other programs: they are 3D already."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """Where the labels come from, if not from the predictions file itself."""

    labels: AnyPath | None = None  # labels.npz or predictions.npz of ours; or HO-3D's evaluation_xyz.json
    vertices: AnyPath | None = None  # HO-3D's evaluation_verts.json
    frames: AnyPath | None = None  # HO-3D's evaluation.txt, which names the sequences


def read_predictions(path: AnyPath, truth: Truth) -> tuple[Iterator[Records], Setting]:
    """Return the records of any predictions file with its labels, in chunks, and their setting.

    Our own file is read as the chunks are asked for; files that are matched with other labels are read whole.

    Raises:
        ValueError: the file is of no known kind or damaged, or the labels are missing or of other examples.
    """
    if truth.labels is None and (truth.vertices or truth.frames):
        raise ValueError("--truth_vertices and --frames belong to HO-3D's ground truth: give --truth as well")
    if path.suffix.lower() == ".npz" and truth.labels is None and "format" not in records_file.array_names(path):
        file = records_file.open_records(path)
        return file.chunks(), file.setting
    records, setting = _read_whole(path, truth)
    return records_of.in_chunks([records]), setting


def _read_whole(path: AnyPath, truth: Truth) -> tuple[Records, Setting]:
    if path.suffix.lower() == ".npz":
        if "format" not in records_file.array_names(path):
            return _with_labels(*records_file.load(path), truth, path)
        arrays = records_file.read_arrays(path)
        content: Any = {name: values if values.ndim else values[()] for name, values in arrays.items()}
    else:
        text = read_text(path)
        if text.lstrip()[:1] == "[":
            columns = predicted_columns(submission_poses(text, path))
            del text
            labels, setting = _labels(truth, path)
            return _in_order(columns, labels, path), setting
        content = _parsed(text, path)
    if not is_plain(content):
        raise ValueError(f"{path} is neither a submission nor the plain format; docs/evaluation.md describes both")
    return _matched(*_plain(content, path), _labels(truth, path), path)


def read_ids(path: AnyPath) -> frozenset[int]:
    """Read InterHand2.6M's lists of annotation ids: one number a line.

    Raises:
        ValueError: the file can't be read, or a line is no number.
    """
    lines = read_words(path, MAX_LIST_BYTES)
    wrong = next((line for line in lines if not line.isdecimal()), None)
    if wrong is not None or not lines:
        raise ValueError(f"{path} must hold one annotation id a line, it holds {wrong!r}")
    return frozenset(map(int, lines))


def read_sequences(path: AnyPath, frames: int) -> np.ndarray:
    """Name of the sequences, in the order of HO-3D's evaluation.txt ("SM1/0000" a line).

    Raises:
        ValueError: the file can't be read, or has another number of lines.
    """
    lines = read_words(path, MAX_LIST_BYTES)
    if len(lines) != frames:
        raise ValueError(f"{path} lists {len(lines):,} frames where the predictions have {frames:,}")
    return np.array([line.split("/")[0].encode() for line in lines])


def _with_labels(records: Records, setting: Setting, truth: Truth, path: AnyPath) -> tuple[Records, Setting]:
    """Return our records; labels from elsewhere take the place of their own, which HO-3D's evaluation split lacks."""
    assert truth.labels is not None
    labels, labeled = _labels(truth, path)
    identity = {name: labeled.switches[name] for name in _IDENTITY if name in labeled.switches}
    setting = dataclasses.replace(setting, switches={**setting.switches, **identity})
    if truth.labels.suffix.lower() == ".npz":
        if "key" not in records:
            raise ValueError(f"{path} has no keys by which labels could be found; write it again with eval.py")
        own = {name: values for name, values in records.items() if name.startswith("predicted_") or name in _OF_CROPS}
        return _matched(_keys(records), own, (labels, setting), path)
    rows = np.asarray(records.get("evaluation_row", records["example_index"]))
    frames = len(labels["example_index"])
    if rows.min() < 0 or rows.max() >= frames:
        raise ValueError(f"{path} has evaluation rows {rows.min()} to {rows.max()}, the truth has {frames:,} frames")
    return records | {name: values[rows] for name, values in labels.items() if name in _OF_HANDS}, setting


def _keys(records: Records) -> list[str]:
    return [key.decode(errors="replace") for key in records["key"].tolist()]


_IDENTITY = ("dataset", "dataset_version", "dataset_sha256", "partial", "occlusion_labels", "split")
_OF_HANDS = (
    *("joints_cam_m", "joint_annotated", "hand_present", "hand_present_known", "root_cam_m", "root_known"),
    *("vertices_cam_m", "vertices_known"),
)


_OF_CROPS = ("intrinsics", "crop_from_image", "joints_px", "joint_in_crop", "is_black", "object_share")
"""What belongs to the crop that the network saw; that of the labels may be another one."""


def _labels(truth: Truth, path: AnyPath) -> tuple[Records, Setting]:
    """Return label columns of examples, and what they were made with."""
    if truth.labels is None:
        raise ValueError(f"{path} holds no labels: give --truth=evaluation_xyz.json (HO-3D) or --truth=labels.npz")
    if truth.labels.suffix.lower() == ".npz":
        labels, setting = records_file.load_labels(truth.labels)
        of_data = {name: value for name, value in setting.switches.items() if name != "box_source"}
        return labels, dataclasses.replace(setting, switches={**of_data, **OF_OTHERS})
    labels = ground_truth(read_text(truth.labels), truth.labels)
    frames = len(labels["example_index"])
    if truth.vertices is not None:
        labels |= ground_truth_mesh(read_text(truth.vertices), truth.vertices, frames)
    if truth.frames is not None:
        labels["sequence"] = read_sequences(truth.frames, frames)
    identity = {"dataset": "ho3d", "dataset_sha256": file_sha256(truth.labels), "split": "evaluation"}
    return labels, Setting(1, None, {**OF_OTHERS, **identity})


def _in_order(columns: Records, labels: Records, path: AnyPath) -> Records:
    """Return predictions in the order of evaluation.txt beside labels, which are brought into that order."""
    rows = np.asarray(labels.get("evaluation_row", labels["example_index"]))
    order = np.argsort(np.where(rows < 0, labels["example_index"], rows), kind="stable")
    count = len(columns["predicted_joints_rel_m"])
    if count != len(order):
        raise ValueError(f"{path} has {count:,} frames where the truth has {len(order):,}")
    return records_of.select(labels, order) | columns


def _plain(content: Mapping[str, Any], path: AnyPath) -> tuple[Sequence[str], Records]:
    keys, poses = plain_poses(content, path)
    return keys, predicted_columns(poses)


def _matched(
    keys: Sequence[str], columns: Records, labeled: tuple[Records, Setting], path: AnyPath
) -> tuple[Records, Setting]:
    """Return predictions beside the labels of the same keys; every label needs one."""
    labels, setting = labeled
    if "key" not in labels:
        raise ValueError(f"the labels for {path} have no keys; take labels.npz, see docs/evaluation.md")
    place = {key: row for row, key in enumerate(keys)}
    wanted = _keys(labels)
    absent = [key for key in wanted if key not in place]
    if absent:
        raise ValueError(
            f"{path} lacks {len(absent):,} of {len(wanted):,} labelled examples, the first is {absent[0]!r}"
        )
    return labels | records_of.select(columns, [place[key] for key in wanted]), setting


def _parsed(text: str, path: AnyPath) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON, perhaps an incomplete download: {error}") from error
