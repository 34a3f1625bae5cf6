"""Checkpoints in a bucket: whole or none, whatever happens to the copy."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from etils import epath

from occrobnet_jax.files import copies
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import path_of
from occrobnet_jax.runs import bucket_checkpoints
from occrobnet_jax.runs.bucket_checkpoints import checkpoint_writer
from occrobnet_jax.runs.checkpoint import CheckpointWriter
from occrobnet_jax.runs.checkpoint_folders import FOLDER, checkpoint_steps
from occrobnet_jax.runs.checkpoint_folders import main as print_newest
from occrobnet_jax.runs.checksums import CHECKSUMS_FILE
from occrobnet_jax.runs.restore import restore_for_inference, restore_state
from occrobnet_jax.runs.state import TrainState, state_sha256
from tests.runs.test_checkpoint import abstract, meta, new_state
from tests.support import buckets


@pytest.fixture
def workdir() -> Iterator[epath.Path]:
    with buckets.in_memory() as url:
        yield path_of(f"{url}/run")


def save(workdir: Path | epath.Path, steps: list[int], keep: int = 3) -> None:
    with checkpoint_writer(workdir, keep) as checkpoints:
        for step in steps:
            checkpoints.save(new_state(step), meta(step))


def restored(workdir: Path | epath.Path) -> tuple[TrainState, int]:
    found = restore_state(workdir, abstract(new_state()))
    assert found is not None
    return found[0], found[1].step


def assert_is(state: TrainState, step: int) -> None:
    expected = new_state(step)
    assert state_sha256(state) == state_sha256(expected.replace(step=state.step))


def names(folder: epath.Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_what_is_saved_is_restored_and_only_what_shall_stay_stays(workdir: epath.Path) -> None:
    save(workdir, [10, 20, 30], keep=2)
    assert names(workdir / FOLDER) == {"20", "30"}
    state, step = restored(workdir)
    assert step == 30
    assert_is(state, 30)
    assert restore_for_inference(str(workdir), 20).step == 20
    assert restore_for_inference(workdir / FOLDER / "20").step == 20


def test_both_kinds_of_places_hold_the_same_checkpoint(workdir: epath.Path, tmp_path: Path) -> None:
    save(workdir, [10])
    with bucket_checkpoints.at_hand(workdir / FOLDER / "10") as copy:
        copy.rename(tmp_path / "10")
    (tmp_path / "run" / FOLDER).mkdir(parents=True)
    (tmp_path / "10").rename(tmp_path / "run" / FOLDER / "10")
    assert_is(restored(tmp_path / "run")[0], 10)
    assert isinstance(checkpoint_writer(tmp_path / "run", 3), CheckpointWriter)


def test_without_its_checksums_a_checkpoint_is_none_and_goes(workdir: epath.Path) -> None:
    save(workdir, [10, 20])
    (workdir / FOLDER / "20" / CHECKSUMS_FILE).unlink()
    assert checkpoint_steps(workdir) == [10]
    assert restored(workdir)[1] == 10
    save(workdir, [])
    assert names(workdir / FOLDER) == {"10"}


def test_schedulers_are_told_the_newest_step(workdir: epath.Path, capsys: pytest.CaptureFixture) -> None:
    assert print_newest([str(workdir)]) == 0
    save(workdir, [9, 10])
    assert print_newest([str(workdir)]) == 0
    (workdir / FOLDER / "10" / CHECKSUMS_FILE).unlink()
    assert print_newest([str(workdir)]) == 0
    assert capsys.readouterr().out == "\n10\n9\n"


def test_an_upload_that_fails_is_told_and_leaves_those_before(
    workdir: epath.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(workdir, [10])
    upload, number = copies.upload, iter(range(100))

    def fail(source: Path, target: epath.Path) -> None:
        if next(number) == 5:
            raise OSError(f"{target} can't be reached: the network is down")
        upload(source, target)

    monkeypatch.setattr(bucket_checkpoints, "upload", fail)
    expected = r"a checkpoint can't be written to s3://bucket/run/checkpoints \(.*is down\); those"
    with pytest.raises(OSError, match=expected):
        save(workdir, [20])
    assert checkpoint_steps(workdir) == [10]
    assert names(workdir / FOLDER) == {"10", "20"}
    monkeypatch.undo()


def test_a_damaged_checkpoint_is_put_aside_and_the_one_before_taken(workdir: epath.Path) -> None:
    save(workdir, [10, 20])
    damaged = next(path for path in (workdir / FOLDER / "20" / "variables" / "d").iterdir())
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    write_atomically(damaged, bytes(content))
    with pytest.raises(
        ValueError, match=r"checkpoint 20 in s3://bucket/run/checkpoints is damaged: variables/d/.* has changed"
    ):
        restore_for_inference(workdir, 20)
    state, step = restored(workdir)
    assert step == 10
    assert_is(state, 10)
    assert names(workdir / FOLDER) == {"10", "20.damaged"}
    save(workdir, [20])
    assert restored(workdir)[1] == 20
    assert names(workdir / FOLDER) == {"10", "20", "20.damaged"}


def test_checksums_that_lead_out_of_the_checkpoint_are_not_followed(workdir: epath.Path, tmp_path: Path) -> None:
    save(workdir, [10, 20])
    write_atomically(workdir / "secret", "secret")
    write_atomically(workdir / FOLDER / "20" / CHECKSUMS_FILE, '{"../../secret": "00"}')
    assert restored(workdir)[1] == 10


def test_numbers_keep_their_types(workdir: epath.Path) -> None:
    save(workdir, [10])
    state, _ = restored(workdir)
    for found, expected in zip(jax.tree.leaves(state), jax.tree.leaves(new_state(10)), strict=True):
        assert isinstance(found, jax.Array)
        assert found.dtype == expected.dtype
        assert np.shape(found) == np.shape(expected)
