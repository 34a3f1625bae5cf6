"""predictions.npz and labels.npz: records on disk, written and read in chunks, since a split may not fit into memory.

An .npz file is a zip archive of .npy files, one a column. Chunks are written to one file without a name a column, and
then packed; all columns are read side by side.
"""

import contextlib
import hashlib
import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from occrobnet_jax.evaluation.formats.records import (
    CHUNK,
    LABELS,
    PREDICTED,
    SHAPES,
    Records,
    Setting,
    concatenate,
    num_rows,
    select,
)
from occrobnet_jax.files.atomic import atomic_file
from occrobnet_jax.files.paths import AnyPath, in_bucket
from occrobnet_jax.progress import progress

SETTING = ("input_size_px", "mean_pose_rel_m", "switches", "pose_covariance_m2")
MAX_COLUMNS = 200
MAX_ROW_BYTES = 2**20  # of a column
MAX_SETTING_BYTES = 2**24
BLOCK_BYTES = 2**20
ALWAYS_ALLOWED_BYTES = 2**26
MOST_COMPRESSED = 200  # times that all arrays together may be larger than the file; zlib makes 1000 of zeros
COMPRESSION = 1  # of zlib's levels: float32 noise gets hardly smaller at higher ones, which take several times as long


Stream = Any
"""What reads and writes bytes: `typing.IO` leaves out the members of archives."""


class Column(NamedTuple):
    """What the head of an .npy file says."""

    dtype: np.dtype
    shape: tuple[int, ...]
    is_fortran: bool


@dataclass(frozen=True)
class RecordsFile:
    """A file that `save` wrote, of which nothing but the heads has been read."""

    path: AnyPath
    setting: Setting
    columns: Mapping[str, Column]

    @property
    def num_rows(self) -> int:
        """Number of examples."""
        return self.columns["example_index"].shape[0]

    def chunks(self, size: int = CHUNK) -> Iterator[Records]:
        """Yield the records of `size` examples at a time, in order.

        Raises:
            ValueError: the file is damaged.
        """
        with _opened(self.path) as archive:
            columns = [_parts(archive, name, column, size) for name, column in self.columns.items()]
            count = math.ceil(self.num_rows / size)
            for parts in progress(zip(*columns, strict=True), f"reading {self.path.name}", count, delay_s=2.0):
                yield dict(zip(self.columns, parts, strict=True))

    def rows(self, wanted: Sequence[int] | Int[np.ndarray, " w"]) -> Records:
        """Return the records of some rows, in the order in which they are asked for."""
        ordered = np.asarray(wanted, int)
        ascending, found, start = np.sort(ordered), [], 0
        for chunk in self.chunks():
            inside = (ascending >= start) & (ascending < start + num_rows(chunk))
            found.append(select(chunk, ascending[inside] - start))
            start += num_rows(chunk)
        return select(concatenate(found), np.searchsorted(ascending, ordered))


def save(path: AnyPath, chunks: Iterable[Records], setting: Setting) -> None:
    """Write records and setting as one .npz file, or nothing.

    Args:
        path: of the file; what is not packed yet lies beside it, without a name.
        chunks: the records in parts, all with the same columns.
        setting: what is the same for all of them.

    Raises:
        OSError: it can't be written.
    """
    with atomic_file(path) as file, contextlib.ExitStack() as spools:
        columns: dict[str, _Spool] = {}
        for chunk in chunks:
            for name, values in chunk.items():
                if name not in columns:
                    columns[name] = _Spool(spools.enter_context(tempfile.TemporaryFile(dir=_beside(path))), values)
                columns[name].add(values)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION) as archive:
            for name, column in columns.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    column.pack(member)
            for name, value in _setting_arrays(setting).items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, value, allow_pickle=False)


def _beside(path: AnyPath) -> Path | None:
    """Return where columns wait: beside the file, whose disk has room for them, or of a bucket's the system's place."""
    return None if in_bucket(path) else path.parent


def open_records(path: AnyPath, required: Iterable[str] = (*LABELS, *PREDICTED)) -> RecordsFile:
    """Return the file, to be read in chunks.

    Args:
        path: of predictions.npz or labels.npz.
        required: columns that must be there.

    Raises:
        ValueError: the file is not such a file, or contradicts itself.
    """
    with _opened(path) as archive:
        heads = {name: _head_of(archive, name) for name in _names(archive)}
        columns = {name: head for name, head in heads.items() if name not in SETTING}
        missing = sorted(({"input_size_px"} | set(required)) - heads.keys())
        if missing:
            raise ValueError(f"{path} lacks {missing}; write it again with eval.py")
        setting = _setting(archive, heads, path)
    count = columns["example_index"].shape[0] if columns["example_index"].shape else 0
    for name, column in columns.items():
        _check_column(name, column, count, path)
    return RecordsFile(path, setting, columns)


def load(path: AnyPath) -> tuple[Records, Setting]:
    """Return all records of a file at once, and their setting.

    Raises:
        ValueError: the file is not such a file, or contradicts itself.
    """
    file = open_records(path)
    return next(file.chunks(file.num_rows)), file.setting


def load_labels(path: AnyPath) -> tuple[Records, Setting]:
    """Return labels and facts of a file that `save` wrote, whether or not there are predictions in it.

    Raises:
        ValueError: the file is not such a file, or contradicts itself.
    """
    file = open_records(path, LABELS)
    columns = {name: column for name, column in file.columns.items() if not name.startswith("predicted_")}
    return next(RecordsFile(path, file.setting, columns).chunks(file.num_rows)), file.setting


def read_arrays(path: AnyPath) -> Records:
    """Return all arrays of an .npz file, unchecked.

    Raises:
        ValueError: it isn't one.
    """
    with _opened(path) as archive:
        return {name: _whole(archive, name) for name in _names(archive)}


def array_names(path: AnyPath) -> list[str]:
    """Return the names of the arrays of an .npz file.

    Raises:
        ValueError: it isn't one.
    """
    with _opened(path) as archive:
        return _names(archive)


def arrays_sha256(path: AnyPath) -> str:
    """Return the hash of names, types, shapes and values of an .npz file, however it is packed.

    Raises:
        ValueError: it isn't one.
    """
    digest = hashlib.sha256()
    with _opened(path) as archive:
        for name in sorted(_names(archive)):
            head = _head_of(archive, name)
            digest.update(f"{name} {head.dtype.str} {head.shape or (1,)}\n".encode())
            for block in _blocks(archive, name, head):
                digest.update(block)
    return digest.hexdigest()


class _Spool:
    """A column on its way to disk."""

    def __init__(self, file: Stream, first: np.ndarray) -> None:
        self._file, self._row, self._parts = file, first.shape[1:], list[tuple[np.dtype, int]]()

    def add(self, values: np.ndarray) -> None:
        """Append rows."""
        self._parts.append((values.dtype, len(values)))
        self._file.write(np.ascontiguousarray(values).tobytes())

    def pack(self, member: Stream) -> None:
        """Write everything as one .npy file; texts of several lengths get that of the longest."""
        dtype = np.result_type(*{dtype for dtype, _ in self._parts})
        shape = (sum(rows for _, rows in self._parts), *self._row)
        head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_2_0(member, head)
        self._file.seek(0)
        if all(part == dtype for part, _ in self._parts):
            shutil.copyfileobj(self._file, member, BLOCK_BYTES)
            return
        for part, rows in self._parts:
            member.write(_take(self._file, Column(part, shape, False), rows).astype(dtype).tobytes())


@contextlib.contextmanager
def _opened(path: AnyPath) -> Iterator[zipfile.ZipFile]:
    """Yield an .npz file to read from; whatever is wrong with it becomes a ValueError that names it."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            yield archive
    except MemoryError as error:
        raise ValueError(f"{path} claims arrays that don't fit into memory") from error
    except Exception as error:  # NumPy, zipfile and zlib each have their own ways to fail on damaged bytes
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f"{path} is not a predictions file of this project: {error}") from error


def _names(archive: zipfile.ZipFile) -> list[str]:
    members, claimed = archive.namelist(), sum(member.file_size for member in archive.infolist())
    packed = sum(member.compress_size for member in archive.infolist())
    if claimed > max(ALWAYS_ALLOWED_BYTES, MOST_COMPRESSED * packed):
        raise ValueError(f"it claims {claimed:,} bytes in {packed:,}, which no predictions are packed into")
    if len(members) > MAX_COLUMNS or len(set(members)) < len(members):
        raise ValueError(
            f"it holds {len(members):,} arrays where at most {MAX_COLUMNS} of different names are expected"
        )
    return [member.removesuffix(".npy") for member in members if member.endswith(".npy")]


def _head(file: Stream) -> Column:
    """Read the head of an .npy file, up to where the values begin."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are not read")
    return Column(dtype, shape, is_fortran)


def _head_of(archive: zipfile.ZipFile, name: str) -> Column:
    with archive.open(f"{name}.npy") as file:
        return _head(file)


def _parts(archive: zipfile.ZipFile, name: str, column: Column, size: int) -> Iterator[np.ndarray]:
    """Return the rows of a column, `size` at a time."""
    starts = range(0, column.shape[0], size)
    if column.is_fortran:  # by columns: no row can be read alone
        values = _whole(archive, name)
        yield from (values[start : start + size] for start in starts)
        return
    with archive.open(f"{name}.npy") as file:
        _head(file)
        yield from (_take(file, column, min(size, column.shape[0] - start)) for start in starts)
        if file.read(1):
            raise ValueError(f"{name} is longer than it says")


def _blocks(archive: zipfile.ZipFile, name: str, head: Column) -> Iterator[bytes]:
    """Return the values of an array, row by row, as bytes."""
    if head.is_fortran:
        yield _whole(archive, name).tobytes()
        return
    with archive.open(f"{name}.npy") as file:
        _head(file)
        yield from iter(lambda: file.read(BLOCK_BYTES), b"")


def _take(file: Stream, column: Column, rows: int) -> np.ndarray:
    """Return the next rows of a column."""
    shape = (rows, *column.shape[1:])
    size = column.dtype.itemsize * int(np.prod(shape, dtype=object))
    data = file.read(size)
    if len(data) < size:
        raise ValueError("an array ends too early")
    return np.frombuffer(bytearray(data), column.dtype).reshape(shape)


def _whole(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _setting_arrays(setting: Setting) -> dict[str, np.ndarray]:
    poses = {"mean_pose_rel_m": setting.mean_pose_rel_m, "pose_covariance_m2": setting.pose_covariance_m2}
    known = {name: values for name, values in poses.items() if values is not None}
    switches = np.array(json.dumps(dict(setting.switches)))
    return {"input_size_px": np.array(setting.input_size_px, np.int32), **known, "switches": switches}


def _setting(archive: zipfile.ZipFile, heads: Mapping[str, Column], path: AnyPath) -> Setting:
    """Return what is the same for all examples."""
    try:
        for name in SETTING:
            if name in heads and heads[name].dtype.itemsize * np.prod(heads[name].shape) > MAX_SETTING_BYTES:
                raise ValueError(f"{name} is too large")
        size, mean, switches, covariance = (_whole(archive, name) if name in heads else None for name in SETTING)
        assert size is not None
        read = {} if switches is None else json.loads(str(switches[()]))
        for values, shape in ((size, ()), (mean, (2, 21, 3)), (covariance, (2, 60, 60))):
            if values is not None and values.shape != shape:
                raise ValueError("their shapes are wrong")
        if not isinstance(read, dict):
            raise ValueError("the switches are no object")
        return Setting(int(size), mean, read, covariance)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {', '.join(SETTING)} can't be read: {error}") from error


def _check_column(name: str, column: Column, count: int, path: AnyPath) -> None:
    shape, expected = column.shape, SHAPES.get(name)
    if not shape or shape[0] != count or count == 0:
        raise ValueError(f"{path}: {name} has the shape {shape}; all arrays must have the same number of rows")
    if expected is not None and None not in expected and shape[1:] != expected:
        raise ValueError(f"{path}: {name} has the shape {shape}, expected {(count, *expected)}")
    if column.dtype.kind not in ("S" if name in ("key", "sequence") else "biuf"):
        raise ValueError(f"{path}: {name} is of type {column.dtype}")
    if column.dtype.itemsize * int(np.prod(shape[1:], dtype=object)) > MAX_ROW_BYTES:
        raise ValueError(f"{path}: {name} has the shape {shape}; no row is longer than {MAX_ROW_BYTES:,} bytes")
