"""Ray casting of one scene's triangles with embree (through the `embreex` wheel)."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Float, Int

try:
    from embreex.mesh_construction import TriangleMesh
    from embreex.rtcore import EmbreeDevice
    from embreex.rtcore_scene import EmbreeScene
except ImportError:  # no wheel for this machine: reported where a ray caster is made
    EmbreeScene = None

_OFFSET_M = 2e-4
_FAR_M = 1e30
_device: Any = None


@dataclasses.dataclass(frozen=True)
class Hits:
    """Where rays met the scene; `triangle` is -1 for those that met nothing."""

    triangle: Int[np.ndarray, " r"]
    barycentric: Float[np.ndarray, "r 3"]
    distance_m: Float[np.ndarray, " r"]

    def __getitem__(self, rows: np.ndarray) -> "Hits":
        """Return some of the rays' hits."""
        return Hits(self.triangle[rows], self.barycentric[rows], self.distance_m[rows])


class RayCaster:
    """A scene that rays can be shot into."""

    def __init__(self, verts_m: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
        """Build the search tree.

        Raises:
            ValueError: this machine has no ray caster.
        """
        global _device
        if EmbreeScene is None:
            raise ValueError(
                "what hides what is found with the package embreex, which is not installed and exists for x86-64 only; "
                "prepare the dataset on an x86-64 machine and copy its folder here"
            )
        if _device is None:
            _device = EmbreeDevice()
        self._scene = EmbreeScene(_device)
        TriangleMesh(self._scene, verts_m.astype(np.float32), _triangles(faces))

    def nearest(self, origins: Float[np.ndarray, "r 3"], directions: Float[np.ndarray, "r 3"]) -> Hits:
        """Return the first triangle on each ray; distances in units of the direction's length."""
        found = self._scene.run(_rows(origins), _rows(directions), output=True)
        u, v = found["u"], found["v"]
        return Hits(found["primID"], np.stack([1 - u - v, u, v], -1), found["tfar"])

    def blocked(
        self,
        points: Float[np.ndarray, "r 3"],
        normals: Float[np.ndarray, "r 3"],
        directions: Float[np.ndarray, "r 3"],
        reach_m: float = _FAR_M,
    ) -> np.ndarray:
        """Return whether anything lies in a direction from points on surfaces, within reach."""
        reach = np.full(len(points), reach_m, np.float32)
        origins = _rows(points + _OFFSET_M * normals)
        return self._scene.run(origins, _rows(directions), dists=reach, query="OCCLUDED") >= 0


def _triangles(faces: np.ndarray) -> np.ndarray:
    """Return an array of tuples: embreex reads corner after corner as `faces[i][k]`, and would make an array of each
    row of a matrix three times, which takes longer than building the tree.
    """
    return np.fromiter(zip(*faces.T.tolist(), strict=True), object, len(faces))


def _rows(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)
