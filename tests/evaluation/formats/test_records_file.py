import io
import itertools
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest

from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.records import Records, Setting, in_chunks, num_rows, select
from occrobnet_jax.evaluation.metrics.metrics import compute_metrics
from tests.support.fake_predictions import noisy_records
from tests.support.fake_records import SIZE_PX

SETTING = Setting(SIZE_PX, None, {"split": "test"})


def in_parts(records: Records, *sizes: int) -> Iterator[Records]:
    ends = np.cumsum([0, *sizes])
    return (select(records, slice(start, end)) for start, end in itertools.pairwise(ends))


def assert_same(found: Records, expected: Records) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_chunks_hold_every_row_once_whatever_the_parts_were() -> None:
    records = noisy_records(12)
    for sizes in ((12,), (5, 7), (1, 1, 10), (4, 4, 4), (0, 12)):
        chunks = list(in_chunks(in_parts(records, *sizes), 4))
        assert [num_rows(chunk) for chunk in chunks] == [4, 4, 4]
        assert_same({name: np.concatenate([chunk[name] for chunk in chunks]) for name in records}, records)
    assert [num_rows(chunk) for chunk in in_chunks([records], 5)] == [5, 5, 2]
    assert list(in_chunks([])) == []


def test_a_file_written_in_parts_is_read_in_chunks_by_rows_and_by_numpy(tmp_path: Path) -> None:
    records = noisy_records(12)
    records_file.save(tmp_path / "predictions.npz", in_parts(records, 5, 1, 6), SETTING)
    file = records_file.open_records(tmp_path / "predictions.npz")
    assert (file.num_rows, file.setting) == (12, SETTING)
    assert_same({name: np.concatenate([chunk[name] for chunk in file.chunks(5)]) for name in records}, records)
    assert_same(file.rows([7, 2, 11]), select(records, [7, 2, 11]))
    assert num_rows(file.rows([])) == 0
    with np.load(tmp_path / "predictions.npz") as read:
        assert_same({name: read[name] for name in records}, records)
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.npz"]


def test_how_a_file_is_packed_changes_nothing_that_is_read(tmp_path: Path) -> None:
    """Neither the parts, nor NumPy's own writer, nor columns that lie in memory column by column."""
    records = noisy_records(6)
    other = {name: np.asfortranarray(values) for name, values in records.items()}
    records_file.save(tmp_path / "a.npz", in_parts(records, 2, 4), SETTING)
    np.savez(tmp_path / "b.npz", **other, input_size_px=np.int32(SIZE_PX), switches=np.array('{"split": "test"}'))  # type: ignore[arg-type]
    assert records_file.arrays_sha256(tmp_path / "a.npz") == records_file.arrays_sha256(tmp_path / "b.npz")
    first, second = (records_file.open_records(tmp_path / name).chunks(4) for name in ("a.npz", "b.npz"))
    for ours, numpys in zip(first, second, strict=True):
        assert_same(ours, numpys)


def test_texts_of_several_lengths_get_the_longest(tmp_path: Path) -> None:
    records = noisy_records(2)
    parts = [select(records, [row]) | {"key": np.array([b"x" * (3 + 4 * row)])} for row in range(2)]
    records_file.save(tmp_path / "a.npz", parts, SETTING)
    assert records_file.load(tmp_path / "a.npz")[0]["key"].tolist() == [b"xxx", b"xxxxxxx"]


def test_what_fails_meanwhile_leaves_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "predictions.npz"
    records_file.save(path, [noisy_records(2)], SETTING)
    before = path.read_bytes()

    def broken() -> Iterator[Records]:
        yield noisy_records(2)
        raise RuntimeError("a host is lost")

    with pytest.raises(RuntimeError):
        records_file.save(path, broken(), SETTING)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["predictions.npz"]


def repacked(source: Path, target: Path, name: str, content: bytes) -> Path:
    with zipfile.ZipFile(source) as read, zipfile.ZipFile(target, "w") as written:
        for member in read.namelist():
            written.writestr(member, content if member == f"{name}.npy" else read.read(member))
    return target


def test_a_file_that_contradicts_itself_is_refused_in_one_sentence(tmp_path: Path) -> None:
    records_file.save(tmp_path / "a.npz", [noisy_records(3)], SETTING)
    with zipfile.ZipFile(tmp_path / "a.npz") as archive:
        whole = archive.read("predicted_joints_px.npy")
        objects = archive.read("key.npy").replace(b"'|S96',", b"'|O',  ")
    for name, content, message in (
        ("predicted_joints_px", whole[:-1], "ends too early"),
        ("predicted_joints_px", whole + b"0", "longer than it says"),
        ("predicted_joints_px", whole.replace(b"(3, 2, 21, 2)", b"(4, 2, 21, 2)"), "same number of rows"),
        ("predicted_joints_px", b"nothing", "magic string"),
        ("key", objects, "Python objects"),
    ):
        path = repacked(tmp_path / "a.npz", tmp_path / "b.npz", name, content)
        with pytest.raises(ValueError, match=message) as caught:
            list(records_file.open_records(path).chunks(2))
        assert "b.npz" in str(caught.value)


ROWS, KB_A_ROW, KB_AT_ALL = 20_000, 0.5, 20_000


@pytest.fixture
def without_type_checks() -> Iterator[None]:
    """Checking each array's shape takes ten times as long as the metrics of a small chunk."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.long
@pytest.mark.usefixtures("without_type_checks")
def test_the_memory_of_an_evaluation_is_bounded_by_chunks_not_by_rows(tmp_path: Path) -> None:
    """20,000 rows written, read and measured; all of them at once took 204 kB a row, for the tokens alone."""
    chunk = next(in_chunks([noisy_records(12)] * 50))
    count = num_rows(chunk)
    chunk = {name: values[:, :8] if "keypoint" in name else values for name, values in chunk.items()}  # for speed
    chunk |= {"predicted_visibility_probability": np.random.default_rng(0).random((count, 2, 21), np.float32)}
    chunks = (select(chunk, slice(None, ROWS - start)) for start in range(0, ROWS, count))
    tracemalloc.start()
    try:
        records_file.save(tmp_path / "predictions.npz", chunks, SETTING)
        file = records_file.open_records(tmp_path / "predictions.npz")
        metrics = compute_metrics(file.chunks(), file.setting)
        peak_kb = tracemalloc.get_traced_memory()[1] / 1000
    finally:
        tracemalloc.stop()
    assert metrics["num_examples"] == ROWS
    assert peak_kb < KB_AT_ALL + KB_A_ROW * ROWS


def packed(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def array_file(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("read", [records_file.open_records, records_file.read_arrays, records_file.arrays_sha256])
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({f"a{number}": b"" for number in range(999)}, "it holds 999 arrays where at most 200"),
        ({"keys": array_file(np.array([{}], object))}, "Python objects|allow_pickle=False"),
        ({"keys": array_file(np.zeros(records_file.ALWAYS_ALLOWED_BYTES, np.uint8))}, r"claims 67,108,992 bytes in \d"),
        ({"keys": b"no array"}, "is not a predictions file of this project"),
        ({"keys": array_file(np.zeros(3))[:-60]}, "is not a predictions file of this project"),
    ],
    ids=["many", "objects", "zeros", "text", "cut"],
)
def test_hostile_archives_are_refused_in_one_sentence(tmp_path: Path, read: Any, members: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(packed(tmp_path / "predictions.npz", **members))
