"""Pinhole cameras, and what a crop, a rotation or a mirror image makes of them.

Camera frame: OpenCV's (x right, y down, z forward), metres. Pixel centres lie at integers. Camera matrices have
[0, 0, 1] as their last row; their upper left 2 x 2 may be full, which is what turning the picture of a camera with
two focal lengths needs. Leading axes of a matrix are leading axes of the points it is applied to: [b, 3, 3] goes with
[b, 3], [b, j, 3] and [b, n, j, 3]. NumPy and jnp arrays alike; products are written out, because accelerators
multiply float32 matrices coarsely.
"""

import functools
import operator
from typing import Any

from jaxtyping import Float


def project(points_cam_m: Float[Any, "*points 3"], intrinsics: Float[Any, "*batch 3 3"]) -> Float[Any, "*points 2"]:
    """Return pixels under which a camera sees points.

    A point at depth 0, as joints without annotation are stored, counts as one at 1 m, so that values and gradients
    stay finite: mask it.
    """
    xp = points_cam_m.__array_namespace__()
    depth = points_cam_m[..., 2:]
    rays = points_cam_m[..., :2] / xp.where(depth == 0, xp.ones_like(depth), depth)
    return transform_points(intrinsics[..., :2, :], rays)


def back_project(
    px: Float[Any, "*points 2"], depth_m: Float[Any, "*points"], intrinsics: Float[Any, "*batch 3 3"]
) -> Float[Any, "*points 3"]:
    """Return points at the given depths under the given pixels; inverse of `project`."""
    xp = px.__array_namespace__()
    rays = transform_points(invert_affine(intrinsics[..., :2, :]), px)
    return xp.concat([rays * depth_m[..., None], depth_m[..., None]], axis=-1)


def transform_points(affine: Float[Any, "*batch 2 3"], px: Float[Any, "*points 2"]) -> Float[Any, "*points 2"]:
    """Apply affine maps to points of the plane."""
    affine = _spread(affine, px)
    return _multiply(affine[..., :2], px) + affine[..., 2]


def transform_vectors(matrix: Float[Any, "*batch d d"], vectors: Float[Any, "*points d"]) -> Float[Any, "*points d"]:
    """Apply linear maps, rotations of the camera frame for example, to vectors."""
    return _multiply(_spread(matrix, vectors), vectors)


def invert_affine(affine: Float[Any, "*batch 2 3"]) -> Float[Any, "*batch 2 3"]:
    """Return the affine map that undoes `affine`."""
    xp = affine.__array_namespace__()
    a, b, c, d = affine[..., 0, 0], affine[..., 0, 1], affine[..., 1, 0], affine[..., 1, 1]
    adjugate = xp.stack([d, -b, -c, a], axis=-1).reshape(*a.shape, 2, 2)
    linear = adjugate / (a * d - b * c)[..., None, None]
    return xp.concat([linear, -_multiply(linear, affine[..., 2])[..., None]], axis=-1)


def compose_affine(outer: Float[Any, "*batch 2 3"], inner: Float[Any, "*batch 2 3"]) -> Float[Any, "*batch 2 3"]:
    """Return the affine map that applies `inner` first and `outer` to its result."""
    xp = outer.__array_namespace__()
    product = outer[..., :1] * inner[..., :1, :] + outer[..., 1:2] * inner[..., 1:, :]
    return xp.concat([product[..., :2], product[..., 2:] + outer[..., 2:]], axis=-1)


def change_camera(
    intrinsics: Float[Any, "*batch 3 3"], affine: Float[Any, "*batch 2 3"], turn: Float[Any, "*batch 2 2"]
) -> Float[Any, "*batch 3 3"]:
    """Return the camera matrix after an affine change of the image and an in-plane change of the camera frame.

    Where pixels move by `affine` and the x and y axes of all 3D labels by `turn` (an in-plane rotation, a mirror, or
    both), the result projects the new labels exactly onto the moved pixels, whatever the focal lengths are:
    affine K X = (affine K turn^-1)(turn X).
    """
    xp = intrinsics.__array_namespace__()
    upper = compose_affine(affine, intrinsics[..., :2, :])
    turned_back = upper[..., :1] * turn[..., None, :, 0] + upper[..., 1:2] * turn[..., None, :, 1]
    return xp.concat([xp.concat([turned_back, upper[..., 2:]], axis=-1), intrinsics[..., 2:, :]], axis=-2)


def _spread(matrix: Float[Any, "*batch r c"], points: Float[Any, "*points d"]) -> Any:
    """Insert the axes of `points` that `matrix` lacks after its leading ones."""
    missing = points.ndim - (matrix.ndim - 1)
    return matrix.reshape(*matrix.shape[:-2], *(1,) * missing, *matrix.shape[-2:])


def _multiply(matrix: Float[Any, "*#batch r c"], vectors: Float[Any, "*#batch c"]) -> Any:
    columns = [matrix[..., column] * vectors[..., column, None] for column in range(vectors.shape[-1])]
    return functools.reduce(operator.add, columns)  # sooner than a sum over so short an axis
