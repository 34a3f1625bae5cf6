"""Reads weights out of PyTorch's own files without PyTorch, and without running what is pickled in them.

A `.pth` file is a pickle whose tensors stand outside of it: in records of a zip archive (since PyTorch 1.6), or one
after the other behind it (before; torchvision's older files are of that kind). `files.pickles` reads it, which runs
nothing; what it may name is what tensors and plain containers are made of. Tensors are read when they are asked for,
so that an optimizer's state beside the weights costs nothing.
"""

import collections
import contextlib
import dataclasses
import functools
import io
import math
import mmap
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from occrobnet_jax.files.pickle_instructions import Program
from occrobnet_jax.files.pickles import Allowed, Global, load_allowed
from occrobnet_jax.files.shown import shown

STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
MAX_PICKLE_BYTES = 256 * 2**20  # of the part without tensors
LEGACY_MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
LEGACY_PROTOCOL = 1001
ZIP_START = b"PK\x03\x04"
COUNT = struct.Struct("<q")  # elements of a storage, before its bytes in the older format
MAX_DIMENSIONS = 16
MAX_ELEMENTS = 2**40  # of a tensor, and the largest stride
MAX_VIEWS = 4  # so many times the file's size are the most that its tensors may be together

ReadStorage = Callable[["Storage"], bytes]


@dataclasses.dataclass(frozen=True)
class Storage:
    """A run of numbers in the file."""

    key: str
    dtype: np.dtype
    size: int


@dataclasses.dataclass(frozen=True)
class TorchTensor:
    """A tensor that has not been read yet: a strided view of a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Size of its numbers."""
        return self.storage.dtype.itemsize * math.prod(self.shape)

    def array(self, read_storage: ReadStorage) -> np.ndarray:
        """Read its numbers.

        Raises:
            ValueError: the file holds fewer bytes than the storage should have.
        """
        if not math.prod(self.shape):
            return np.zeros(self.shape, self.storage.dtype)
        flat = np.frombuffer(read_storage(self.storage), self.storage.dtype)
        itemsize = self.storage.dtype.itemsize
        strides = tuple(itemsize * step for step in self.stride)
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides, writeable=False)
        return np.ascontiguousarray(view).reshape(self.shape)


def read_torch_file(path: Path, select: Callable[[Any], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Read tensors of a file that `torch.save` wrote.

    Args:
        path: of the file.
        select: from what was saved, tensors as `TorchTensor`, to the dictionary of those that are wanted.

    Raises:
        ValueError: the file can't be read, is damaged, or asks for code to be run.
    """
    try:
        with _opened(path) as (content, read_storage):
            wanted = select(content)
            size = sum(tensor.num_bytes for tensor in wanted.values())
            if size > MAX_VIEWS * path.stat().st_size:
                raise ValueError(f"{path} is refused: its tensors have {size:,} bytes together, far more than the file")
            read = functools.cache(read_storage)  # of which tensors may share one
            return {name: tensor.array(read) for name, tensor in wanted.items()}
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, ReadStorage]]:
    with path.open("rb") as file:
        start = file.read(512)
        if start.startswith(ZIP_START):
            with _zip(file, path) as archive:
                yield _zip_content(archive, path)
        elif start.startswith(LEGACY_MAGIC):
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                yield _legacy_content(mapped, path)
        else:
            is_tar = start[257:262] == b"ustar"
            kind = "of PyTorch's oldest, tar format; save it again with a newer PyTorch" if is_tar else "unknown to us"
            raise ValueError(f"{path} is not a file that torch.save wrote: its format is {kind}")


# --- The zip format


def _zip(file: io.BufferedIOBase, path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is damaged, perhaps an incomplete download: {error}") from error


def _zip_content(archive: zipfile.ZipFile, path: Path) -> tuple[Any, ReadStorage]:
    """Return what was saved, and a function that reads its storages."""
    records = {record.filename: record for record in archive.infolist()}
    pickles = [name for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(pickles) != 1:
        raise ValueError(
            f"{path} is a zip archive, but not one that torch.save wrote: it holds {len(pickles)} data.pkl"
        )
    folder = pickles[0].removesuffix("data.pkl")

    def read(name: str, most: int) -> bytes:
        record = records.get(folder + name)
        if record is None:
            raise ValueError(f"{path} is damaged: the record {folder}{name} is missing")
        if record.compress_type != zipfile.ZIP_STORED or record.file_size > most:
            raise ValueError(
                f"{path} is damaged: the record {folder}{name} is compressed or has more than {most:,} bytes"
            )
        try:
            return archive.read(record)
        except (zipfile.BadZipFile, EOFError, RuntimeError, struct.error) as error:
            raise ValueError(f"{path} is damaged, perhaps an incomplete download: {error}") from error

    def read_storage(storage: Storage) -> bytes:
        size = storage.size * storage.dtype.itemsize
        content = read(f"data/{storage.key}", size)
        if len(content) != size:
            raise ValueError(f"{path} is damaged: data/{storage.key} has {len(content):,} bytes instead of {size:,}")
        return content

    if folder + "byteorder" in records and read("byteorder", 16) != b"little":
        raise ValueError(f"{path} was saved on a big-endian machine, which can't be read")
    program = read("data.pkl", MAX_PICKLE_BYTES)
    content = _unpickled(io.BytesIO(program), len(program), path, {})
    return content, read_storage


# --- The older format


def _legacy_content(file: mmap.mmap, path: Path) -> tuple[Any, ReadStorage]:
    """Read five pickles (magic number, version, machine, content, keys of the storages), then each storage."""
    storages: dict[str, Storage] = {}
    size = min(len(file), MAX_PICKLE_BYTES)
    _, version, machine, content, keys = (_unpickled(file, size, path, storages) for _ in range(5))
    if version != LEGACY_PROTOCOL:
        raise ValueError(
            f"{path} has the version {shown(version)} of PyTorch's older format where {LEGACY_PROTOCOL} is known"
        )
    if isinstance(machine, Mapping) and machine.get("little_endian") is False:
        raise ValueError(f"{path} was saved on a big-endian machine, which can't be read")
    places = _legacy_places(file, path, keys, storages)

    def read_storage(storage: Storage) -> bytes:
        if storage.key not in places:
            raise ValueError(f"{path} is damaged: the storage {storage.key} is missing")
        file.seek(places[storage.key])
        size = storage.size * storage.dtype.itemsize
        numbers = file.read(size)
        if len(numbers) != size:
            raise ValueError(f"{path} is damaged, perhaps an incomplete download: it ends in the storage {storage.key}")
        return numbers

    return content, read_storage


def _legacy_places(file: mmap.mmap, path: Path, keys: Any, storages: dict[str, Storage]) -> dict[str, int]:
    """Return where the bytes of each storage begin."""
    places: dict[str, int] = {}
    place = file.tell()
    for key in keys if isinstance(keys, list) else []:
        file.seek(min(place, len(file)))
        header = file.read(COUNT.size)
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or len(header) < COUNT.size or COUNT.unpack(header)[0] != storage.size:
            raise ValueError(
                f"{path} is damaged, perhaps an incomplete download: its storage {shown(key)} can't be found"
            )
        places[key] = place + COUNT.size
        place += COUNT.size + storage.size * storage.dtype.itemsize
    return places


# --- The pickle


def _unpickled(program: Program, size: int, path: Path, storages: dict[str, Storage]) -> Any:
    """Read the next pickle of a stream; the storages that it names are added to `storages`."""
    allowed = Allowed(CALLS, STORAGE_TYPES, functools.partial(_storage, storages), integer_keys=True)
    try:
        return load_allowed(program, size, allowed)
    except _Refused as error:
        raise ValueError(f"{path} is refused: it {error}") from error
    except ValueError as error:
        refused = str(error).startswith("asks for")
        remedy = "; save the state dict alone, with torch.save(network.state_dict(), FILE)" if refused else ""
        state = "refused" if refused else "damaged, perhaps an incomplete download"
        raise ValueError(f"{path} is {state}: it {error}{remedy}") from error


class _Refused(ValueError):
    """The pickle describes a tensor that there can't be."""


def _storage(storages: dict[str, Storage], identity: Any) -> Storage:
    """Return a storage from the tuple ("storage", type, key, device, size, ...)."""
    if not isinstance(identity, tuple) or len(identity) < 5:
        raise _Refused("holds something outside of it that is no storage of numbers")
    kind, storage_type, key, _, size, *view = identity
    if kind != "storage" or any(part is not None for part in view):
        raise _Refused(f"holds a {shown(kind)} that is no plain storage of numbers")
    if not (isinstance(storage_type, Global) and storage_type.name in STORAGE_TYPES):
        raise _Refused("holds a storage without a type of number")
    if not (isinstance(key, str) and type(size) is int and 0 <= size <= MAX_ELEMENTS):
        raise _Refused(f"holds a storage {shown(key)} that is not described as storages are")
    described = Storage(key, np.dtype(STORAGES[storage_type.name.removeprefix("torch ")]), size)
    if storages.setdefault(key, described) != described:
        raise _Refused(f"describes the storage {shown(key)} in two ways")
    return described


def _tensor(arguments: tuple[Any, ...]) -> TorchTensor:
    """Return a tensor that lies inside its storage and has no more elements than it."""
    if len(arguments) < 4:
        raise _Refused("holds a tensor that is not described as tensors are")
    storage, offset, shape, stride = arguments[:4]
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise _Refused("holds a tensor that is not described as tensors are")
    numbers = (offset, *shape, *stride) if len(shape) == len(stride) <= MAX_DIMENSIONS else ()
    sound = numbers and all(type(n) is int and 0 <= n <= MAX_ELEMENTS for n in numbers)
    if not sound or math.prod(max(n, 1) for n in shape) > MAX_ELEMENTS:
        raise _Refused(f"holds a tensor of offset {shown(offset)}, shape {shown(shape)} and strides {shown(stride)}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if math.prod(shape) and (last >= storage.size or math.prod(shape) > storage.size):
        raise _Refused(
            f"holds a tensor of shape {shown(shape)} that does not fit its storage of {storage.size} numbers"
        )
    return TorchTensor(storage, offset, shape, stride)


def _first(kind: type) -> Callable[[tuple[Any, ...]], Any]:
    """Return the reader of a call whose first argument, of a kind, is what counts."""

    def read(arguments: tuple[Any, ...]) -> Any:
        if not arguments:
            return kind()
        if not isinstance(arguments[0], kind):
            raise _Refused(f"has a {type(arguments[0]).__name__} where a {kind.__name__} is expected")
        return arguments[0]

    return read


def _ordered(arguments: tuple[Any, ...]) -> Any:
    if arguments:
        raise _Refused("fills a dictionary in a way that PyTorch doesn't")
    return collections.OrderedDict()


STORAGE_TYPES = frozenset(f"torch {name}" for name in STORAGES)
CALLS = {
    "collections OrderedDict": _ordered,
    "collections Counter": _first(dict),
    "torch Size": _first(tuple),
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _first(TorchTensor),
}
"""What a pickle of weights may call."""
