"""What the network is taught, computed on the device from a Batch: maps, token classes, bins, camera, object poses."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from occrobnet_jax.geometry.kinematics import PARENTS_OF_BONES, bone_depths
from occrobnet_jax.geometry.symmetry import HALF_TURN_Z, HALF_TURNS, symmetry_number
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.skeleton import LEFT, NUM_HANDS, NUM_JOINTS, RIGHT, WRIST
from occrobnet_jax.types import Batch, Keypoints

PEAK = 255.0  # of heatmap and segmentation targets
HAND_LABELS, OBJECT_LABEL = (1, 2), 3  # in Batch.segmentation
RIDGE = 1e-4  # of the weak camera's fit (KypT)


def root_annotated(batch: Batch) -> Bool[Array, "b n"]:
    """Return the hands whose wrist is annotated; root-relative targets exist for them."""
    return batch.joint_annotated[:, :, WRIST]


def fully_annotated(batch: Batch) -> Bool[Array, " b"]:
    """Return the examples in which every hand that is there, or may be, has all its joints: elsewhere a heatmap would
    deny real joints.
    """
    any_joint, all_joints = batch.joint_px_annotated.any(-1), batch.joint_px_annotated.all(-1)
    present = any_joint | batch.hand_present
    return any_joint.any(-1) & (all_joints | ~present).all(-1)


def joint_heatmap(
    batch: Batch, stride: int, size: tuple[int, int], sigma_hm: float, overlap: str
) -> Float[Array, "b hh ww"]:
    """Return one Gaussian a joint inside the crop, each with peak 255; where they overlap their sum (KypT) or the
    maximum.
    """
    xy = (batch.joints_px / stride).reshape(batch.joints_px.shape[0], -1, 2)
    valid = batch.joint_in_crop.reshape(xy.shape[:2])
    across = _gaussian(xy[..., 0], size[1], sigma_hm) * valid[..., None]
    down = _gaussian(xy[..., 1], size[0], sigma_hm)
    if overlap == "max":
        return PEAK * (down[..., :, None] * across[..., None, :]).max(1)
    return PEAK * jnp.einsum("bjy,bjx->byx", down, across, precision="highest")


def axis_targets(batch: Batch, config: ModelConfig, sigma_bins: float) -> tuple[Array, Array]:
    """Return 1D heatmaps of x, y and parent-relative depth, [b n j 3 bin], and which of them are taught, [b n j 3].

    A joint outside the cube of bins teaches nothing; a depth needs the joint and its parent in 3D, and the wrist has
    none: these are never outside.
    """
    depth_m = bone_depths(batch.joints_cam_m[..., 2])
    depth_m = jnp.concatenate([depth_m, jnp.zeros_like(depth_m[..., :1])], -1)
    depth_bin = (depth_m / config.depth_range_m + 1) / 2 * config.bins
    positions = jnp.concatenate([batch.joints_px * (config.bins / batch.image.shape[1]), depth_bin[..., None]], -1)
    bones = bone_annotated(batch)
    with_parent = jnp.concatenate([bones, jnp.zeros_like(bones[..., :1])], -1)
    within = (positions >= 0) & (positions < config.bins)
    inside = within[..., :2].all(-1) & (within[..., 2] | ~with_parent) & batch.joint_in_crop
    valid = jnp.stack([inside, inside, inside & with_parent], -1)
    return _gaussian(positions, config.bins, sigma_bins), valid


def bone_annotated(batch: Batch) -> Bool[Array, "b n bone"]:
    """Return the bones of which both joints are annotated."""
    return batch.joint_annotated[..., :WRIST] & batch.joint_annotated[..., PARENTS_OF_BONES]


def token_classes(
    keypoints: Keypoints, batch: Batch, stride: int, radius_hm: float
) -> tuple[Int[Array, "b t"], Bool[Array, "b t"]]:
    """Return the class of each token, and which tokens teach.

    A joint token has the class of the joint within the radius, the one nearest to the camera among several, or 0;
    an object token 43 if it lies on the object, or 0. Where annotation is incomplete, "none" is not known.
    """
    match = _matches(keypoints, batch, stride, radius_hm)
    depth = batch.joints_cam_m[..., 2].reshape(len(match), -1)
    nearest = jnp.where(match, depth[:, None], jnp.inf).argmin(-1)
    joint_class = jnp.where(match.any(-1), nearest + 1, 0)

    x, y = (jnp.round(keypoints.xy_hm[..., i]).astype(jnp.int32) for i in (0, 1))
    height, width = batch.segmentation.shape[1:]
    index = jnp.clip(y, 0, height - 1) * width + jnp.clip(x, 0, width - 1)
    labels = jnp.take_along_axis(batch.segmentation.reshape(len(index), -1), index, axis=1)
    object_class = jnp.where(labels == OBJECT_LABEL, NUM_HANDS * NUM_JOINTS + 1, 0)

    known_joint = match.any(-1) | fully_annotated(batch)[:, None]
    known = jnp.where(keypoints.is_object, batch.segmentation_known[:, None], known_joint)
    return jnp.where(keypoints.is_object, object_class, joint_class), keypoints.valid & known


def token_hands(
    keypoints: Keypoints, batch: Batch, stride: int, radius_hm: float
) -> tuple[Bool[Array, "b t n"], Bool[Array, "b t"]]:
    """Return which hands have a joint within the radius of each token, and which tokens teach: those of any hand."""
    match = _matches(keypoints, batch, stride, radius_hm)
    hands = match.reshape(*match.shape[:2], NUM_HANDS, NUM_JOINTS).any(-1)
    return hands, keypoints.valid & ~keypoints.is_object & hands.any(-1)


def _matches(keypoints: Keypoints, batch: Batch, stride: int, radius_hm: float) -> Bool[Array, "b t nj"]:
    """Return joints inside the crop within the radius of each token."""
    joints_hm = (batch.joints_px / stride).reshape(batch.joints_px.shape[0], -1, 2)
    distance = jnp.sum((keypoints.xy_hm[:, :, None] - joints_hm[:, None]) ** 2, -1)
    return (distance <= radius_hm**2) & batch.joint_in_crop.reshape(joints_hm.shape[:2])[:, None]


def relative_translation(batch: Batch) -> tuple[Float[Array, "b 3"], Bool[Array, " b"]]:
    """Return the left wrist minus right wrist, and where both are known."""
    return batch.root_cam_m[:, LEFT] - batch.root_cam_m[:, RIGHT], batch.root_known.all(-1)


def hand_shape(batch: Batch) -> tuple[Float[Array, "b 10"], Bool[Array, " b"]]:
    """Return the mean of the known hands' shapes, since both are one person's (KypT), and where there is one."""
    known = batch.hand_pose_known
    total = jnp.where(known[..., None], batch.hand_shape, 0.0).sum(1)
    return total / jnp.maximum(known.sum(1, keepdims=True), 1), known.any(1)


def weak_camera(batch: Batch, grid_px: float) -> tuple[Float[Array, "b 3"], Bool[Array, " b"]]:
    """Scale (grid px per m) and translation (grid px) that fit root-relative x, y to the 2D joints best (ridge).

    Left joints are shifted by the relative translation and used only where both roots are known, as the prediction
    is; a left hand alone is fitted by itself.
    """
    roots, size = batch.root_cam_m, len(batch.is_real)
    origin = jnp.where(root_annotated(batch)[:, :1], roots[:, RIGHT], roots[:, LEFT])
    xy = (batch.joints_cam_m - origin[:, None, None])[..., :2].reshape(size, -1, 2)
    px = (batch.joints_px * (grid_px / batch.image.shape[1])).reshape(xy.shape)
    valid = (batch.joint_annotated & root_annotated(batch)[..., None]).reshape(xy.shape[:2])
    weight = valid.astype(jnp.float32)[..., None]
    zeros, ones = jnp.zeros_like(xy[..., 0]), jnp.ones_like(xy[..., 0])
    rows_x = jnp.stack([xy[..., 0], ones, zeros], -1) * weight
    rows_y = jnp.stack([xy[..., 1], zeros, ones], -1) * weight
    rows = jnp.concatenate([rows_x, rows_y], 1)
    values = jnp.concatenate([px[..., 0], px[..., 1]], 1) * jnp.concatenate([weight[..., 0]] * 2, 1)
    normal = jnp.einsum("bri,brj->bij", rows, rows, precision="highest") + RIDGE * jnp.eye(3)[None]
    right_side = jnp.einsum("bri,br->bi", rows, values, precision="highest")
    return jnp.linalg.solve(normal, right_side[..., None])[..., 0], valid.any(-1)


def object_translations(batch: Batch, heads: int) -> tuple[Float[Array, "b heads 3"], Bool[Array, "b heads"]]:
    """Return the object relative to the wrists, and where it is taught.

    One head speaks of the right wrist, or the left one where there is no right hand; two speak of one wrist each.
    """
    relative = batch.object_translation_m[:, None] - batch.root_cam_m
    known = batch.root_known & batch.object_known[:, None]
    if heads == NUM_HANDS:
        return relative, known
    reference = jnp.where(known[:, :1], relative[:, RIGHT], relative[:, LEFT])
    return reference[:, None], known.any(-1, keepdims=True)


def equivalent_rotations(batch: Batch) -> Float[Array, "b s 3 3"]:
    """Return the ground-truth rotations that the object's discrete symmetry makes the same; the first is the label
    itself.
    """
    symmetry = batch.object_symmetry[:, None]
    turn = jnp.arange(len(HALF_TURNS))[None]
    half_turn_z = (symmetry == symmetry_number("half_turn_z")) & (turn == HALF_TURN_Z)
    allowed = (turn == 0) | half_turn_z | (symmetry == symmetry_number("box"))
    turned = jnp.einsum("bij,sjk->bsik", batch.object_rotation, HALF_TURNS.astype(np.float32), precision="highest")
    return jnp.where(allowed[..., None, None], turned, batch.object_rotation[:, None])


def corners_to_teach(batch: Batch) -> Float[Array, "b 8 3"]:
    """Return the rest corners, reduced to what a continuous symmetry leaves: the axis, or the centre (as in KypT's
    bowl).
    """
    keep = jnp.ones((len(batch.object_symmetry), 3))
    keep = jnp.where(
        (batch.object_symmetry == symmetry_number("any_turn_z"))[:, None], jnp.array([[0.0, 0.0, 1.0]]), keep
    )
    keep = jnp.where((batch.object_symmetry == symmetry_number("sphere"))[:, None], 0.0, keep)
    return batch.object_corners_rest_m * keep[:, None]


def _gaussian(center: Float[Array, "*b"], size: int, sigma: float) -> Float[Array, "*b size"]:
    positions = jnp.arange(size).reshape((1,) * center.ndim + (size,))
    return jnp.exp(-((positions - center[..., None]) ** 2) / (2 * sigma**2))
