"""What is written to a bucket and read from it, in memory and at emulators of the real ones."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from etils import epath

from occrobnet_jax.files import copies
from occrobnet_jax.files.atomic import atomic_file, write_atomically
from occrobnet_jax.files.journal import Journal
from occrobnet_jax.files.paths import path_of, size_of
from occrobnet_jax.files.readers import read_json
from tests.support import buckets

EMULATORS = {"memory": buckets.in_memory, "s3": buckets.s3, "gs": buckets.gcs}


@pytest.fixture(params=EMULATORS, scope="module")
def bucket(request: pytest.FixtureRequest) -> Iterator[epath.Path]:
    with EMULATORS[request.param]() as url:
        yield path_of(f"{url}/run")


def test_what_is_written_is_read_again(bucket: epath.Path) -> None:
    path = bucket / "written" / "config.json"
    write_atomically(path, '{"a": 1}')
    assert read_json(path) == {"a": 1}
    assert size_of(path) == 8
    assert [found.name for found in (bucket / "written").iterdir()] == ["config.json"]
    write_atomically(path, '{"a": 2}')
    assert read_json(path) == {"a": 2}
    with pytest.raises(ValueError, match=r"absent\.json can't be read"):
        read_json(bucket / "absent.json")


def test_a_failed_write_leaves_the_old_object(bucket: epath.Path) -> None:
    write_atomically(bucket / "kept", "old")
    with contextlib.suppress(RuntimeError), atomic_file(bucket / "kept") as file:
        file.write(b"new")
        raise RuntimeError
    assert (bucket / "kept").read_text() == "old"


def test_a_journal_goes_on_after_what_is_there(bucket: epath.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for turn in ("first", "second"):
        journal = Journal(bucket / "metrics.jsonl")
        journal.add(f"{turn} 1")
        journal.flush()
        assert (bucket / "metrics.jsonl").read_text().endswith(f"{turn} 1\n")
        journal.add(f"{turn} 2")
        journal.close()
    assert (bucket / "metrics.jsonl").read_text() == "first 1\nfirst 2\nsecond 1\nsecond 2\n"


def test_folders_are_moved_and_removed_without_their_neighbors(bucket: epath.Path) -> None:
    for name in ("5/a", "5/b/c", "50/a", "5.damaged/old"):
        write_atomically(bucket / "steps" / name, name)
    copies.move(bucket / "steps" / "5", bucket / "steps" / "5.damaged")
    names = {str(path) for folder in (bucket / "steps").iterdir() for path in folder.iterdir()}
    assert names == {f"{bucket}/steps/{name}" for name in ("5.damaged/a", "5.damaged/b", "5.damaged/old", "50/a")}
    assert (bucket / "steps" / "5.damaged" / "b" / "c").read_text() == "5/b/c"
    copies.remove(bucket / "steps" / "50")
    copies.remove(bucket / "steps" / "50")
    assert [path.name for path in (bucket / "steps").iterdir()] == ["5.damaged"]


def test_files_go_there_and_back_and_damage_is_seen(bucket: epath.Path, tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "there").write_bytes(content)
    copies.upload(tmp_path / "there", bucket / "shard")
    copies.download(bucket / "shard", tmp_path / "in" / "back", hashlib.sha256(content).hexdigest())
    assert (tmp_path / "in" / "back").read_bytes() == content
    with pytest.raises(ValueError, match="shard is damaged"):
        copies.download(bucket / "shard", tmp_path / "in" / "damaged", "0" * 64)
    with pytest.raises(FileNotFoundError, match="absent can't be reached"):
        copies.download(bucket / "absent", tmp_path / "in" / "absent")
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["back"]


def test_a_bucket_that_is_not_there_is_one_sentence(bucket: epath.Path) -> None:
    if str(bucket).startswith(f"s3://{buckets.NAME}") and bucket.exists():
        pass
    other = path_of(str(bucket).replace(buckets.NAME, "other-bucket"))
    if isinstance(copies.opened(other)[0], buckets.MemoryBucket):
        pytest.skip("in memory every bucket is there")
    with pytest.raises(OSError, match=f"^{other}/x can't be reached: "):
        write_atomically(other / "x", "x")


def test_several_copies_end_with_the_first_error() -> None:
    done: list[int] = []

    def copy(number: int) -> None:
        if number == 3:
            raise OSError("three")
        done.append(number)

    with pytest.raises(OSError, match="three"):
        copies.several(copy, range(100))
    assert {0, 1, 2} <= set(done)
