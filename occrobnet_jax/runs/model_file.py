"""A trained network in one file: the weights that it predicts with, as safetensors, and beside them its config and,
where it was given one, its calibration.

A checkpoint is for going on with; such a file is for handing on. It has neither the optimizer's state nor a second set
of weights, and half the precision: float16 keeps three digits of a weight. Running statistics stay in float32.
"""

import json
from typing import Any

import numpy as np
from safetensors.numpy import save

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.hashes import file_sha256
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.runs.calibration import calibration_from, calibration_json
from occrobnet_jax.runs.restored import Restored
from occrobnet_jax.runs.state import leaves_by_path
from occrobnet_jax.weights.safetensors_file import read_safetensors

FORMAT, VERSION = "occrobnet-jax/model", "1"
SUFFIX = ".safetensors"


def write_model(path: AnyPath, restored: Restored) -> None:
    """Write a network's file, whole or not at all.

    Raises:
        ValueError: a weight is too large for float16.
    """
    arrays = {name: _halved(name, np.asarray(leaf)) for name, leaf in leaves_by_path(restored.variables).items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values that float16 can't")
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "step": str(restored.step),
        "config": json.dumps(restored.config),
        "calibration": calibration_json(restored.calibration),
    }
    write_atomically(path, save(arrays, metadata))


def read_model(path: AnyPath) -> Restored:
    """Return the network of a file, in float32. Whether its arrays are those of its config is for the caller to check.

    Raises:
        ValueError: there is no such file, or it isn't a network of this project's.
    """
    arrays, metadata = read_safetensors(path)
    if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
        raise ValueError(f"{path} is no network of this project's: its metadata don't say {FORMAT!r}, {VERSION!r}")
    try:
        config, step = json.loads(metadata["config"]), int(metadata["step"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} has no readable config and step in its metadata") from error
    calibration = calibration_from(metadata.get("calibration", "{}"))
    return Restored(config, _tree(arrays), step, file_sha256(path), calibration)


def _halved(name: str, array: np.ndarray) -> np.ndarray:
    """Return a weight in float16. Statistics, which are few, stay as they are: variances have no bound."""
    return array.astype(np.float16) if name.startswith("params/") else array


def _tree(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return nested dictionaries of arrays named such as "params/backbone/conv1/kernel"."""
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *parents, leaf = name.split("/")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = array.astype(np.float32)
    return tree
