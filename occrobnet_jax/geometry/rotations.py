"""Conversions between rotation matrices, axis-angle vectors and the continuous 6D form.

All of them work on NumPy and JAX arrays alike, on any leading axes, and have finite gradients everywhere, at the
identity too.
"""

from typing import Any

from jaxtyping import Float

_SMALL = 1e-12


def axis_angle_to_matrix(axis_angle: Float[Any, "*batch 3"]) -> Float[Any, "*batch 3 3"]:
    """Return rotation matrices of axis-angle vectors (radians), by Rodrigues' formula."""
    xp = axis_angle.__array_namespace__()
    squared = (axis_angle**2).sum(-1)
    small = squared < _SMALL
    safe = xp.where(small, 1.0, squared)  # `where` on both sides keeps NaN out of the unused branch's gradient
    angle = xp.sqrt(safe)
    sine = xp.where(small, 1.0 - squared / 6.0, xp.sin(angle) / angle)
    versine = xp.where(small, 0.5 - squared / 24.0, (1.0 - xp.cos(angle)) / safe)
    skew = _skew(axis_angle)
    identity = xp.broadcast_to(xp.eye(3, dtype=axis_angle.dtype), skew.shape)
    return identity + sine[..., None, None] * skew + versine[..., None, None] * (skew @ skew)


def matrix_to_axis_angle(matrix: Float[Any, "*batch 3 3"]) -> Float[Any, "*batch 3"]:
    """Return the axis-angle vectors (radians, length 0 to pi) of rotation matrices, through the best conditioned
    quaternion.
    """
    xp = matrix.__array_namespace__()
    quaternion = _matrix_to_quaternion(matrix)
    quaternion = xp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    real, vector = quaternion[..., 0], quaternion[..., 1:]
    squared = (vector**2).sum(-1)
    small = squared < _SMALL
    length = xp.sqrt(xp.where(small, 1.0, squared))
    angle_over_sine = xp.where(small, 2.0, 2.0 * xp.arctan2(length, real) / length)
    return vector * angle_over_sine[..., None]


def rotation_6d_to_matrix(rotation_6d: Float[Any, "*batch 6"]) -> Float[Any, "*batch 3 3"]:
    """Return rotation matrices whose first two columns are the Gram-Schmidt form of the two given vectors.

    Source: Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019.
    """
    xp = rotation_6d.__array_namespace__()
    first = _normalize(rotation_6d[..., :3])
    second = rotation_6d[..., 3:]
    second = _normalize(second - (first * second).sum(-1)[..., None] * first)
    return xp.stack([first, second, xp.linalg.cross(first, second)], axis=-1)


def _skew(vector: Float[Any, "*batch 3"]) -> Float[Any, "*batch 3 3"]:
    xp = vector.__array_namespace__()
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = xp.zeros_like(x)
    return xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*x.shape, 3, 3)


def _matrix_to_quaternion(matrix: Float[Any, "*batch 3 3"]) -> Float[Any, "*batch 4"]:
    """Return (w, x, y, z) from the row of the symmetric 4 x 4 form that has the largest diagonal element."""
    xp = matrix.__array_namespace__()
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    x, y, z = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]
    diagonal = (
        1 + m[0][0] + m[1][1] + m[2][2],
        1 + m[0][0] - m[1][1] - m[2][2],
        1 - m[0][0] + m[1][1] - m[2][2],
        1 - m[0][0] - m[1][1] + m[2][2],
    )
    rows = ((diagonal[0], x, y, z), (x, diagonal[1], xy, xz), (y, xy, diagonal[2], yz), (z, xz, yz, diagonal[3]))
    form = xp.stack([entry for row in rows for entry in row], axis=-1).reshape(*x.shape, 4, 4)
    best = xp.argmax(xp.stack(diagonal, axis=-1), axis=-1)[..., None, None]
    return _normalize(xp.take_along_axis(form, best, axis=-2)[..., 0, :])


def _normalize(vector: Float[Any, "*batch n"]) -> Float[Any, "*batch n"]:
    xp = vector.__array_namespace__()
    squared = (vector**2).sum(-1)[..., None]
    return vector / xp.sqrt(xp.maximum(squared, xp.asarray(_SMALL, dtype=vector.dtype)))
