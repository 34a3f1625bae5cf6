import ast
import contextlib
import dataclasses
import itertools
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import grain
import jax.numpy as jnp
import numpy as np
import pytest

import input_pipeline
from input_pipeline.config import DataConfig
from input_pipeline.pipeline import crop_example, eval_batches, open_split, split_size, train_batches
from occrobnet_jax.types import Batch
from tests.support.fake_datasets import fake_example, write_examples, write_fake_dataset
from tests.support.limits import HANG_S

REPOSITORY = Path(__file__).parents[2]
STRIDE = 2
NUM_TRAIN, NUM_VAL = 10, 5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_fake_dataset(tmp_path_factory.mktemp("data"), NUM_TRAIN, size=48)
    return DataConfig(data_dir=str(folder), input_size_px=32)


def take(data, count, *, global_batch_size=4, seed=5, **where):
    batches = train_batches(data, heatmap_stride=STRIDE, global_batch_size=global_batch_size, seed=seed, **where)
    taken = list(itertools.islice(batches, count))
    batches.close()
    return taken


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def rows(batches):
    return np.concatenate([batch["example_index"] for batch in batches])


def test_batches_have_the_fields_of_batch(data):
    (batch,) = take(data, 1)
    assert batch["key"].dtype == np.dtype("S96")
    assert batch.keys() == {field.name for field in dataclasses.fields(Batch)} | {"key"}
    shapes = {name: value.shape[1:] for name, value in batch.items()}
    assert shapes["image"] == (32, 32, 3)
    assert shapes["segmentation"] == (16, 16)
    for name, annotation in Batch.__annotations__.items():
        assert isinstance(jnp.asarray(batch[name]), annotation), name
    for name, value in batch.items():
        assert value.dtype.kind not in "fi" or value.dtype.itemsize == 4, name


def test_every_epoch_shows_every_example_once_in_a_new_order(data):
    seen = rows(take(data, 10)).reshape(4, NUM_TRAIN)  # batches of 4 flow across the ends of epochs of 10
    np.testing.assert_array_equal(np.sort(seen, axis=1), np.tile(np.arange(NUM_TRAIN), (4, 1)))
    assert len({tuple(epoch) for epoch in seen}) == 4


def test_the_seed_decides_order_and_augmentation(data):
    first, again, other = take(data, 3), take(data, 3), take(data, 3, seed=6)
    assert_same(first, again)
    assert rows(first).tolist() != rows(other).tolist()


def test_an_example_is_augmented_anew_in_each_epoch(data):
    seen = {}
    for batch in take(data, 5):
        for row, crop_from_image in zip(batch["example_index"], batch["crop_from_image"], strict=True):
            seen.setdefault(int(row), []).append(crop_from_image)
    assert all(not np.array_equal(*crops) for crops in seen.values())


@pytest.mark.parametrize("num_hosts", [2, 4])
def test_hosts_share_the_batches_of_one(data, num_hosts):
    alone = take(data, 4)
    shares = [take(data, 4, host=host, num_hosts=num_hosts) for host in range(num_hosts)]
    for batch, *parts in zip(alone, *shares, strict=True):
        for name, value in batch.items():
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), value, err_msg=name)


@pytest.mark.parametrize("num_hosts", [1, 2])
@pytest.mark.parametrize("steps", [1, 3])
def test_restarting_at_a_position_gives_the_tail(data, num_hosts, steps):
    whole = take(data, 6, num_hosts=num_hosts, host=num_hosts - 1)
    tail = take(data, 6 - steps, num_hosts=num_hosts, host=num_hosts - 1, examples_seen=4 * steps)
    assert_same(whole[steps:], tail)


def test_restarting_with_another_number_of_hosts_continues_the_same_order(data):
    whole, parts = take(data, 5), [take(data, 2, host=host, num_hosts=2, examples_seen=12) for host in (0, 1)]
    for batch, *halves in zip(whole[3:], *parts, strict=True):
        np.testing.assert_array_equal(batch["image"], np.concatenate([half["image"] for half in halves]))


def test_worker_processes_change_nothing_and_leave_sigterm_to_the_main_one(data):
    """Starts two processes; the one slow test here. Fifteen batches are more than are made ahead."""
    here = take(data, 15)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with_workers = dataclasses.replace(data, num_workers=2)
    asked = threading.Thread(target=ask_to_end_at_birth, args=(2,))
    asked.start()
    batches = train_batches(with_workers, heatmap_stride=STRIDE, global_batch_size=4, seed=5)
    with contextlib.closing(batches):
        first = [next(batches), next(batches)]  # one of each
        asked.join()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        assert_same(here, [*first, *itertools.islice(batches, 13)])


KILLED_WITH_WORKERS = """
import os, signal, sys
from input_pipeline.config import DataConfig
from input_pipeline.pipeline import train_batches
data = DataConfig(data_dir=sys.argv[1], input_size_px=32, num_workers=1)
batches = train_batches(data, heatmap_stride=2, global_batch_size=4, seed=5)
next(batches)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.long
def test_workers_end_with_a_main_process_that_is_killed(data):
    """They share its standard output, which ends with the last of them; where they live on this waits in vain."""
    killed = [sys.executable, "-c", KILLED_WITH_WORKERS, data.data_dir]
    done = subprocess.run(killed, stdout=subprocess.PIPE, cwd=REPOSITORY, timeout=HANG_S, check=False)
    assert done.returncode == -signal.SIGKILL


def ask_to_end_at_birth(num_workers: int) -> None:
    """SIGTERM to workers as soon as there are any, while Python still starts in them."""
    asked: set[int] = set()
    while len(asked) < num_workers:
        new = {worker.pid for worker in multiprocessing.active_children() if worker.pid} - asked
        for pid in new:
            os.kill(pid, signal.SIGTERM)
        asked |= new
        time.sleep(0.001)


def test_opencv_keeps_to_one_thread_here_and_in_workers(data, monkeypatch):
    prefetched = []
    monkeypatch.setattr(
        grain.IterDataset, "mp_prefetch", lambda dataset, *args, **options: prefetched.append(options) or dataset
    )
    cv2.setNumThreads(2)
    take(data, 1)
    assert cv2.getNumThreads() == 1
    take(dataclasses.replace(data, num_workers=2), 1)
    cv2.setNumThreads(2)
    prefetched[0]["worker_init_fn"](0, 2)
    assert cv2.getNumThreads() == 1


@pytest.mark.parametrize(("num_workers", "num_threads"), [(0, 2), (2, 1)])
def test_a_worker_has_one_thread(data, monkeypatch, num_workers, num_threads):
    asked, read_options = [], grain.ReadOptions
    monkeypatch.setattr(grain.IterDataset, "mp_prefetch", lambda dataset, *args, **options: dataset)
    monkeypatch.setattr(grain, "ReadOptions", lambda **options: asked.append(options) or read_options(**options))
    take(dataclasses.replace(data, num_workers=num_workers), 1)
    assert asked[0]["num_threads"] == num_threads


def test_batches_larger_than_the_dataset_repeat_it(data):
    few = dataclasses.replace(data, train_split="train[:4]")
    (batch, *_) = take(few, 2, global_batch_size=8)
    assert sorted(batch["example_index"]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert not np.array_equal(batch["image"][0], batch["image"][4])


def test_without_augmentation_training_sees_plain_crops(data):
    plain = dataclasses.replace(data, augment=False)
    split = open_split(plain, "train")
    for batch in take(plain, 3):
        for position, row in enumerate(batch["example_index"]):
            expected = crop_example(split[int(row)], plain, STRIDE)
            for name in expected.keys() - {"example_index"}:
                np.testing.assert_array_equal(batch[name][position], expected[name], err_msg=name)


@pytest.mark.parametrize("num_hosts", [1, 2, 4])
def test_evaluation_shows_every_example_once(data, num_hosts):
    hosts = [
        list(eval_batches(data, "val", heatmap_stride=STRIDE, global_batch_size=4, host=host, num_hosts=num_hosts))
        for host in range(num_hosts)
    ]
    assert {len(batches) for batches in hosts} == {2}  # 5 examples in batches of 4
    real = [row for batches in hosts for batch in batches for row in batch["example_index"][batch["is_real"]]]
    assert sorted(real) == list(range(NUM_VAL))
    split = open_split(data, "val")
    for batch in itertools.chain(*hosts):
        for position, is_real in enumerate(batch["is_real"]):
            if is_real:
                expected = crop_example(split[int(batch["example_index"][position])], data, STRIDE)
                np.testing.assert_array_equal(batch["image"][position], expected["image"])
                assert batch["key"][position].decode() == split[int(batch["example_index"][position])]["key"]
            else:
                assert not batch["joint_annotated"][position].any()
                assert not batch["hand_present_known"][position]


def test_splits_can_be_sliced_and_counted(data):
    assert split_size(data, "train") == NUM_TRAIN
    assert split_size(data, "train[:4]") == 4
    assert split_size(data, "train+val") == NUM_TRAIN + NUM_VAL
    assert open_split(data, "train[2:]")[0]["key"] == open_split(data, "train")[2]["key"]


def test_examples_come_back_as_they_were_stored(tmp_path):
    example = fake_example(5, size=32)
    data = DataConfig(data_dir=str(write_examples(tmp_path, {"train": [example]})))
    (stored,) = [open_split(data, "train")[row] for row in range(1)]
    assert stored.keys() == example.keys()
    for name, value in example.items():
        np.testing.assert_array_equal(stored[name], value, err_msg=name)
        assert np.asarray(stored[name]).dtype == np.asarray(value).dtype, name


def test_a_missing_dataset_names_the_folder_and_the_command(tmp_path):
    data = DataConfig(name="interhand26m", data_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"no prepared dataset in .*interhand26m; prepare it with: python -m") as error:
        take(data, 1)
    assert f"input_pipeline.prepare interhand26m --raw DIR --data_dir {tmp_path}" in str(error.value)


@pytest.mark.parametrize("split", ["test2", "train[:4", "train[:11]", "train[:0]"])
def test_missing_and_empty_splits_are_named(data, split):
    with pytest.raises(ValueError, match=r"has no split|has no examples"):
        split_size(data, split)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"global_batch_size": 6, "num_hosts": 4}, "global_batch_size=6 must be a multiple of the 4 hosts"),
        ({"global_batch_size": 0}, "global_batch_size=0"),
        ({"heatmap_stride": 3}, "must be a multiple of heatmap_stride=3"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        train_batches(data, **({"heatmap_stride": STRIDE, "global_batch_size": 4, "seed": 0} | arguments))


def test_a_damaged_image_stops_training_by_name(tmp_path):
    example = fake_example(0, size=32)
    example["image"] = example["image"][:-20]
    data = DataConfig(data_dir=str(write_examples(tmp_path, {"train": [example]})), input_size_px=32)
    with pytest.raises(ValueError, match="image of example 'fake/0/000000' is not a complete"):
        take(data, 1, global_batch_size=1)


@pytest.mark.parametrize("damage", ["cut", "overwrite"])
def test_damaged_records_stop_training_by_name(tmp_path, damage):
    examples = [fake_example(index, size=32) for index in range(4)]
    data = DataConfig(data_dir=str(write_examples(tmp_path, {"train": examples})), input_size_px=32)
    (shard,) = tmp_path.rglob("*train*array_record*")
    content = bytearray(shard.read_bytes())
    middle = len(content) // 2
    content[middle:] = b"" if damage == "cut" else bytes(len(content) - middle)
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=r"synthetic_hands/1.0.0 .*can't be read"):
        take(data, 1)


def test_damaged_metadata_are_named(tmp_path):
    data = DataConfig(data_dir=str(write_examples(tmp_path, {"train": [fake_example(0, size=32)]})))
    (info,) = tmp_path.rglob("dataset_info.json")
    info.write_text(info.read_text()[:50])
    with pytest.raises(ValueError, match=r"the dataset in .*/synthetic_hands is damaged .*delete it, then prepare"):
        open_split(data, "train")


def test_the_input_pipeline_imports_no_jax():
    allowed = {"skeleton", "choices", "fields", "files", "geometry", "hands", "drawing", "progress", "user_errors"}
    for path in Path(input_pipeline.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                top, *rest = name.split(".")
                assert top not in {"jax", "flax", "optax", "orbax", "tensorflow"}, path
                assert top != "occrobnet_jax" or rest[0] in allowed, path


def test_several_datasets_are_one_after_the_other(tmp_path):
    names = ("first", "second")
    for number, name in enumerate(names):
        splits = {"train": [fake_example(index, size=32, seed=number) for index in range(3 + number)]}
        write_examples(tmp_path, splits | ({"val": splits["train"][:2]} if number else {}), name)
    data = DataConfig(name="first+second", data_dir=str(tmp_path), input_size_px=32)
    split = pickle.loads(pickle.dumps(open_split(data, "train")))
    single = [open_split(dataclasses.replace(data, name=name), "train") for name in names]
    assert [split[row]["key"] for row in range(len(split))] == [
        part[row]["key"] for part in single for row in range(len(part))
    ]
    assert len(split) == split_size(data, "train") == 7
    for row in (-1, 7):
        with pytest.raises(IndexError):
            split[row]
    batches = take(data, 7, global_batch_size=1)
    assert sorted(int(batch["example_index"][0]) for batch in batches) == list(range(7))
    assert split_size(data, "second/val") == split_size(data, "second/train[:2]") == 2
    with pytest.raises(ValueError, match="has no split 'val'"):
        open_split(data, "val")
    with pytest.raises(ValueError, match=r"names the dataset 'third'; data.name='first\+second' has"):
        open_split(data, "third/val")


@pytest.fixture(scope="module")
def mixture(tmp_path_factory):
    """A dataset of three examples (rows 0 to 2) that is half of training, and one of seven (3 to 9)."""
    folder = tmp_path_factory.mktemp("mixture")
    for name, rows in (("few", range(3)), ("many", range(3, 10))):
        write_examples(folder, {"train": [fake_example(row, size=32) for row in rows]}, name)
    return DataConfig(name="few+many", shares=(0.5, 0.5), data_dir=str(folder), input_size_px=32)


def test_each_dataset_has_its_share_of_every_batch_and_its_own_epochs(mixture):
    seen = rows(take(mixture, 7))
    assert (seen.reshape(7, 4) < 3).sum(1).tolist() == [2] * 7
    assert sorted(seen[seen >= 3][:7]) == list(range(3, 10))
    assert sorted(seen[seen < 3][:3]) == [0, 1, 2]
    other = rows(take(dataclasses.replace(mixture, shares=(0.25, 0.75)), 20))
    assert (other < 3).mean() == 0.25


def test_a_mixture_restarts_exactly_and_is_that_of_any_number_of_hosts(mixture):
    whole = take(mixture, 5)
    assert_same(whole[3:], take(mixture, 2, examples_seen=12))
    halves = [take(mixture, 5, host=host, num_hosts=2) for host in (0, 1)]
    np.testing.assert_array_equal(rows(whole).reshape(5, 2, 2), np.stack([rows(h).reshape(5, 2) for h in halves], 1))
    assert rows(whole).tolist() != rows(take(mixture, 5, seed=6)).tolist()
