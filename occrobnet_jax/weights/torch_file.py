"""Reads weights out of PyTorch's own files without PyTorch, and without running what is pickled in them.

A `.pth` file is a pickle whose tensors stand outside of it: in records of a zip archive (since PyTorch 1.6), or one
after the other behind it (before; torchvision's older files are of that kind). A pickle may call any function that
it names, so that this one is allowed to name only what tensors and plain containers are made of; whatever else it
asks for is refused. Tensors are read when they are asked for, so that an optimiser's state beside the weights costs
nothing.
"""

import collections
import contextlib
import dataclasses
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

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

    def array(self, read_storage: ReadStorage) -> np.ndarray:
        """Its numbers.

        Raises:
            ValueError: the file holds fewer bytes than the storage should have.
        """
        flat = np.frombuffer(read_storage(self.storage), self.storage.dtype)
        itemsize = self.storage.dtype.itemsize
        strides = tuple(itemsize * step for step in self.stride)
        view = np.lib.stride_tricks.as_strided(flat[self.offset :], self.shape, strides, writeable=False)
        return np.ascontiguousarray(view).reshape(self.shape)


def read_torch_file(path: Path, select: Callable[[Any], Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Tensors of a file that `torch.save` wrote.

    Args:
        path: of the file.
        select: from what was saved, tensors as `TorchTensor`, to the dictionary of those that are wanted.

    Raises:
        ValueError: the file can't be read, is damaged, or asks for code to be run.
    """
    try:
        with _opened(path) as (content, read_storage):
            wanted = select(content)
            return {name: tensor.array(read_storage) for name, tensor in wanted.items()}
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, ReadStorage]]:
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start.startswith(ZIP_START):
            with _zip(file, path) as archive:
                yield _zip_content(archive, path)
        elif start.startswith(LEGACY_MAGIC):
            yield _legacy_content(file, path)
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
    """What was saved, and a function that reads its storages."""
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
    content = _unpickled(io.BytesIO(read("data.pkl", MAX_PICKLE_BYTES)), path, {})
    return content, read_storage


# --- The older format


def _legacy_content(file: io.BufferedIOBase, path: Path) -> tuple[Any, ReadStorage]:
    """Five pickles (magic number, version, machine, content, keys of the storages), then each storage."""
    storages: dict[str, Storage] = {}
    for check in (None, LEGACY_PROTOCOL):
        value = _unpickled(file, path, storages)
        if check is not None and value != check:
            raise ValueError(f"{path} has the version {value!r} of PyTorch's older format where {check} is known")
    machine = _unpickled(file, path, storages)
    if isinstance(machine, Mapping) and machine.get("little_endian") is False:
        raise ValueError(f"{path} was saved on a big-endian machine, which can't be read")
    content = _unpickled(file, path, storages)
    places = _legacy_places(file, path, _unpickled(file, path, storages), storages)

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


def _legacy_places(file: io.BufferedIOBase, path: Path, keys: Any, storages: dict[str, Storage]) -> dict[str, int]:
    """Where the bytes of each storage begin."""
    places: dict[str, int] = {}
    place = file.tell()
    for key in keys if isinstance(keys, list) else []:
        file.seek(place)
        header = file.read(COUNT.size)
        storage = storages.get(key) if isinstance(key, str) else None
        if storage is None or len(header) < COUNT.size or COUNT.unpack(header)[0] != storage.size:
            raise ValueError(f"{path} is damaged, perhaps an incomplete download: its storage {key!r} can't be found")
        places[key] = place + COUNT.size
        place += COUNT.size + storage.size * storage.dtype.itemsize
    return places


# --- The pickle


def _unpickled(file: io.BufferedIOBase, path: Path, storages: dict[str, Storage]) -> Any:
    """The next pickle of a file; the storages that it names are added to `storages`."""
    try:
        return _TensorUnpickler(file, storages).load()
    except _Refused as error:
        raise ValueError(f"{path} is refused: {error}") from error
    except Exception as error:  # a damaged pickle fails in as many ways as there are instructions
        raise ValueError(f"{path} is damaged, perhaps an incomplete download: {error}") from error


class _Refused(Exception):
    """The pickle asks for something that weights don't need."""


class _TensorUnpickler(pickle.Unpickler):
    """Makes tensors and plain containers, and nothing else."""

    def __init__(self, file: io.BufferedIOBase, storages: dict[str, Storage]) -> None:
        super().__init__(file)
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        """What the pickle may call, by name; a pickle of weights needs no more."""
        if module == "torch" and name in STORAGES:
            return _StorageType(np.dtype(STORAGES[name]))
        allowed = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("collections", "Counter"): collections.Counter,
            ("torch", "Size"): tuple,
            ("torch._utils", "_rebuild_tensor"): lambda *given: _tensor(*given),
            ("torch._utils", "_rebuild_tensor_v2"): lambda *given: _tensor(*given[:4]),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *unused: tensor,
        }
        if (module, name) not in allowed:
            raise _Refused(
                f"it asks for {module}.{name}, and a file of weights needs only tensors, numbers, texts and plain "
                "containers; save the state dict alone, with torch.save(network.state_dict(), FILE)"
            )
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        """A storage, from the tuple ("storage", type, key, device, size, ...)."""
        kind, storage_type, key, _, size, *view = pid
        if kind != "storage" or any(part is not None for part in view):
            raise _Refused(f"it holds a {kind!r} that is no plain storage of numbers")
        if not (
            isinstance(storage_type, _StorageType) and isinstance(key, str) and isinstance(size, int) and size >= 0
        ):
            raise _Refused(f"its storage {key!r} is not described as storages are")
        return self._storages.setdefault(key, Storage(key, storage_type.dtype, size))


@dataclasses.dataclass(frozen=True)
class _StorageType:
    dtype: np.dtype


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any) -> TorchTensor:
    """A tensor that lies inside its storage and has no more elements than it."""
    if not isinstance(storage, Storage) or not isinstance(shape, tuple) or not isinstance(stride, tuple):
        raise _Refused("a tensor in it is not described as tensors are")
    if len(shape) != len(stride) or not all(isinstance(n, int) and n >= 0 for n in (offset, *shape, *stride)):
        raise _Refused(f"a tensor in it has offset {offset!r}, shape {shape!r} and strides {stride!r}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if math.prod(shape) and (last >= storage.size or math.prod(shape) > storage.size):
        raise _Refused(f"a tensor of shape {shape} in it does not fit its storage of {storage.size} numbers")
    return TorchTensor(storage, offset, shape, stride)
