"""Every loss as a pair (weighted sum, count), divided once over the global batch.

The forms and weights are Keypoint Transformer's, since the paper publishes none; what is ours says so. KypT divides by
all elements, masked ones included, and its weights assume that: `normalise="valid"` divides by the valid ones instead.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.geometry.kinematics import accumulate_bones, bone_vectors
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix, rotation_6d_to_matrix
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.hand import flat_axis_angle, rotation_matrices
from occrobnet_jax.runs.experiment import LossConfig
from occrobnet_jax.skeleton import NUM_HANDS, NUM_JOINTS, WRIST
from occrobnet_jax.training import targets
from occrobnet_jax.training.localization import localization_losses
from occrobnet_jax.training.terms import Term, masked
from occrobnet_jax.types import Batch, Predictions

GRID_PX = 128.0  # pixels across the crop in which KypT's 2D weights are meant
CHORD_EPSILON = 1e-10  # keeps the gradient finite where a rotation is exact
MM = 1000.0
LAST_JOINT = NUM_HANDS * NUM_JOINTS  # class of the last joint; the object's is the next


def losses(
    predictions: Predictions, batch: Batch, model_config: ModelConfig, loss_config: LossConfig
) -> dict[str, Term]:
    """Return all terms that the predictions allow.

    Returns:
        For each term its weighted sum and its count; `total` divides and adds them.
    """
    terms = _map_losses(predictions, batch, model_config, loss_config)
    terms |= localization_losses(predictions, batch, model_config, loss_config)
    terms["keypoint_class"] = keypoint_class_loss(predictions, batch, model_config, loss_config)
    if loss_config.hand_identity:
        terms["hand_identity"] = hand_identity_loss(predictions, batch, model_config, loss_config)
    terms |= _hand_losses(predictions, batch, model_config, loss_config)
    if predictions.object_rotation_6d is not None:
        terms |= _object_losses(predictions, batch, loss_config)
    weights = dataclasses.asdict(loss_config)
    weights["object_triangle"] = loss_config.object_translation
    return {name: (weights[name] * value, count) for name, (value, count) in terms.items()}


def total(terms: dict[str, Term], counts: dict[str, Float[Array, ""]] | None = None) -> Float[Array, ""]:
    """Return the loss: the sum of all terms' means. A term without any element counts as 0.

    Args:
        terms: of a batch.
        counts: what to divide by where the batch is a part of a larger one.
    """
    counts = {name: count for name, (_, count) in terms.items()} if counts is None else counts
    return sum((value / jnp.maximum(counts[name], 1.0) for name, (value, _) in terms.items()), start=jnp.zeros(()))


def pose_mask(predictions: Predictions, batch: Batch) -> Float[Array, " b"]:
    """Return the examples that teach poses: real ones with at least one keypoint (KypT drops those without)."""
    return (batch.is_real & predictions.keypoints.valid.any(-1)).astype(jnp.float32)


def _map_losses(
    predictions: Predictions, batch: Batch, model_config: ModelConfig, config: LossConfig
) -> dict[str, Term]:
    _, height, width = predictions.heatmap.shape
    wanted = targets.joint_heatmap(
        batch, model_config.heatmap_stride, (height, width), config.heatmap_sigma_hm, config.heatmap_overlap
    )
    valid = (targets.fully_annotated(batch) & batch.is_real)[:, None, None]
    terms = {"heatmap": masked((predictions.heatmap - wanted) ** 2, valid, config.normalise)}
    valid = (batch.segmentation_known & batch.is_real)[:, None, None]
    if predictions.object_map is not None:
        wanted = targets.PEAK * (batch.segmentation == targets.OBJECT_LABEL)
        terms["object_map"] = masked((predictions.object_map - wanted) ** 2, valid, config.normalise)
    if predictions.hand_maps is not None:
        is_hand = batch.segmentation[..., None] == jnp.array(targets.HAND_LABELS)[None, None, None]
        valid &= is_hand.any((1, 2, 3))[:, None, None]  # masks of HO-3D's and H2O-3D's authors lack the hands
        squares = (predictions.hand_maps - targets.PEAK * is_hand) ** 2
        terms["hand_maps"] = masked(squares, valid[..., None], config.normalise)
    return terms


def keypoint_class_loss(predictions: Predictions, batch: Batch, model_config: ModelConfig, config: LossConfig) -> Term:
    """Return the cross-entropy of every encoder layer's token classes, over the valid tokens."""
    classes, known = targets.token_classes(
        predictions.keypoints, batch, model_config.heatmap_stride, config.match_radius_hm
    )
    logits = predictions.class_logits
    if predictions.token_hand_logits is not None:
        classes = jnp.where(classes > 0, (classes - 1) % NUM_JOINTS + 1 + NUM_JOINTS * (classes > LAST_JOINT), 0)
    entropy = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.broadcast_to(classes, logits.shape[:-1]))
    return masked(entropy, known & batch.is_real[:, None], "valid")


def hand_identity_loss(predictions: Predictions, batch: Batch, model_config: ModelConfig, config: LossConfig) -> Term:
    """Return the cross-entropy of the hand that a token belongs to, over the tokens of joints [ours].

    The factored classifier's two sigmoids are taught apart, since a token may belong to both hands. Of the softmax over
    all joints it is the hand's share of the two hands' probability, against the class that is taught.
    """
    stride, radius = model_config.heatmap_stride, config.match_radius_hm
    hands, taught = targets.token_hands(predictions.keypoints, batch, stride, radius)
    taught &= batch.is_real[:, None]
    if predictions.token_hand_logits is not None:
        wanted = jnp.broadcast_to(hands.astype(jnp.float32), predictions.token_hand_logits.shape)
        entropy = optax.sigmoid_binary_cross_entropy(predictions.token_hand_logits, wanted)
        return masked(entropy, taught[..., None], "valid")
    classes, _ = targets.token_classes(predictions.keypoints, batch, stride, radius)
    joints = predictions.class_logits[..., 1 : LAST_JOINT + 1]
    of_hands = jax.nn.logsumexp(joints.reshape(*joints.shape[:-1], NUM_HANDS, NUM_JOINTS), axis=-1)
    wanted_hand = jnp.broadcast_to((classes > NUM_JOINTS).astype(jnp.int32), of_hands.shape[:-1])
    entropy = optax.softmax_cross_entropy_with_integer_labels(of_hands, wanted_hand)
    return masked(entropy, taught, "valid")


def _hand_losses(
    predictions: Predictions, batch: Batch, model_config: ModelConfig, config: LossConfig
) -> dict[str, Term]:
    mask = pose_mask(predictions, batch)
    terms: dict[str, Term] = {}
    if predictions.bone_vectors_m is not None:
        terms |= _vector_losses(predictions.bone_vectors_m, batch, mask, config)
    if predictions.hand_rotations is not None:
        terms |= _angle_losses(predictions, batch, mask, model_config, config)
    if predictions.axis_heatmaps is not None:
        wanted, valid = targets.axis_targets(batch, model_config, config.axis_sigma_bins)
        error = (predictions.axis_heatmaps - wanted[None]) ** 2
        terms["axis_heatmaps"] = masked(error, (valid * mask[:, None, None, None])[..., None], config.normalise)
    if predictions.joints_crop is not None:
        wanted_px = batch.joints_px / batch.image.shape[1]
        error = GRID_PX * jnp.abs(predictions.joints_crop - wanted_px[None])
        terms["joints_2d"] = masked(
            error, (batch.joint_px_annotated * mask[:, None, None])[..., None], config.normalise
        )
    if predictions.weak_camera is not None:
        terms |= _weak_camera_losses(predictions, batch, mask, config)
    shift, known = targets.relative_translation(batch)
    error = jnp.abs(predictions.relative_translation_m - shift[None])
    terms["relative_translation"] = masked(error, (known * mask)[:, None], config.normalise)
    present = optax.sigmoid_binary_cross_entropy(predictions.hand_logits, batch.hand_present.astype(jnp.float32))
    terms["hand_type"] = masked(present, (batch.hand_present_known * mask)[:, None], config.normalise)
    if predictions.visibility_logits is not None:
        visible = (batch.visibility == 1).astype(jnp.float32)
        error = optax.sigmoid_binary_cross_entropy(
            predictions.visibility_logits, jnp.broadcast_to(visible, predictions.visibility_logits.shape)
        )
        known_visibility = (batch.visibility >= 1) & (batch.visibility <= 4) & batch.joint_annotated
        terms["visibility"] = masked(error, known_visibility * mask[:, None, None], config.normalise)
    return terms


def _vector_losses(
    vectors_m: Float[Array, "l b n bone 3"], batch: Batch, mask: Float[Array, " b"], config: LossConfig
) -> dict[str, Term]:
    bones = targets.bone_annotated(batch) * mask[:, None, None]
    error = MM * jnp.abs(vectors_m - bone_vectors(batch.joints_cam_m)[None])
    joints = MM * jnp.abs(accumulate_bones(vectors_m) - root_relative(batch.joints_cam_m)[None])[..., :WRIST, :]
    valid = (batch.joint_annotated & targets.root_annotated(batch)[..., None])[..., :WRIST] * mask[:, None, None]
    return {
        "bone_vectors": masked(error, bones[..., None], config.normalise),
        "root_relative_joints": masked(joints, valid[..., None], config.normalise),
    }


def _angle_losses(
    predictions: Predictions, batch: Batch, mask: Float[Array, " b"], model_config: ModelConfig, config: LossConfig
) -> dict[str, Term]:
    """Return rotations and shape against the parameters of a fit, where there is one (KypT)."""
    assert predictions.hand_rotations is not None
    assert predictions.hand_shape is not None
    known = batch.hand_pose_known * mask[:, None]
    shape, shape_known = targets.hand_shape(batch)
    error = jnp.abs(predictions.hand_shape - shape[None])
    return {
        "hand_pose": masked(
            _rotation_errors(predictions.hand_rotations, batch, model_config), known[..., None], config.normalise
        ),
        "hand_shape": masked(error, (shape_known * mask)[:, None], config.normalise),
    }


def _rotation_errors(
    rotations: Float[Array, "l b n k r"], batch: Batch, model_config: ModelConfig
) -> Float[Array, "l b n k"]:
    """Return the distance of each rotation: the sum of the differences of axis-angle numbers (KypT), or in 6D the chord
    between the matrices, 2 sin(angle / 2) [ours]. It grows up to half a turn; the sum of the entries' differences
    has a minimum there, in which fingers stay.
    """
    wanted = batch.hand_pose.reshape(*rotations.shape[1:-1], 3)
    if model_config.rotation_form != "6d":
        return jnp.abs(flat_axis_angle(rotations, model_config) - wanted[None]).sum(-1)
    difference = rotation_matrices(rotations, model_config) - axis_angle_to_matrix(wanted)[None]
    return jnp.sqrt((difference**2).sum((-2, -1)) / 2 + CHORD_EPSILON)


def _weak_camera_losses(
    predictions: Predictions, batch: Batch, mask: Float[Array, " b"], config: LossConfig
) -> dict[str, Term]:
    """Return the weak projection of the predicted joints, and the camera itself against its best fit (KypT)."""
    assert predictions.weak_camera is not None
    assert predictions.bone_vectors_m is not None
    camera, known = targets.weak_camera(batch, GRID_PX)
    size = batch.image.shape[1]
    scale, translation = predictions.weak_camera[..., :1], predictions.weak_camera[..., 1:]
    joints = accumulate_bones(predictions.bone_vectors_m)[..., :2]
    both = batch.root_known.all(-1)[:, None]
    shift = jnp.where(both[None], predictions.relative_translation_m[..., :2], 0.0)
    joints = joints + jnp.stack([jnp.zeros_like(shift), shift], axis=2)[:, :, :, None]
    projected = scale[..., None, None, :] * joints + translation[..., None, None, :]
    error = jnp.abs(projected - (batch.joints_px * (GRID_PX / size))[None])
    valid = (batch.joint_annotated & targets.root_annotated(batch)[..., None]) * mask[:, None, None]
    camera_error = jnp.abs(predictions.weak_camera - camera[None])
    camera_valid = (known * mask)[:, None]
    return {
        "weak_joints_2d": masked(error, valid[..., None], config.normalise),
        "weak_camera_scale": masked(camera_error[..., :1], camera_valid, config.normalise),
        "weak_camera_translation": masked(camera_error[..., 1:], camera_valid, config.normalise),
    }


def _object_losses(predictions: Predictions, batch: Batch, config: LossConfig) -> dict[str, Term]:
    assert predictions.object_rotation_6d is not None
    assert predictions.object_translation_m is not None
    mask = pose_mask(predictions, batch)
    translation = predictions.object_translation_m
    wanted, known = targets.object_translations(batch, translation.shape[2])
    factor = _factors(batch, config.object_translation_factors)
    error = jnp.abs(translation - wanted[None]) * factor[None, :, None, None]
    terms = {
        "object_translation": masked(error, (known * mask[:, None])[..., None], config.normalise),
        "object_corners": _corner_loss(predictions.object_rotation_6d, translation, batch, mask, config),
    }
    if translation.shape[2] > 1:
        # The three relative translations close a triangle (KypT on H2O-3D).
        gap = predictions.relative_translation_m + translation[:, :, 1] - translation[:, :, 0]
        both = (batch.root_known.all(-1) & batch.object_known) * mask
        terms["object_triangle"] = masked(jnp.abs(gap) * factor[None, :, None], both[:, None], config.normalise)
    return terms


def _corner_loss(
    rotation_6d: Float[Array, "l b 6"],
    translation_m: Float[Array, "l b heads 3"],
    batch: Batch,
    mask: Float[Array, " b"],
    config: LossConfig,
) -> Term:
    """Return the posed corners of the rest box, against the nearest of the poses that the object's symmetry makes the
    same.
    """
    corners = targets.corners_to_teach(batch)
    wanted_t, known = targets.object_translations(batch, translation_m.shape[2])
    first = jnp.where(known[:, :1], wanted_t[:, 0], wanted_t[:, -1])
    chosen = jnp.where(known[None, :, :1], translation_m[:, :, 0], translation_m[:, :, -1])
    pose = functools.partial(jnp.einsum, precision="highest")
    posed = pose("lbij,bkj->lbki", rotation_6d_to_matrix(rotation_6d), corners) + chosen[:, :, None]
    wanted = pose("bsij,bkj->bski", targets.equivalent_rotations(batch), corners) + first[:, None, None]
    error = MM * jnp.abs(posed[:, :, None] - wanted[None]).mean((-2, -1)).min(-1)
    factor = _factors(batch, config.object_corner_factors)
    return masked(error * factor[None], known.any(-1) * mask, config.normalise)


def _factors(batch: Batch, factors: tuple[tuple[int, float], ...]) -> Float[Array, " b"]:
    """Return the factor of each example's object, 1 for those that have none."""
    factor = jnp.ones(len(batch.object_id))
    for object_id, value in factors:
        factor = jnp.where(batch.object_id == object_id, value, factor)
    return factor
