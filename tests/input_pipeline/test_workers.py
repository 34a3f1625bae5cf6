import dataclasses
import os
import signal
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from input_pipeline import workers
from input_pipeline.config import DataConfig
from input_pipeline.pipeline import train_batches
from tests.support.fake_datasets import write_fake_dataset

FIELDS = {"image": np.zeros((1, 256, 256, 3), np.uint8), "joints": np.zeros((1, 42, 3), np.float32)}
BATCH_BYTES = 16 * 256 * 256 * 3  # joints are copied, not shared


@pytest.mark.parametrize(("free", "enough"), [(32 * BATCH_BYTES, True), (32 * BATCH_BYTES - 1, False)])
def test_shared_memory_is_compared_with_what_the_workers_need(monkeypatch, tmp_path, free, enough):
    monkeypatch.setattr(os, "statvfs", lambda folder: SimpleNamespace(f_bavail=free, f_frsize=1))
    if enough:
        workers.check_shared_memory(FIELDS, 16, 32, tmp_path)
    else:
        with pytest.raises(ValueError, match=r"32 batches in shared memory, 101 MB, but .* has 101 MB free; give the"):
            workers.check_shared_memory(FIELDS, 16, 32, tmp_path)


def test_systems_without_that_folder_have_no_such_limit(tmp_path):
    workers.check_shared_memory(FIELDS, 16, 10**9, tmp_path / "missing")


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (-signal.SIGBUS, r"by SIGBUS, shared memory \(/dev/shm\) is full: give the container more"),
        (-signal.SIGKILL, r"by SIGKILL, most likely by the kernel, because memory ran out"),
        (-signal.SIGSEGV, r"by SIGSEGV, started again, the run goes on"),
        (3, r"ended with status 3; what it said is above"),
    ],
)
def test_deaths_are_told_with_their_cause(exit_code, said):
    with pytest.raises(ChildProcessError, match=said), workers.named_deaths():
        raise RuntimeError(f"Worker process was terminated unexpectedly with exit code {exit_code}. Search the logs")


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="anything else"), workers.named_deaths():
        raise RuntimeError("anything else")


def test_a_killed_worker_is_one_sentence(tmp_path):
    data_dir = write_fake_dataset(tmp_path, 16, 32)
    data = dataclasses.replace(DataConfig(data_dir=str(data_dir), input_size_px=32), num_workers=1)
    before = set(psutil.Process().children())
    batches = train_batches(data, heatmap_stride=4, global_batch_size=2, seed=0)
    next(batches)
    for child in set(psutil.Process().children()) - before:
        if "resource_tracker" not in " ".join(child.cmdline()):
            child.kill()
    with pytest.raises(ChildProcessError, match="a data worker was ended by SIGKILL"):
        list(batches)  # endless otherwise
