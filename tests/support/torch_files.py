"""Writes PyTorch's file formats by hand, pickle instructions and all, to test reading them without PyTorch."""

import struct
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

STORAGE_NAMES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "bool": "BoolStorage",
}


class View:
    """A tensor that is a strided part of a storage, as a transposed or sliced one is saved."""

    def __init__(self, storage: np.ndarray, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> None:
        self.storage, self.offset, self.shape, self.stride = storage, offset, shape, stride


class Global:
    """A function by name, to be called on arguments: what a pickle should not be allowed to do."""

    def __init__(self, module: str, name: str, *arguments: Any) -> None:
        self.module, self.name, self.arguments = module, name, arguments


class Writer:
    """Pickle protocol 2, as `torch.save` writes it; collects storages."""

    def __init__(self, *, legacy: bool) -> None:
        self.legacy = legacy
        self.storages: dict[str, np.ndarray] = {}

    def dumps(self, value: Any) -> bytes:
        return b"\x80\x02" + self._value(value) + b"."

    def _value(self, value: Any) -> bytes:
        if value is None or isinstance(value, bool):
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        if isinstance(value, int):
            size = value.bit_length() // 8 + 1
            return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        if isinstance(value, float):
            return b"G" + struct.pack(">d", value)
        if isinstance(value, str):
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        if isinstance(value, tuple):
            return b"(" + b"".join(map(self._value, value)) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(map(self._value, value)) + b"e"
        if isinstance(value, dict):
            ordered = b"ccollections\nOrderedDict\n)R"
            return ordered + b"(" + b"".join(self._value(k) + self._value(v) for k, v in value.items()) + b"u"
        if isinstance(value, Global):
            return f"c{value.module}\n{value.name}\n".encode() + self._value(value.arguments) + b"R"
        return self._tensor(value)

    def _tensor(self, value: np.ndarray | View) -> bytes:
        if isinstance(value, View):
            storage, offset, shape, stride = value.storage, value.offset, value.shape, value.stride
        else:
            storage = np.ascontiguousarray(value).reshape(-1)
            offset, shape = 0, value.shape
            stride = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
        key = str(len(self.storages))
        self.storages[key] = storage
        kind = f"ctorch\n{STORAGE_NAMES[storage.dtype.name]}\n".encode()
        reference = (
            b"(" + self._value("storage") + kind + self._value(key) + self._value("cpu") + self._value(storage.size)
        )
        reference += (self._value(None) if self.legacy else b"") + b"tQ"
        arguments = b"(" + reference + b"".join(map(self._value, (offset, shape, stride, False)))
        arguments += b"ccollections\nOrderedDict\n)Rt"
        return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def write_zip(path: Path, content: Any, **entries: bytes) -> Path:
    """`torch.save(content, path)` since PyTorch 1.6; `entries` replace records of the archive."""
    writer = Writer(legacy=False)
    records = {"data.pkl": writer.dumps(content), "byteorder": b"little"}
    records |= {f"data/{key}": storage.tobytes() for key, storage in writer.storages.items()} | {"version": b"3\n"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, record in (records | entries).items():
            archive.writestr(f"archive/{name}", record)
    return path


def write_legacy(path: Path, content: Any) -> Path:
    """`torch.save(content, path)` before PyTorch 1.6."""
    writer, plain = Writer(legacy=True), Writer(legacy=True)
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    body = writer.dumps(content)
    parts = [plain.dumps(0x1950A86A20F9469CFC6C), plain.dumps(1001), plain.dumps(machine), body]
    parts.append(plain.dumps(list(writer.storages)))
    parts += [struct.pack("<q", storage.size) + storage.tobytes() for storage in writer.storages.values()]
    path.write_bytes(b"".join(parts))
    return path


def bfloat16(values: Any) -> np.ndarray:
    return np.asarray(values, ml_dtypes.bfloat16)
