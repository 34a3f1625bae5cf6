"""Whether time grows as it should: not with the number of examples, and with the batch no more than in proportion."""

import contextlib
import dataclasses
import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

import jax
from array_record.python import array_record_module

from benchmarks.dataloader import BATCHES, seconds_for
from benchmarks.networks import forward_of, paper_experiment, prepared, synthetic_batch
from benchmarks.photos import BATCH_SIZE as PHOTOS_PER_BATCH
from benchmarks.photos import Photos, batches, photo_records
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate, repeated
from input_pipeline.config import DataConfig
from input_pipeline.labels import Fields
from input_pipeline.record_files import Part, RecordFiles
from input_pipeline.schema import Example

FILES = 64  # into which input_pipeline.prepare divides a split
SIDES = {"ours": 10_000_000, "10 thousand examples": 10_000}
BATCH_SIZES = (1, 8, 64)
LEAST_IMAGES = 8


@dataclasses.dataclass(frozen=True)
class StoredPhotos(Photos):
    """Photos whose numbers are read from record files of the length that a split of so many examples has."""

    files: RecordFiles

    def __getitem__(self, index: int) -> Example:
        return super().__getitem__(int(self.files[index]))


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds an example from 10 million, over 10 thousand; the ratio is the worse one of this and the
    batch's.
    """
    with tempfile.TemporaryDirectory() as folder:
        photos = {side: stored_photos(Path(folder), length) for side, length in SIDES.items()}
        opened = {side: functools.partial(batches, DataConfig(), source) for side, source in photos.items()}
        details = {f"first batch, {side}, s": seconds_to_start(make) for side, make in opened.items()}
        times = alternate({side: functools.partial(seconds_for, make) for side, make in opened.items()}, runs)
    index_ratio = statistics.median(times["ours"]) / statistics.median(times["10 thousand examples"])
    per_image = forward_times(runs)
    batch_ratio = max(per_image.values()) / per_image[BATCH_SIZES[0]]
    details |= {f"forward pass, batch {size}, s/image": value for size, value in per_image.items()}
    details |= {"index ratio": index_ratio, "batch ratio": batch_ratio}
    worse = max(index_ratio, batch_ratio)
    return measurement(times, "s/example", BATCHES * PHOTOS_PER_BATCH, ratio=worse, details=details)


def stored_photos(folder: Path, length: int) -> StoredPhotos:
    """Write a split of so many photos; one file is there under the names of all of its files, each of which is
    opened.
    """
    paths, in_file = [folder / f"{length}_{number}.array_record" for number in range(FILES)], length // FILES
    writer = array_record_module.ArrayRecordWriter(str(paths[0]), "group_size:1")
    for number in range(in_file):
        writer.write(str(number).encode())
    writer.close()
    for path in paths[1:]:
        os.link(paths[0], path)
    files = RecordFiles([Part(str(path), 0, in_file) for path in paths])
    return StoredPhotos(photo_records(), len(files), files)


def seconds_to_start(open_batches: Callable[[], Generator[Fields, None, None]]) -> float:
    """Return the seconds from the first request to the first batch."""
    with contextlib.closing(open_batches()) as iterator:
        started_s = time.perf_counter()
        next(iterator)
        return time.perf_counter() - started_s


def forward_times(runs: int) -> dict[int, float]:
    """Return seconds an image of the paper's network, by batch size; every contestant works through several images."""
    run, state = prepared(paper_experiment(1))
    predict = forward_of(run)
    times = {}
    for size in BATCH_SIZES:
        image = synthetic_batch(size).image
        forward = functools.partial(lambda image: jax.block_until_ready(predict(state.variables, image)), image)
        times[f"batch {size}"] = repeated(forward, max(1, LEAST_IMAGES // size))
    measured = alternate(times, runs)
    return {size: statistics.median(measured[f"batch {size}"]) / max(size, LEAST_IMAGES) for size in BATCH_SIZES}
