"""grain pipelines: one global order, then this host's share of it, then batches.

Global position i of training shows the same example under the same augmentation whatever the number of hosts and
workers, and however often training was interrupted: shuffle, repetition and augmentation are functions of (seed, i),
and each host takes a block of every global batch, whose order, too, is the same for any number of hosts. The state of
the data is therefore one integer, the examples seen so far. An epoch that ends within a batch goes on into the next.
"""

import contextlib
import dataclasses
import itertools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker

import cv2
import grain
import numpy as np
from absl import flags

from input_pipeline import augment
from input_pipeline.config import DataConfig
from input_pipeline.corruptions import Corruption, corrupted_cut
from input_pipeline.labels import Fields
from input_pipeline.splits import Split, open_split, split_size
from input_pipeline.transforms import Cut, assemble, crop_example, evaluation_cut, training_cut
from input_pipeline.workers import SHARED_FROM_BYTES, check_shared_memory, named_deaths

__all__ = ["check_workers", "crop_example", "eval_batches", "open_split", "split_size", "train_batches"]

READ_THREADS = 2  # without workers; a worker, or a process with one core, has one: two fight over Python's lock
BATCHES_AHEAD = 4  # per process, held in memory
ENDLESS = 2**62  # examples; grain's own idea of endless overflows in batches of one


def train_batches(
    data: DataConfig,
    *,
    heatmap_stride: int,
    global_batch_size: int,
    seed: int,
    examples_seen: int = 0,
    host: int = 0,
    num_hosts: int = 1,
) -> Iterator[Fields]:
    """Return endless shuffled, augmented batches: this host's share of each global batch.

    Args:
        data: what to read and how to crop and augment it.
        heatmap_stride: crop px per px of the segmentation.
        global_batch_size: examples in a batch over all hosts.
        seed: of shuffle and augmentation.
        examples_seen: global position to start at; k batches after position 0 it is k * global_batch_size.
        host: number of this host.
        num_hosts: of all hosts.

    Returns:
        Iterator of dictionaries with the fields of `types.Batch` and "key"; its `close()` ends threads and workers.

    Raises:
        ValueError: the dataset can't be read, or sizes don't divide.
    """
    share = _host_share(data, heatmap_stride, global_batch_size, num_hosts)
    split = open_split(data, data.train_split)
    rows = _order(split, data.shares, seed).random_map(_TrainingRow(split, data, heatmap_stride))[examples_seen:ENDLESS]
    return _iterate(rows, share, host, num_hosts, data.num_workers)


def _order(split: Split, shares: tuple[float, ...], seed: int) -> grain.MapDataset:
    """Return the row of the split at each position of training, endlessly.

    Without shares every epoch is a new order of all examples. With them each dataset goes through its epochs by itself,
    and a position's dataset is fixed: of any run of positions each has its share, to within one.
    """
    if not shares:
        return grain.MapDataset.range(len(split)).seed(seed).shuffle().repeat()
    ends = list(itertools.accumulate(split.part_sizes))
    parts = [
        grain.MapDataset.range(end - size, end).seed(seed).shuffle().repeat()
        for end, size in zip(ends, split.part_sizes, strict=True)
    ]
    return grain.MapDataset.mix(parts, shares).seed(seed)


def eval_batches(
    data: DataConfig,
    split: str,
    *,
    heatmap_stride: int,
    global_batch_size: int,
    host: int = 0,
    num_hosts: int = 1,
    corruption: Corruption | None = None,
) -> Iterator[Fields]:
    """Return every example of a split once, in order, as it is or corrupted; equally many batches on every host.

    What fills up the last batch repeats the first example with `is_real` False and no label that counts. Arguments,
    result and errors are those of `train_batches`; the fields of `transforms.benchmark_facts` are there as well.
    """
    share = _host_share(data, heatmap_stride, global_batch_size, num_hosts)
    examples = open_split(data, split)
    padded = math.ceil(len(examples) / global_batch_size) * global_batch_size
    rows = grain.MapDataset.range(padded).map(_EvaluationRow(examples, data, heatmap_stride, corruption))
    return _iterate(rows, share, host, num_hosts, data.num_workers)


def check_workers(data: DataConfig, *, heatmap_stride: int, global_batch_size: int, num_hosts: int = 1) -> None:
    """Look whether this machine has what the data workers of `train_batches` need, before anything slow begins.

    Raises:
        ValueError: the dataset can't be read, sizes don't divide, or shared memory is too small.
    """
    share = _host_share(data, heatmap_stride, global_batch_size, num_hosts)
    if data.num_workers:
        cut = evaluation_cut(open_split(data, data.train_split)[0], data, heatmap_stride)
        check_shared_memory(assemble([cut]), share, data.num_workers * BATCHES_AHEAD)


@dataclasses.dataclass(frozen=True)
class _TrainingRow:
    """Row number of the split to an augmented cut."""

    split: Split
    data: DataConfig
    heatmap_stride: int

    def __call__(self, row: int, rng: np.random.Generator) -> Cut:
        augmentation = augment.draw(rng, self.data) if self.data.augment else augment.NONE
        cut = training_cut(self.split[row], self.data, self.heatmap_stride, augmentation)
        return dataclasses.replace(cut, example_index=row)


@dataclasses.dataclass(frozen=True)
class _EvaluationRow:
    """Row number to a cut; numbers beyond the end of the split give padding."""

    split: Split
    data: DataConfig
    heatmap_stride: int
    corruption: Corruption | None

    def __call__(self, row: int) -> Cut:
        is_real = row < len(self.split)
        example = self.split[row if is_real else 0]
        if self.corruption is None:
            cut = evaluation_cut(example, self.data, self.heatmap_stride)
        else:
            cut = corrupted_cut(example, self.data, self.heatmap_stride, self.corruption, row)
        return dataclasses.replace(cut, example_index=row if is_real else -1, is_real=is_real, with_facts=True)


def _host_share(data: DataConfig, heatmap_stride: int, global_batch_size: int, num_hosts: int) -> int:
    """Return the examples of a global batch that one host reads."""
    if global_batch_size < 1 or global_batch_size % num_hosts:
        raise ValueError(f"global_batch_size={global_batch_size} must be a multiple of the {num_hosts} hosts")
    if data.input_size_px % heatmap_stride:
        raise ValueError(f"data.input_size_px={data.input_size_px} must be a multiple of {heatmap_stride=}")
    return global_batch_size // num_hosts


def _iterate(rows: grain.MapDataset, share: int, host: int, num_hosts: int, num_workers: int) -> Iterator[Fields]:
    """Return the batches of this host in order, read ahead; made up before workers share them, whose number changes
    nothing.
    """
    if num_workers:
        check_shared_memory(assemble([rows[0]]), share, num_workers * BATCHES_AHEAD)
    batches = rows.batch(share, batch_fn=assemble)[host::num_hosts]
    num_threads = 1 if num_workers else min(READ_THREADS, _num_cores())
    dataset = batches.to_iter_dataset(grain.ReadOptions(num_threads=num_threads, prefetch_buffer_size=BATCHES_AHEAD))
    cv2.setNumThreads(1)  # batches are made side by side already; OpenCV's threads would only fight over the cores
    if num_workers:
        if not flags.FLAGS.is_parsed():
            flags.FLAGS.mark_as_parsed()  # grain's workers read absl flags, which only absl's own scripts parse
        options = grain.experimental.DatasetOptions(min_shm_size=SHARED_FROM_BYTES)
        dataset = grain.experimental.WithOptionsIterDataset(dataset, options).mp_prefetch(
            grain.MultiprocessingOptions(num_workers, per_worker_buffer_size=BATCHES_AHEAD),
            worker_init_fn=_prepare_worker,
        )
    return _closing(iter(dataset), has_workers=num_workers > 0)


def _num_cores() -> int:
    """Return the number of this process's cores, where the system says that."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else READ_THREADS


def _prepare_worker(worker: int, num_workers: int) -> None:
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_main_process, daemon=True).start()


def _end_with_main_process() -> None:
    """End this worker when its main process is no more: nobody else does where that was killed, or JAX aborted it."""
    if main := multiprocessing.parent_process():
        main.join()
        os._exit(1)


def _closing(iterator: grain.DatasetIterator, *, has_workers: bool) -> Iterator[Fields]:
    try:
        with named_deaths():
            with _starting_workers() if has_workers else contextlib.nullcontext():
                first = list(itertools.islice(iterator, 1))  # starts them all
            yield from itertools.chain(first, iterator)
    finally:
        iterator.close()


@contextlib.contextmanager
def _starting_workers() -> Iterator[None]:
    """Keep SIGTERM and SIGINT from processes that start in this context, from their first instruction on.

    Schedulers and terminals send them to all processes. They are the main one's to answer, which needs some batches
    yet; grain ends workers in another way. Threads and processes inherit what is blocked; here it is held back
    meanwhile, not lost.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows, which has no such signal either
        yield
        return
    resource_tracker.ensure_running()  # it would unblock SIGTERM when it starts with the first of them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
