"""Absolute place of a hand's wrist from what a network says about the hand itself and its 2D points.

Both functions are closed forms: differentiable, compilable, and defined for any input. Where the 2D points leave the
depth open (a single joint, all joints in one point, no weight at all) a prior of vanishing weight, `PRIOR_DEPTH_M`,
decides, and a hand is never put behind the camera. NumPy and jnp arrays alike.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from occrobnet_jax.geometry.cameras import back_project, project
from occrobnet_jax.geometry.kinematics import PARENTS_OF_BONES, bone_vectors
from occrobnet_jax.skeleton import WRIST

PRIOR_DEPTH_M = 0.7
"""An arm's length; it only decides where the points don't."""

NEAREST_M = 0.05
"""Least depth of any joint."""

REFERENCE_BONE_LENGTHS_M = np.array(
    [
        *(0.0277, 0.0312, 0.0370, 0.0382),
        *(0.0219, 0.0247, 0.0412, 0.0859),
        *(0.0223, 0.0290, 0.0427, 0.0844),
        *(0.0215, 0.0269, 0.0390, 0.0804),
        *(0.0188, 0.0195, 0.0299, 0.0773),
    ],
    dtype=np.float32,
)
"""Lengths of `skeleton.BONES` (thumb, index, middle, ring, pinky; each from the tip's bone to the wrist's): means over
the six hands of four subjects in the four InterHand2.6M frames that the tests use. A dataset's own mean is better."""

_PRIOR_WEIGHT = 1e-9  # a hand of 0.1 m at 1 m spreads over 1e-3 of the same unit, squared normalised coordinates
_TINY = 1e-12


def fit_root(
    joints_rel_m: Float[Any, "*batch j 3"],
    joints_px: Float[Any, "*batch j 2"],
    weights: Float[Any, "*batch j"],
    intrinsics: Float[Any, "*#batch 3 3"],
) -> tuple[Float[Any, "*batch 3"], Float[Any, "*batch"]]:
    """Return the translation that puts a metric root-relative skeleton under its own 2D points.

    Weighted linear least squares of the residual (x, y) - (ray at depth 1) z, that is of the distance in normalised
    image coordinates times the depth; exact where points and skeleton agree.

    Args:
        joints_rel_m: relative to the root, axes of the camera.
        joints_px: where each joint is seen.
        weights: of each joint, 0 to leave it out.
        intrinsics: any camera matrix; the upper left 2 x 2 may be full.

    Returns:
        The root in the camera frame, and the weighted mean distance in px between `joints_px` and the projection of
        the skeleton put there.
    """
    xp = joints_rel_m.__array_namespace__()
    rays = back_project(joints_px, xp.ones_like(joints_px[..., 0]), intrinsics)[..., :2]
    share = _normalized(weights)[..., None]
    # Each joint demands: shift_xy - ray * shift_z = ray * z - xy.
    demand = rays * joints_rel_m[..., 2:] - joints_rel_m[..., :2]
    mean_ray = xp.sum(share * rays, axis=-2)
    mean_demand = xp.sum(share * demand, axis=-2)
    rays_centered = rays - mean_ray[..., None, :]
    demand_centered = demand - mean_demand[..., None, :]
    spread = xp.sum(share * rays_centered**2, axis=(-2, -1))
    pull = -xp.sum(share * rays_centered * demand_centered, axis=(-2, -1))
    depth = (pull + _PRIOR_WEIGHT * PRIOR_DEPTH_M) / (spread + _PRIOR_WEIGHT)
    depth = _in_front(depth, joints_rel_m[..., 2])
    root = xp.concat([mean_demand + mean_ray * depth[..., None], depth[..., None]], axis=-1)
    return root, _mean_distance_px(joints_rel_m + root[..., None, :], joints_px, share[..., 0], intrinsics)


def root_depth_from_bones(
    joints_px: Float[Any, "*batch 21 2"],
    depths_rel_m: Float[Any, "*batch 21"],
    weights: Float[Any, "*batch 21"],
    intrinsics: Float[Any, "*#batch 3 3"],
    bone_lengths_m: Float[Any, "*#batch 20"] = REFERENCE_BONE_LENGTHS_M,
) -> Float[Any, "*batch"]:
    """Return the depth of the wrist at which a hand known in 2.5D has bones of the given lengths.

    A bone between rays r (at depth 1) and wrist-relative depths z has the squared length |r_c (Z + z_c) -
    r_p (Z + z_p)|^2, quadratic in the wrist's depth Z; the weighted sum over all bones is set equal to the sum of the
    squared reference lengths, and its larger root taken. Exact for exact input; after Iqbal et al., ECCV 2018, who
    use one bone and a normalised scale.

    Args:
        joints_px: of one hand, wrist last.
        depths_rel_m: relative to the wrist.
        weights: of each joint; a bone counts by the product of its two.
        intrinsics: any camera matrix.
        bone_lengths_m: in the order of `skeleton.BONES`.
    """
    xp = joints_px.__array_namespace__()
    rays = back_project(joints_px, xp.ones_like(depths_rel_m), intrinsics)
    share = _normalized(weights[..., :WRIST] * weights[..., PARENTS_OF_BONES])
    lengths = xp.broadcast_to(xp.asarray(bone_lengths_m), share.shape)
    slope = bone_vectors(rays)
    at_zero = bone_vectors(rays * depths_rel_m[..., None])
    square = xp.sum(share * xp.sum(slope**2, axis=-1), axis=-1) + _PRIOR_WEIGHT
    half = xp.sum(share * xp.sum(slope * at_zero, axis=-1), axis=-1)
    rest = xp.sum(share * (xp.sum(at_zero**2, axis=-1) - lengths**2), axis=-1)
    rest = rest - _PRIOR_WEIGHT * PRIOR_DEPTH_M**2
    # Where predicted depths alone exceed the bones' lengths no depth fits and the nearest to fitting is taken.
    root = (xp.sqrt(xp.maximum(half**2 - square * rest, _TINY**2)) - half) / square
    return _in_front(root, depths_rel_m)


def _normalized(weights: Float[Any, "*batch j"]) -> Float[Any, "*batch j"]:
    """Return weights that sum to 1, or to 0 where they all are 0."""
    xp = weights.__array_namespace__()
    return weights / xp.maximum(xp.sum(weights, axis=-1, keepdims=True), _TINY)


def _in_front(root_depth_m: Float[Any, "*batch"], depths_rel_m: Float[Any, "*batch j"]) -> Float[Any, "*batch"]:
    """Return the depth, raised until every joint is in front of the camera."""
    xp = root_depth_m.__array_namespace__()
    return xp.maximum(root_depth_m, NEAREST_M - xp.min(depths_rel_m, axis=-1))


def _mean_distance_px(
    joints_cam_m: Float[Any, "*batch j 3"],
    joints_px: Float[Any, "*batch j 2"],
    share: Float[Any, "*batch j"],
    intrinsics: Float[Any, "*#batch 3 3"],
) -> Float[Any, "*batch"]:
    """Return the weighted mean 2D distance; its gradient is finite at distance 0."""
    xp = joints_cam_m.__array_namespace__()
    square = xp.sum((project(joints_cam_m, intrinsics) - joints_px) ** 2, axis=-1)
    return xp.sum(share * xp.sqrt(square + _TINY), axis=-1)
