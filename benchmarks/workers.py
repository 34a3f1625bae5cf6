"""Our batches of augmented photos from two worker processes, over one."""

import dataclasses
import functools
import itertools
import statistics
import time

from benchmarks.photos import BATCH_SIZE, Photos, batches, photo_records
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate
from input_pipeline.config import DataConfig

LENGTH, WARM_UP, BATCHES = 100_000, 20, 60
OWN = "this process's own part"


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds an example, once the workers are at speed; in `details` also what the receiving process spends on
    it.
    """
    photos = Photos(photo_records(), LENGTH)
    sides, own_s = {"ours": 2, "one worker": 1}, dict[int, list[float]]()
    times = alternate(
        {name: functools.partial(seconds_for, photos, count, own_s) for name, count in sides.items()}, runs, warm_up=0
    )
    items = BATCHES * BATCH_SIZE
    details = {f"{OWN}, {count} worker(s), s/example": statistics.median(own_s[count]) / items for count in own_s}
    return measurement(times, "s/example", items, details=details)


def seconds_for(photos: Photos, num_workers: int, own_s: dict[int, list[float]]) -> float:
    """Return seconds that some batches take, after enough others that the workers have started and nothing is in store.

    Args:
        photos: to read.
        num_workers: that make the batches.
        own_s: processor seconds of this process, by the number of workers; those of this run are added.
    """
    iterator = batches(dataclasses.replace(DataConfig(), num_workers=num_workers), photos)
    for _ in itertools.islice(iterator, WARM_UP):
        pass
    started_s, started_own_s = time.perf_counter(), time.process_time()
    for _ in itertools.islice(iterator, BATCHES):
        pass
    elapsed_s = time.perf_counter() - started_s
    own_s.setdefault(num_workers, []).append(time.process_time() - started_own_s)
    iterator.close()
    return elapsed_s
