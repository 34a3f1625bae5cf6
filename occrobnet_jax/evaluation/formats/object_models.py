"""Surfaces of known objects, as the object metrics need them."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from occrobnet_jax.files.meshes import MAX_MODEL_BYTES, MESH_SUFFIXES, Mesh, numbered_files, read_mesh
from occrobnet_jax.files.readers import read_bytes
from occrobnet_jax.hands.size import check_object_size

SUFFIXES = (".npy", ".xyz", *MESH_SUFFIXES)


class ObjectModel(NamedTuple):
    """Points of an object's surface in its rest pose, in metres; the triangles between them where they are known."""

    points_m: Float[np.ndarray, "p 3"]
    diameter_m: float
    mesh: Mesh | None


def read_object_models(folder: Path) -> dict[int, ObjectModel]:
    """Read models by YCB number, from `003_cracker_box.npy` and the like, or folders of such names with one file each.

    `.npy` and `.xyz` hold points [p, 3]; `.obj` and `.ply` meshes. Metres, in the frame of the dataset's rest pose.

    Raises:
        ValueError: there is none, or one can't be read.
    """
    return {number: read_object_model(files[0]) for number, files in numbered_files(folder, SUFFIXES).items()}


def read_object_model(path: Path) -> ObjectModel:
    """Return one model.

    Raises:
        ValueError: it can't be read, or isn't a surface.
    """
    read_bytes(path, MAX_MODEL_BYTES)  # says what is wrong with the file, if anything is
    try:
        points, mesh = _read_points(path)
    except Exception as error:  # each format and library has its own ways to fail on damaged files
        raise ValueError(f"{path} is not a model that can be read: {error}") from error
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 4 or not np.isfinite(points).all():
        raise ValueError(f"{path} holds an array {points.shape}; expected at least four finite points [p, 3]")
    return ObjectModel(points, _diameter(points), mesh)


def model_of(models: Mapping[int, ObjectModel], number: int, corners_m: Float[np.ndarray, "8 3"]) -> ObjectModel:
    """Return an object's model, after a look at its size; without any models, the corners of its labelled box.

    Raises:
        ValueError: there are models but not this one, or it is in another unit than the labels.
    """
    if not models:
        return ObjectModel(corners_m, float(pdist(corners_m).max()), None)
    if number not in models:
        raise ValueError(f"object {number:03d} has no model among {sorted(models)}; add it to --object_models")
    check_object_size(models[number].points_m, corners_m, name=f"the model of object {number:03d} in --object_models")
    return models[number]


def _read_points(path: Path) -> tuple[np.ndarray, Mesh | None]:
    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False).astype(np.float64), None
    if path.suffix.lower() == ".xyz":
        return np.loadtxt(path, dtype=np.float64, ndmin=2)[:, :3], None
    mesh = read_mesh(path)
    return mesh.vertices, mesh


def _diameter(points: Float[np.ndarray, "p 3"]) -> float:
    """Return the largest distance between two points."""
    with contextlib.suppress(QhullError):  # of a flat object
        points = points[ConvexHull(points).vertices]
    return float(pdist(points).max())
