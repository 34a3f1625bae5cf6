"""Writes any dataset source as array_record shards that TFDS reads, in several processes and resumable.

A shard gets its final name only when it is complete and its facts (`*.facts.json`) are written. The manifest follows
when all shards are there, and the metadata that make the folder a dataset come last: an interrupted run leaves nothing
that could be taken for a finished one; started again, it goes on after the shards that are there.
"""

import collections
import concurrent.futures
import dataclasses
import hashlib
import multiprocessing
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from array_record.python import array_record_module

from input_pipeline.convert.image_check import check_image
from input_pipeline.convert.manifest import MAX_EXAMPLES_NAMED, write_json
from input_pipeline.convert.metadata import METADATA_FILES, split_template, write_metadata, write_settings
from input_pipeline.convert.sources import OfficialSource, Source, UnusableExample
from input_pipeline.manifest_file import MANIFEST_FILE, file_facts
from input_pipeline.records import encode_record
from input_pipeline.schema import Example, validate_example
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.progress import progress
from occrobnet_jax.skeleton import VISIBILITY

_SHARDS_PER_SPLIT = 64
_FEWEST_PER_SHARD = 100
_SEEN_OR_HIDDEN = [VISIBILITY.index(name) for name in ("visible", "own_hand", "other_hand", "object")]


@dataclasses.dataclass(frozen=True)
class Shard:
    """One file of a dataset: some rows of a source's split."""

    path: Path
    split: str
    rows: range

    @property
    def facts_path(self) -> Path:
        """What is known of the finished shard, until the manifest has it."""
        return self.path.with_name(f"{self.path.name}.facts.json")

    def is_finished(self) -> bool:
        """Return whether it was written as a whole."""
        return self.path.exists() and self.facts_path.exists()


def write_dataset(source: Source, data_dir: str | Path, num_processes: int = 1, show_progress: bool = True) -> Path:
    """Write what is missing of a source's shards and return the dataset's folder, `data_dir/NAME/VERSION`.

    Raises:
        ValueError: the folder can't be written, holds a dataset made with other settings, or no example could be
            used.
    """
    folder = start(source, data_dir)
    missing = missing_shards(source, folder)
    total = sum(source.splits.values())
    with progress(None, source.name, total, unit="example", is_shown=show_progress) as bar:
        bar.update(total - sum(len(shard.rows) for shard in missing))
        for count in _written(source, missing, num_processes):
            bar.update(count)
    finish(source, folder)
    return folder


def dataset_folder(source: Source, data_dir: str | Path) -> Path:
    """Return where a source's dataset goes."""
    return Path(data_dir).expanduser() / source.name / source.version


def is_written(source: Source, data_dir: str | Path) -> bool:
    """Tell whether nothing is missing of a source's dataset."""
    return _is_dataset(dataset_folder(source, data_dir))


def start(source: Source, data_dir: str | Path) -> Path:
    """Make the folder of a source's dataset and clear away what an interrupted run left in it.

    Raises:
        ValueError: see `write_dataset`.
    """
    folder = dataset_folder(source, data_dir)
    write_settings(folder, source)
    for leftover in folder.glob("*.incomplete-*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)
    return folder


def missing_shards(source: Source, folder: Path) -> list[Shard]:
    """Return the shards that are still to be written."""
    if _is_dataset(folder):
        return []
    return [shard for split in source.splits for shard in _shards(folder, split, source) if not shard.is_finished()]


def write_shard(source: Source, shard: Shard) -> int:
    """Write one shard and its facts; return the number of rows that it stands for."""
    # No other process, here or on another machine, has the same name.
    unfinished = shard.path.with_name(f"{shard.path.name}.incomplete-{secrets.token_hex(8)}")
    writer = array_record_module.ArrayRecordWriter(str(unfinished), "group_size:1")
    try:
        facts = _write_examples(source, shard, writer)
        writer.close()
        write_json(shard.facts_path, facts | file_facts(unfinished) | {"file": shard.path.name})
        unfinished.replace(shard.path)
    finally:
        unfinished.unlink(missing_ok=True)
    return len(shard.rows)


def finish(source: Source, folder: Path) -> None:
    """Write manifest and metadata, once all shards are there; then removes the shards' own facts.

    A split of which no example could be used is no split of the dataset, and the manifest says so.

    Raises:
        ValueError: no example could be used.
    """
    shards = {split: _shards(folder, split, source) for split in source.splits}
    if not _is_dataset(folder):
        facts = {split: [read_json(shard.facts_path) for shard in parts] for split, parts in shards.items()}
        held = {split: parts for split, parts in facts.items() if any(shard["examples"] for shard in parts)}
        if not held:
            raise _nothing_usable(facts, folder)
        write_metadata(source, folder, held)
        for shard in (shard for split in facts.keys() - held.keys() for shard in shards[split]):
            shard.path.unlink(missing_ok=True)
    for shard in (shard for parts in shards.values() for shard in parts):
        shard.facts_path.unlink(missing_ok=True)


def _is_dataset(folder: Path) -> bool:
    return (folder / MANIFEST_FILE).exists() and (folder / METADATA_FILES[-1]).exists()


def _written(source: Source, shards: list[Shard], num_processes: int) -> Iterator[int]:
    """Write shards, in this process or in several, and yield the number of rows of each one as it is done."""
    if num_processes <= 1 or len(shards) <= 1:
        for shard in shards:
            yield write_shard(source, shard)
        return
    spawn = multiprocessing.get_context("spawn")  # grain, jax and embree hold threads that a fork would lose
    workers = concurrent.futures.ProcessPoolExecutor(
        min(num_processes, len(shards)), mp_context=spawn, initializer=_single_threaded
    )
    try:
        pending = [workers.submit(write_shard, source, shard) for shard in shards]
        for done in concurrent.futures.as_completed(pending):
            yield done.result()
    finally:
        workers.shutdown(cancel_futures=True)


def _single_threaded() -> None:
    cv2.setNumThreads(1)


def _write_examples(source: Source, shard: Shard, writer: Any) -> dict[str, Any]:
    """Write the examples of a shard that can be used; returns counts, and what was left out and why."""
    counts = {"examples": 0, "two_hands": 0, "black": 0, "occlusion_known": 0}
    left_out: collections.Counter[str] = collections.Counter()
    named: list[str] = []
    content = hashlib.sha256()
    is_official = isinstance(source, OfficialSource)
    for row in shard.rows:
        try:
            example = source.example(shard.split, row)
            is_black = _check_official(example) if is_official else False
        except UnusableExample as error:
            left_out[error.reason] += 1
            named += [str(error)] if len(named) < MAX_EXAMPLES_NAMED else []
            continue
        if not is_official:
            validate_example(example)
        record = encode_record(example)
        writer.write(record)
        content.update(hashlib.sha256(record).digest())
        counts["examples"] += 1
        counts["two_hands"] += int(example["hand_present"].all())
        counts["black"] += is_black
        counts["occlusion_known"] += int(np.isin(example["visibility"], _SEEN_OR_HIDDEN).any())
    return counts | {"content_sha256": content.hexdigest(), "left_out": left_out, "left_out_examples": named}


def _check_official(example: Example) -> bool:
    """Check an example of others' files; return whether its image is black."""
    try:
        validate_example(example)
    except ValueError as error:
        raise UnusableExample("annotation contradicts itself", str(error)) from error
    size = (int(example["width"]), int(example["height"]))
    try:
        return check_image(example["image"], *size, name=f"the image of {example['key']}")
    except ValueError as error:
        raise UnusableExample("image damaged", str(error)) from error


def _nothing_usable(facts: dict[str, list[dict[str, Any]]], folder: Path) -> ValueError:
    reasons = [sentence for shards in facts.values() for shard in shards for sentence in shard["left_out_examples"]]
    return ValueError(
        f"no example of {', '.join(facts)} can be used{': ' if reasons else ''}{'; '.join(reasons[:3])}; "
        f"when that is mended, delete {folder} and start again"
    )


def _shards(folder: Path, split: str, source: Source) -> list[Shard]:
    """Return all shards of a split: equal ones, at most _SHARDS_PER_SPLIT of at least _FEWEST_PER_SHARD examples."""
    count = source.splits[split]
    num_shards = max(1, min(_SHARDS_PER_SPLIT, count // _FEWEST_PER_SHARD))
    edges = np.cumsum([0, *(len(part) for part in np.array_split(np.arange(count), num_shards))])
    template = split_template(folder, source.name, split)
    return [
        Shard(Path(template.sharded_filepath(shard_index=i, num_shards=num_shards)), split, range(*edges[i : i + 2]))
        for i in range(num_shards)
    ]
