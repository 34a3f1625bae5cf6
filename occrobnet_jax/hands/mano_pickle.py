"""Reads the arrays of a MANO file (MANO_RIGHT.pkl, MANO_LEFT.pkl), without chumpy and without scipy."""

from pathlib import Path
from typing import Any

import numpy as np

from occrobnet_jax.files.pickles import Inert, load_plain
from occrobnet_jax.files.readers import MEBIBYTE, read_bytes

MAX_MANO_BYTES = 64 * MEBIBYTE

SHAPES: dict[str, tuple[int, ...]] = {
    "v_template": (778, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "weights": (778, 16),
    "kintree_table": (2, 16),
    "f": (1538, 3),
    "hands_mean": (45,),
    "hands_components": (45, 45),
}
"""What is needed of the file, as its authors publish it: metres and radians."""

_SPARSE = {
    f"scipy.sparse.{module} {kind}_matrix": kind
    for kind in ("csc", "csr")
    for module in (kind, f"_{kind}")  # before and since scipy 1.8
}
_CHUMPY, _CHUMPY_SELECT = "chumpy.ch Ch", "chumpy.reordering Select"
_CLASSES = frozenset({*_SPARSE, _CHUMPY, _CHUMPY_SELECT})


def read_mano_pickle(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a MANO file, as `SHAPES` names them; needs neither chumpy nor scipy, runs no code.

    Raises:
        ValueError: it can't be read or isn't a MANO file; names the file and the key.
    """
    content = read_bytes(path, MAX_MANO_BYTES)
    try:
        return mano_arrays(content)
    except ValueError as error:
        raise ValueError(f"{path} is not a MANO file: {error}") from error


def mano_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of `SHAPES` from the content of a MANO file, as float64 (faces and tree as int64).

    Raises:
        ValueError: it isn't such a file; says which key is missing or wrong.
    """
    record = load_plain(content, _CLASSES)
    if not isinstance(record, dict):
        raise ValueError(f"holds a {type(record).__name__} where a dictionary is expected")
    arrays = {}
    for key, shape in SHAPES.items():
        if key not in record:
            raise ValueError(f"has no entry {key}")
        array = _plain(record[key], key)
        if array.dtype.kind not in "iuf" or array.shape != shape:
            raise ValueError(f"{key} is {array.dtype}{array.shape} where numbers of shape {shape} are expected")
        if not np.isfinite(array).all():
            raise ValueError(f"{key} holds values that are not finite")
        arrays[key] = array.astype(np.int64 if key in ("f", "kintree_table") else np.float64)
    return arrays


def _plain(value: Any, key: str) -> np.ndarray:
    """Return the array that an entry stands for."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, Inert):
        raise ValueError(f"{key} is a {type(value).__name__} where an array is expected")
    if value.class_name in _SPARSE:
        return _dense(value.state, _SPARSE[value.class_name], SHAPES[key], key)
    if value.class_name == _CHUMPY:
        return _member(value.state, "x", key)
    source = _plain(value.state.get("a"), key)
    chosen = _member(value.state, "idxs", key).ravel()
    if chosen.dtype.kind not in "iu" or (len(chosen) and not 0 <= chosen.min() <= chosen.max() < source.size):
        raise ValueError(f"{key} selects elements that are not there")
    if len(chosen) != np.prod(SHAPES[key]):
        raise ValueError(f"{key} has {len(chosen)} elements where the shape {SHAPES[key]} is expected")
    return source.ravel()[chosen].reshape(SHAPES[key])


def _dense(state: dict[str, Any], kind: str, shape: tuple[int, ...], key: str) -> np.ndarray:
    """Return a dense matrix from scipy's compressed columns (csc) or rows (csr)."""
    if state.get("_shape", state.get("shape")) != shape:
        raise ValueError(f"{key} is not a sparse matrix of shape {shape}")
    data, indices, starts = (_member(state, name, key) for name in ("data", "indices", "indptr"))
    lines, length = shape if kind == "csr" else shape[::-1]
    counts = np.diff(starts)
    sound = len(starts) == lines + 1 and starts[0] == 0 and (counts >= 0).all() and starts[-1] == len(data)
    if not sound or len(indices) != len(data) or (len(indices) and not 0 <= indices.min() <= indices.max() < length):
        raise ValueError(f"{key} is a damaged sparse matrix")
    dense = np.zeros((lines, length))
    np.add.at(dense, (np.repeat(np.arange(lines), counts), indices), data)
    return dense if kind == "csr" else dense.T


def _member(state: dict[str, Any], name: str, key: str) -> np.ndarray:
    value = state.get(name)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf" or value.ndim == 0:
        raise ValueError(f"{key} has no array {name}")
    return value
