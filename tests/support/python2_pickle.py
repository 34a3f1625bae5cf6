"""Pickles as Python 2 and its numpy wrote them, which no Python 3 does: byte strings, numpy.core, protocols 0 and 2."""

import struct
from typing import Any

import numpy as np

_DTYPE_STATE = "(I3\nS'{order}'\nNNNI-1\nI-1\nI0\nt"


def dumps(value: Any, protocol: int = 2) -> bytes:
    """Pickle of dictionaries, lists, tuples, texts, numbers, None and arrays."""
    return (b"\x80\x02" if protocol == 2 else b"") + _value(value, protocol) + b"."


def _value(value: Any, protocol: int) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"I01\n" if value else b"I00\n"
    if isinstance(value, int):
        return f"I{value}\n".encode()
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value) if protocol == 2 else f"F{value!r}\n".encode()
    if isinstance(value, str):
        return _string(value.encode("latin-1"), protocol)
    if isinstance(value, np.ndarray):
        return _array(value, protocol)
    if isinstance(value, dict):
        items = b"".join(_value(k, protocol) + _value(v, protocol) + b"s" for k, v in value.items())
        return b"(d" + items
    parts = b"".join(_value(each, protocol) for each in value)
    return b"(" + parts + (b"t" if isinstance(value, tuple) else b"l")


def _string(content: bytes, protocol: int) -> bytes:
    if protocol == 2:
        return b"T" + struct.pack("<i", len(content)) + content
    escaped = "".join(f"\\x{byte:02x}" if byte < 32 or byte > 126 or byte in b"'\\" else chr(byte) for byte in content)
    return f"S'{escaped}'\n".encode()


def _array(value: np.ndarray, protocol: int) -> bytes:
    order = "|" if value.dtype.itemsize == 1 else "<"
    code = value.dtype.str[1:]
    made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    dtype = f"cnumpy\ndtype\n(S'{code}'\nI0\nI1\ntR".encode() + _DTYPE_STATE.format(order=order).encode() + b"b"
    shape = b"(" + b"".join(f"I{length}\n".encode() for length in value.shape) + b"t"
    content = _string(np.ascontiguousarray(value).tobytes(), protocol)
    return made + b"(I1\n" + shape + dtype + b"I00\n" + content + b"tb"
