"""The way back from matrices to what networks say."""

from typing import Any

from jaxtyping import Float


def matrix_to_rotation_6d(matrix: Float[Any, "*batch 3 3"]) -> Float[Any, "*batch 6"]:
    """Return the first two columns of rotation matrices, one after the other."""
    xp = matrix.__array_namespace__()
    return xp.concat([matrix[..., 0], matrix[..., 1]], axis=-1)
