"""Arrays of numbers from what a pickle says about them; see `pickles`. All raise ValueError for anything else."""

import dataclasses
import math
import re
from typing import Any

import numpy as np

from occrobnet_jax.files.shown import shown

MAX_DIMENSIONS = 8

# Booleans, integers, floats; texts of 1 to 9999 characters (NumPy gives those of 0 memory all the same).
_DTYPE_CODE = re.compile(r"b1|[iu][1248]|f[248]|[SU][1-9]\d{0,3}")


@dataclasses.dataclass
class ElementType:
    """An element type that is still told its byte order."""

    code: str
    order: str = "<"

    def numpy(self) -> np.dtype:
        """Return the type as NumPy's own."""
        return np.dtype(self.order + self.code)


def element_type(arguments: tuple[Any, ...]) -> ElementType:
    """Return what a call of numpy.dtype stands for."""
    code = arguments[0] if arguments else None
    code = code.decode("latin-1") if isinstance(code, bytes) else code
    if not (isinstance(code, str) and _DTYPE_CODE.fullmatch(code)):
        raise ValueError(f"has an array of type {shown(code)}; plain numbers are expected")
    return ElementType(code)


def numpy_type(dtype: Any) -> np.dtype:
    """Return NumPy's type of a value that has to be an element type."""
    return dtype.numpy() if isinstance(dtype, ElementType) else refuse("has an array without an element type")


def as_bytes(value: Any) -> bytes:
    """Return bytes of a value that has to be bytes, or a text of Python 2."""
    if isinstance(value, str):
        return value.encode("latin-1")
    return bytes(value) if isinstance(value, (bytes, bytearray)) else refuse("has an array without content")


def exact_array(shape: Any, dtype: np.dtype, raw: bytes, *, is_fortran: bool) -> np.ndarray:
    """Return an array of exactly the bytes that are there."""
    plain = isinstance(shape, tuple) and all(type(length) is int and 0 <= length < 2**31 for length in shape)
    if not plain or len(shape) > MAX_DIMENSIONS or math.prod(shape) * dtype.itemsize != len(raw):
        raise ValueError(f"has an array of shape {shown(shape)} and type {dtype} with {len(raw):,} bytes of content")
    if not raw:
        return np.zeros(shape, dtype)
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if is_fortran else "C")


def refuse(reason: str) -> Any:
    """Raise, where an expression is needed."""
    raise ValueError(reason)
