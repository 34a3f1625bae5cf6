"""Distances between two meshes, and between a hand and the object that it may go through."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from occrobnet_jax.files.meshes import Mesh

MM_PER_M = 1000.0
MOST_PAIRS = 2_000_000  # of points and triangles, at a time


def f_score(
    points: Float[np.ndarray, "v 3"], truth: Float[np.ndarray, "w 3"], thresholds_mm: Sequence[float | int]
) -> list[float]:
    """Return the harmonic mean of the shares of points, and of true points, that lie nearer than each threshold to the
    others.
    """
    to_truth = MM_PER_M * nearest_distances(points, truth)
    to_points = MM_PER_M * nearest_distances(truth, points)
    shares = [((to_truth < limit).mean(), (to_points < limit).mean()) for limit in thresholds_mm]
    return [_harmonic_mean(float(first), float(second)) for first, second in shares]


def nearest_distances(points: Float[np.ndarray, "v 3"], others: Float[np.ndarray, "w 3"]) -> Float[np.ndarray, " v"]:
    """Return the distance of each point to the nearest of the others."""
    # The defaults would take long over points that coincide, as those of a submission without a mesh do.
    return cKDTree(others, balanced_tree=False, compact_nodes=False).query(points)[0]


def _harmonic_mean(first: float, second: float) -> float:
    return float(2 * first * second / (first + second)) if first + second > 0 else 0.0


def inside(points: Float[np.ndarray, "p 3"], mesh: Mesh) -> Bool[np.ndarray, " p"]:
    """Return whether a closed mesh goes around each point (winding number; Van Oosterom and Strackee 1983)."""
    turns = [np.zeros(0)]
    for part in _in_parts(points, len(mesh.triangles)):
        a, b, c = np.moveaxis(mesh.vertices[mesh.triangles][None] - part[:, None, None], 2, 0)
        la, lb, lc = (np.linalg.norm(each, axis=-1) for each in (a, b, c))
        volume = np.sum(a * np.cross(b, c), axis=-1)
        flat = la * lb * lc + np.sum(a * b, -1) * lc + np.sum(b * c, -1) * la + np.sum(c * a, -1) * lb
        turns.append(np.arctan2(volume, flat).sum(axis=1) / (2 * np.pi))
    return np.abs(np.concatenate(turns)) > 0.5


def surface_distances(points: Float[np.ndarray, "p 3"], mesh: Mesh) -> Float[np.ndarray, " p"]:
    """Return the distance of each point to the nearest point of a surface."""
    distances = [np.zeros(0)]
    corners = mesh.vertices[mesh.triangles]
    for part in _in_parts(points, len(mesh.triangles)):
        distances.append(np.sqrt(_squared_distances(part[:, None], corners[None]).min(axis=1)))
    return np.concatenate(distances)


def _in_parts(points: Float[np.ndarray, "p 3"], triangles: int) -> list[np.ndarray]:
    size = max(1, MOST_PAIRS // max(1, triangles))
    return [points[start : start + size] for start in range(0, len(points), size)]


def _squared_distances(
    points: Float[np.ndarray, "p 1 3"], corners: Float[np.ndarray, "1 f 3 3"]
) -> Float[np.ndarray, "p f"]:
    """Return the squared distance of points to triangles: to the plane where the foot lies inside, else to the nearest
    edge.
    """
    a, b, c = corners[:, :, 0], corners[:, :, 1], corners[:, :, 2]
    normal = np.cross(b - a, c - a)
    square = np.maximum(np.sum(normal**2, axis=-1), 1e-300)
    over = np.broadcast_to(np.any(normal != 0, axis=-1), np.broadcast_shapes(points.shape, a.shape)[:-1])
    to_edges = np.full(over.shape, np.inf)
    for start, end in ((a, b), (b, c), (c, a)):
        along = end - start
        over = over & (np.sum(np.cross(along, points - start) * normal, axis=-1) >= 0)
        share = np.sum((points - start) * along, axis=-1) / np.maximum(np.sum(along**2, axis=-1), 1e-300)
        foot = start + np.clip(share, 0, 1)[..., None] * along
        to_edges = np.minimum(to_edges, np.sum((points - foot) ** 2, axis=-1))
    to_plane = np.sum((points - a) * normal, axis=-1) ** 2 / square
    return np.where(over, to_plane, to_edges)
