"""Meshes of known objects, as their files hold them, and normals of surfaces."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from occrobnet_jax.files.readers import MEBIBYTE, read_bytes

MAX_MODEL_BYTES = 64 * MEBIBYTE
MESH_SUFFIXES = (".obj", ".ply")


class Mesh(NamedTuple):
    """A surface of triangles; metres."""

    vertices: Float[np.ndarray, "v 3"]
    triangles: Int[np.ndarray, "f 3"]


def numbered_files(folder: Path, suffixes: tuple[str, ...]) -> dict[int, list[Path]]:
    """Return files by YCB number: `003_cracker_box.obj` and the like, or those in folders of such names.

    Args:
        folder: that holds the files or folders.
        suffixes: of the files that are meant, in the order in which a folder's are to stand.

    Raises:
        ValueError: there is none.
    """
    named = sorted(folder.glob("[0-9][0-9][0-9]_*"))
    files = {int(path.name[:3]): [path] for path in named if path.is_file() and path.suffix.lower() in suffixes}
    for path in named:
        if found := _meshes_in(path, suffixes):
            files[int(path.name[:3])] = found
    if not files:
        raise ValueError(f"{folder} holds no object models such as 003_cracker_box{{{','.join(suffixes)}}}")
    return files


def _meshes_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return a folder's files with these endings, capitals or not, without those that macOS leaves beside them."""
    files = [path for path in sorted(folder.glob("*")) if path.is_file() and not path.name.startswith(".")]
    return [path for suffix in suffixes for path in files if path.suffix.lower() == suffix]


def read_mesh(path: Path) -> Mesh:
    """Return the mesh of a Wavefront or Stanford file; no other file is read, whatever it refers to.

    Raises:
        ValueError: it can't be read, or isn't a finite surface.
    """
    content = read_bytes(path, MAX_MODEL_BYTES)
    import trimesh  # takes a while, and few need it

    try:
        loaded: Any = trimesh.load(io.BytesIO(content), file_type=path.suffix[1:].lower(), force="mesh", process=False)
        mesh = Mesh(np.asarray(loaded.vertices, np.float64), np.asarray(loaded.faces, np.int64))
        is_sound = len(mesh.triangles) > 0 and np.isfinite(mesh.vertices).all()
        is_sound = is_sound and 0 <= mesh.triangles.min() <= mesh.triangles.max() < len(mesh.vertices)
    except Exception as error:  # each format has its own ways to fail on damaged files
        raise ValueError(f"{path} is not a model that can be read: {error}") from error
    if not is_sound:
        raise ValueError(f"{path} is not a surface of triangles with finite vertices")
    return mesh


def smooth_normals(
    verts_m: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], weld: Int[np.ndarray, " v"]
) -> Float[np.ndarray, "v 3"]:
    """Return the outward unit normals of a surface whose faces turn counter-clockwise, each face counting by its area.

    Args:
        verts_m: vertices.
        faces: triangles.
        weld: number of each vertex's place, the same for vertices that a texture's seam has split.
    """
    corner = verts_m[faces]
    face_normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    rows = weld[faces].ravel()
    repeated = np.repeat(face_normal, 3, axis=0)
    total = np.stack([np.bincount(rows, repeated[:, axis], minlength=weld.max() + 1) for axis in range(3)], -1)
    normal = total[weld]
    return normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
