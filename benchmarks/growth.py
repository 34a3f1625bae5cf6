"""Whether time grows as it should: not with the number of examples, and with the batch no more than in proportion."""

import functools
import statistics

import jax

from benchmarks.dataloader import BATCHES, drain
from benchmarks.networks import paper_experiment, prepared, synthetic_batch
from benchmarks.photos import BATCH_SIZE as PHOTOS_PER_BATCH
from benchmarks.photos import Photos, batches, photo_records
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate
from input_pipeline.config import DataConfig

SMALL, LARGE = 10_000, 10_000_000
BATCH_SIZES = (1, 8, 64)


def measure(name: str, runs: int) -> Measurement:
    """Seconds an example from 10 million, over 10 thousand; the ratio is the worse one of this and the batch's."""
    records = photo_records()
    sides = {"ours": batches(DataConfig(), Photos(records, LARGE))}
    sides["10 thousand examples"] = batches(DataConfig(), Photos(records, SMALL))
    times = alternate({name: functools.partial(drain, it) for name, it in sides.items()}, runs)
    index_ratio = statistics.median(times["ours"]) / statistics.median(times["10 thousand examples"])
    per_image = forward_times(max(2, runs // 2))
    batch_ratio = per_image[BATCH_SIZES[-1]] / per_image[BATCH_SIZES[0]]
    details = {f"forward pass, batch {size}, s/image": value for size, value in per_image.items()}
    details |= {"index ratio": index_ratio, "batch ratio": batch_ratio}
    worse = max(index_ratio, batch_ratio)
    return measurement(times, "s/example", BATCHES * PHOTOS_PER_BATCH, ratio=worse, details=details)


def forward_times(runs: int) -> dict[int, float]:
    """Seconds an image of the paper's network, by batch size."""
    run, state = prepared(paper_experiment(1))
    predict = jax.jit(lambda variables, image: run.model.apply(variables, image, train=False))
    images = {size: synthetic_batch(size).image for size in BATCH_SIZES}
    contestants = {
        f"batch {size}": lambda image=image: jax.block_until_ready(predict(state.variables, image))
        for size, image in images.items()
    }
    times = alternate(contestants, runs)
    return {size: statistics.median(times[f"batch {size}"]) / size for size in BATCH_SIZES}
