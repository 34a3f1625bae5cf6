"""What an error forgives: the place of the root, or a whole similarity.

Works on NumPy and jnp arrays alike; every function takes any number of leading batch axes.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.skeleton import WRIST

_TINY = 1e-12


def root_relative(joints: Float[Any, "*batch j 3"], root: int = WRIST) -> Float[Any, "*batch j 3"]:
    """Return joints seen from the joint number `root`."""
    return joints - joints[..., root : root + 1, :]


def procrustes_align(
    joints: Float[Any, "*batch j 3"],
    target: Float[Any, "*batch j 3"],
    valid: Bool[Any, "*batch j"] | None = None,
    *,
    allow_reflection: bool = False,
) -> Float[Any, "*batch j 3"]:
    """Bring `joints` onto `target` by the similarity (rotation, scale, translation) of least squared distance.

    Both sets are centred and divided by their Frobenius norm, the orthogonal Procrustes problem is solved, and the
    sum of its singular values gives the scale.

    Args:
        joints: what is moved, all joints of it.
        target: where to.
        valid: the joints that determine the similarity; all by default. Without any, nothing is rotated or scaled.
        allow_reflection: also admit mirror images, as HO-3D's official script does.
    """
    xp = joints.__array_namespace__()
    weight = xp.ones_like(joints[..., :1]) if valid is None else valid[..., None] * xp.ones_like(joints[..., :1])
    centered, _, norm = _standardize(joints, weight)
    centered_target, target_center, target_norm = _standardize(target, weight)
    # Sums of products instead of a matrix product: accelerators multiply float32 matrices coarsely.
    covariance = xp.sum((weight * centered)[..., :, None] * centered_target[..., None, :], axis=-3) / (
        norm * target_norm
    )
    left, singular, right = xp.linalg.svd(covariance)
    sign = xp.ones_like(singular)
    if not allow_reflection:
        is_mirrored = xp.linalg.det(left) * xp.linalg.det(right) < 0
        last = xp.where(is_mirrored, -1.0, 1.0)[..., None] * sign[..., :1]
        sign = xp.concat([sign[..., :2], last], axis=-1)
    rotation = xp.sum(left[..., :, :, None] * (sign[..., None] * right)[..., None, :, :], axis=-2)
    scale = xp.sum(singular * sign, axis=-1)[..., None, None] * target_norm / norm
    turned = xp.sum(centered[..., :, None] * rotation[..., None, :, :], axis=-2)
    return scale * turned + target_center


def _standardize(
    joints: Float[Any, "*batch j 3"], weight: Float[Any, "*batch j 1"]
) -> tuple[Float[Any, "*batch j 3"], Float[Any, "*batch 1 3"], Float[Any, "*batch 1 1"]]:
    """Return joints about their weighted centre, that centre, and their weighted Frobenius norm (at least `_TINY`)."""
    xp = joints.__array_namespace__()
    center = xp.sum(weight * joints, axis=-2, keepdims=True) / xp.maximum(xp.sum(weight, axis=-2, keepdims=True), _TINY)
    centered = joints - center
    square = xp.sum(weight * centered**2, axis=(-2, -1), keepdims=True)
    return centered, center, xp.maximum(xp.sqrt(square), _TINY)


def from_right_wrist(
    points_rel_m: Float[np.ndarray, "n 2 p 3"], step_m: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 2 p 3"]:
    """Return both hands seen from the right wrist: the left one is shifted by the step from the right to the left
    wrist.
    """
    shift = np.stack([np.zeros_like(step_m), step_m], axis=1)
    return points_rel_m + shift[:, :, None]
