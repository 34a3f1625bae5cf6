"""Writes any dataset source as array_record shards that TFDS reads, in several processes and resumable.

A shard gets its final name only when it is complete, and the metadata that make the folder a dataset come last, so
that an interrupted run leaves nothing that could be taken for a finished one; started again, it goes on after the
shards that are there.
"""

import concurrent.futures
import json
import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from tqdm import tqdm

from input_pipeline.schema import ARRAY_FIELDS, BYTES_FIELDS, TEXT_FIELDS, Example, validate_example

SETTINGS_FILE = "settings.json"
_FILE_FORMAT = "array_record"
_SHARDS_PER_SPLIT = 64
_FEWEST_PER_SHARD = 100


@runtime_checkable
class Source(Protocol):
    """What can be written as a dataset. Must be picklable.

    A source whose examples depend on more than split and index names that in a dict `settings`; a folder that was
    written under other settings is then refused.
    """

    @property
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def version(self) -> str:
        """Version of its content, "1.0.0"."""

    @property
    def splits(self) -> dict[str, int]:
        """Number of examples of each split."""

    def example(self, split: str, index: int) -> Example:
        """Example number `index` of a split."""


def features() -> tfds.features.FeaturesDict:
    """The TFDS features of the example schema; encoded images are plain bytes, so that they come back unchanged."""
    arrays = {name: tfds.features.Tensor(shape=shape, dtype=dtype) for name, (shape, dtype) in ARRAY_FIELDS.items()}
    strings = {name: tfds.features.Text() for name in (*BYTES_FIELDS, *TEXT_FIELDS)}
    return tfds.features.FeaturesDict(arrays | strings)


def write_dataset(source: Source, data_dir: str | Path, num_processes: int = 1, progress: bool = True) -> Path:
    """Writes what is missing of a source's shards and returns the dataset's folder, `data_dir/NAME/VERSION`.

    Raises:
        ValueError: the folder can't be written, or holds a dataset made with other settings.
    """
    folder = Path(data_dir).expanduser() / source.name / source.version
    _prepare_folder(folder, source)
    shards = [shard for split, count in source.splits.items() for shard in _shards(folder, split, count, source.name)]
    missing = [shard for shard in shards if not shard[0].exists()]
    total = sum(source.splits.values())
    with tqdm(total=total, unit="example", desc=source.name, disable=not progress) as bar:
        bar.update(total - sum(len(rows) for _, _, rows in missing))
        for count in _written(source, missing, num_processes):
            bar.update(count)
    _write_metadata(source, folder)
    return folder


def _written(source: Source, shards: list[tuple[Path, str, range]], num_processes: int) -> Iterator[int]:
    """Writes shards, in this process or in several, and yields the number of examples of each one as it is done."""
    if num_processes <= 1 or len(shards) <= 1:
        for shard in shards:
            yield _write_shard(source, *shard)
        return
    spawn = multiprocessing.get_context("spawn")  # grain, jax and embree hold threads that a fork would lose
    workers = concurrent.futures.ProcessPoolExecutor(
        min(num_processes, len(shards)), mp_context=spawn, initializer=_single_threaded
    )
    try:
        pending = [workers.submit(_write_shard, source, *shard) for shard in shards]
        for done in concurrent.futures.as_completed(pending):
            yield done.result()
    finally:
        workers.shutdown(cancel_futures=True)


def _single_threaded() -> None:
    cv2.setNumThreads(1)


def _write_shard(source: Source, path: Path, split: str, rows: range) -> int:
    serialize = tfds.core.example_serializer.ExampleSerializer(features().get_serialized_info()).serialize_example
    encode = features().encode_example
    unfinished = path.with_name(f"{path.name}.incomplete-{os.getpid()}")
    writer = array_record_module.ArrayRecordWriter(str(unfinished), "group_size:1")
    try:
        for index in rows:
            example = source.example(split, index)
            validate_example(example)
            writer.write(serialize(encode(example)))
        writer.close()
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(rows)


def _shards(folder: Path, split: str, count: int, name: str) -> list[tuple[Path, str, range]]:
    """(file, split, examples) of each shard."""
    lengths = _shard_lengths(count)
    starts = np.cumsum([0, *lengths])
    template = _template(folder, name, split)
    return [
        (
            Path(template.sharded_filepath(shard_index=i, num_shards=len(lengths))),
            split,
            range(starts[i], starts[i + 1]),
        )
        for i in range(len(lengths))
    ]


def _shard_lengths(count: int) -> list[int]:
    """Equal shards, at most _SHARDS_PER_SPLIT of at least _FEWEST_PER_SHARD examples."""
    shards = max(1, min(_SHARDS_PER_SPLIT, count // _FEWEST_PER_SHARD))
    return [len(part) for part in np.array_split(np.arange(count), shards)]


def _template(folder: Path, name: str, split: str) -> tfds.core.ShardedFileTemplate:
    return tfds.core.ShardedFileTemplate(data_dir=folder, dataset_name=name, split=split, filetype_suffix=_FILE_FORMAT)


def _prepare_folder(folder: Path, source: Source) -> None:
    settings: dict[str, Any] = {"name": source.name, "version": source.version, "splits": dict(source.splits)}
    settings |= json.loads(json.dumps(getattr(source, "settings", {})))
    written = folder / SETTINGS_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not written.exists():
            unfinished = folder / f"{SETTINGS_FILE}.{os.getpid()}"
            unfinished.write_text(json.dumps(settings, indent=1))
            unfinished.rename(written)
        found = json.loads(written.read_text())
    except OSError as error:
        raise ValueError(f"can't write to {folder}: {error.strerror}; choose another --data_dir") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{written} is damaged; delete {folder} and start again") from error
    changed = [f"{key}: {found.get(key)} there, {settings.get(key)} asked for" for key in settings | found]
    changed = [text for key, text in zip(settings | found, changed, strict=True) if found.get(key) != settings.get(key)]
    if changed:
        raise ValueError(
            f"{folder} holds a dataset made with other settings ({'; '.join(changed)}); "
            "choose another --data_dir, or delete that folder"
        )
    for leftover in folder.glob("*.incomplete-*"):
        leftover.unlink(missing_ok=True)


def _write_metadata(source: Source, folder: Path) -> None:
    """dataset_info.json and features.json, which make the folder a dataset."""
    if (folder / "dataset_info.json").exists():
        return
    splits = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=_shard_lengths(count),
            num_bytes=sum(path.stat().st_size for path, _, _ in _shards(folder, split, count, source.name)),
            filename_template=_template(folder, source.name, split),
        )
        for split, count in source.splits.items()
    ]
    identity = tfds.core.DatasetIdentity(
        name=source.name, version=tfds.core.Version(source.version), data_dir=str(folder), module_name=__name__
    )
    info = tfds.core.DatasetInfo(builder=identity, features=features())
    info.set_file_format(_FILE_FORMAT)
    info.set_splits(tfds.core.SplitDict(splits))
    info.write_to_directory(folder)
