"""A MANO file in the real format, with random numbers: chumpy and scipy objects as Python 2 pickled them."""

import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from occrobnet_jax.hands.mano_model import FILES
from occrobnet_jax.hands.mano_pickle import SHAPES

_CLASSES = {"chumpy.ch": "Ch", "chumpy.reordering": "Select", "scipy.sparse.csc": "csc_matrix"}


def mano_record(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Arrays of MANO's shapes; rows of regressor and weights sum to 1."""
    record = {key: rng.normal(0, 0.03, shape) for key, shape in SHAPES.items()}
    record["J_regressor"] = np.where(rng.random((16, 778)) < 0.02, rng.random((16, 778)), 0)
    record["J_regressor"][:, 0] += 0.1
    record["J_regressor"] /= record["J_regressor"].sum(1, keepdims=True)
    record["weights"] = rng.dirichlet(np.ones(16), 778)
    record["f"] = rng.integers(0, 778, SHAPES["f"])
    record["kintree_table"] = np.stack([[-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14], np.arange(16)])
    return record


def write_both_hands(folder: Path, record_of: Callable[[int], dict[str, np.ndarray]]) -> Path:
    """Writes MANO_RIGHT.pkl and MANO_LEFT.pkl from the arrays of hand 0 and 1; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for hand, name in FILES.items():
        write_mano(folder / name, record_of(hand))
    return folder


def write_mano(path: Path, record: dict[str, np.ndarray], **replaced: Any) -> Path:
    """Writes the file with its shape basis as a chumpy selection and its regressor as a sparse matrix."""
    objects = {"shapedirs": chumpy_select(record["shapedirs"]), "J_regressor": scipy_csc(record["J_regressor"])}
    objects["v_template"] = _instance("chumpy.ch", x=record["v_template"], _dirty_vars=None)
    content = record | objects | {"bs_style": "lbs", "bs_type": "lrotmin"} | replaced
    packages = ("chumpy", "scipy", "scipy.sparse")
    modules = {name: types.ModuleType(name) for name in (*packages, *_CLASSES)}
    for name in _CLASSES:
        setattr(modules[name], _CLASSES[name], _class(name))
    kept = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        path.write_bytes(pickle.dumps(content, 2))
    finally:
        for name, module in kept.items():
            sys.modules.pop(name) if module is None else sys.modules.__setitem__(name, module)
    return path


def chumpy_select(array: np.ndarray) -> Any:
    """A chumpy Select: some elements of a larger array, in a shape."""
    padded = np.concatenate([array.ravel(), [9.0]])
    source = _instance("chumpy.ch", x=padded)
    return _instance("chumpy.reordering", a=source, idxs=np.arange(array.size), preferred_shape=array.shape)


def scipy_csc(array: np.ndarray) -> Any:
    """A scipy matrix of compressed columns."""
    rows, columns = np.nonzero(array.T)[::-1]
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns, minlength=array.shape[1]))]).astype(np.int32)
    data = array[rows, columns]
    return _instance("scipy.sparse.csc", _shape=array.shape, data=data, indices=rows.astype(np.int32), indptr=starts)


_MADE: dict[str, type] = {}


def _class(module: str) -> type:
    if module not in _MADE:
        _MADE[module] = type(_CLASSES[module], (), {"__module__": module})
    return _MADE[module]


def _instance(module: str, **state: Any) -> Any:
    made = _class(module)()
    made.__dict__.update(state)
    return made
