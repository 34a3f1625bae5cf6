"""Our batches of augmented photos from two worker processes, over one."""

import dataclasses
import functools
import itertools
import time

from benchmarks.photos import BATCH_SIZE, Photos, batches, photo_records
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate
from input_pipeline.config import DataConfig

LENGTH, WARM_UP, BATCHES = 100_000, 12, 40


def measure(name: str, runs: int) -> Measurement:
    """Seconds an example, once the workers are at speed."""
    photos = Photos(photo_records(), LENGTH)
    sides = {"ours": 2, "one worker": 1}
    times = alternate(
        {name: functools.partial(seconds_for, photos, count) for name, count in sides.items()}, runs, warm_up=0
    )
    return measurement(times, "s/example", BATCHES * BATCH_SIZE)


def seconds_for(photos: Photos, num_workers: int) -> float:
    """Seconds that some batches take, after enough others that nothing was prepared before the clock started."""
    iterator = batches(dataclasses.replace(DataConfig(), num_workers=num_workers), photos)
    for _ in itertools.islice(iterator, WARM_UP):
        pass
    started_s = time.perf_counter()
    for _ in itertools.islice(iterator, BATCHES):
        pass
    elapsed_s = time.perf_counter() - started_s
    iterator.close()
    return elapsed_s
