"""From raw predictions to a pose in metres and pixels."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from occrobnet_jax.geometry.cameras import back_project
from occrobnet_jax.geometry.kinematics import accumulate_bones, accumulate_depths
from occrobnet_jax.geometry.root_depth import fit_root, root_depth_from_bones
from occrobnet_jax.geometry.rotations import rotation_6d_to_matrix
from occrobnet_jax.hands.reference import is_left_alone
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.hand import flat_axis_angle
from occrobnet_jax.models.joint_maps import locate
from occrobnet_jax.skeleton import LEFT, NUM_HANDS, NUM_JOINTS, RIGHT, WRIST
from occrobnet_jax.types import Pose, Predictions

SUB_BIN_REACH = 3  # bins to either side of the strongest one that a soft argmax averages
TOKENS_OF_A_HAND = 5.0  # keypoints identified as its joints at which a hand is as probable as not [ours]
EVIDENCE_OF_SURENESS = 4.0  # logits of a hand whose maps are e times as sure as the mean of both [ours]


def decode(
    predictions: Predictions,
    intrinsics: Float[Array, "b 3 3"],
    input_size_px: int,
    config: ModelConfig,
    root_depth_m: Float[Array, "b n"] | None = None,
) -> Pose:
    """Decode the last layer's outputs.

    Args:
        predictions: of the network.
        intrinsics: of the crop, px.
        input_size_px: side of the crop.
        config: the network's.
        root_depth_m: absolute depth of each wrist where it is known from elsewhere (ground truth, RootNet). It only
            matters in 2.5D; without it, the depth at which the hand has bones of ordinary length is taken.
    """
    if config.representation == "2.5d":
        hands = _decode_2p5d(predictions, intrinsics, input_size_px, config, root_depth_m)
    else:
        hands = _decode_vectors(predictions, intrinsics, input_size_px, config)
    keypoints = predictions.keypoints
    hand_probability = _hand_probability(predictions, config)
    rotation, translation = _decode_object(predictions, hand_probability)
    visibility = predictions.visibility_logits
    return Pose(
        **hands,
        joints_cam_m=hands["joints_rel_m"] + hands["root_cam_m"][:, :, None],
        relative_translation_m=predictions.relative_translation_m[-1],
        hand_probability=hand_probability,
        visibility_probability=(
            jnp.full(hands["joints_px"].shape[:3], jnp.nan) if visibility is None else jax.nn.sigmoid(visibility[-1])
        ),
        keypoints_px=keypoints.xy_hm * config.heatmap_stride,
        keypoint_valid=keypoints.valid,
        keypoint_class=class_probabilities(predictions).argmax(-1),
        object_rotation=rotation,
        object_translation_m=translation,
        hand_pose=_hand_pose(predictions, config),
        hand_shape=None if predictions.hand_shape is None else predictions.hand_shape[-1],
        joint_confidence=_joint_confidence(predictions),
    )


def _joint_confidence(predictions: Predictions) -> Float[Array, "b n j"] | None:
    """Return how much of each joint's map agrees on its place."""
    if predictions.joint_maps is None:
        return None
    return locate(predictions.joint_maps).share.reshape(-1, NUM_HANDS, NUM_JOINTS)


def _decode_vectors(
    predictions: Predictions, intrinsics: Float[Array, "b 3 3"], input_size_px: int, config: ModelConfig
) -> dict[str, Array]:
    """Sum the vectors along the fingers, and fit the wrist's place to the network's own 2D points.

    In "angles" the vectors are those of the posed hand.
    """
    assert predictions.bone_vectors_m is not None
    joints_rel_m = accumulate_bones(predictions.bone_vectors_m[-1])
    if predictions.joints_crop is not None:
        joints_px = predictions.joints_crop[-1] * input_size_px
    else:
        joints_px = config.heatmap_stride * weak_projection(predictions, joints_rel_m)
    weights = jnp.ones(joints_px.shape[:3])
    root_cam_m, error_px = fit_root(joints_rel_m, joints_px, weights, intrinsics[:, None])
    return {
        "joints_rel_m": joints_rel_m,
        "joints_px": joints_px,
        "root_cam_m": root_cam_m,
        "root_fit_error_px": error_px,
    }


def _hand_pose(predictions: Predictions, config: ModelConfig) -> Float[Array, "b n 48"] | None:
    """Return the pose of the hand model, in "angles"."""
    if predictions.hand_rotations is None:
        return None
    pose = flat_axis_angle(predictions.hand_rotations[-1], config)
    return pose.reshape(*pose.shape[:2], -1)


def weak_projection(predictions: Predictions, joints_rel_m: Float[Array, "b n j 3"]) -> Float[Array, "b n j 2"]:
    """Return the heatmap pixels of both hands under the predicted weak camera, the left one shifted by the relative
    translation.

    Raises:
        ValueError: the network has neither a 2D head nor a weak camera.
    """
    if predictions.weak_camera is None:
        raise ValueError(
            "a network of vectors or angles needs 2D points for overlays and depth: "
            "set model.joints_2d_head or model.weak_camera_head"
        )
    left = predictions.relative_translation_m[-1]
    shift = jnp.stack([jnp.zeros_like(left), left], axis=1)
    scale, translation = predictions.weak_camera[-1, :, :1], predictions.weak_camera[-1, :, 1:]
    return scale[:, None, None] * (joints_rel_m + shift[:, :, None])[..., :2] + translation[:, None, None]


def _decode_2p5d(
    predictions: Predictions,
    intrinsics: Float[Array, "b 3 3"],
    input_size_px: int,
    config: ModelConfig,
    root_depth_m: Float[Array, "b n"] | None,
) -> dict[str, Array]:
    """Read pixels and parent-relative depths off the axis heatmaps and back-project them."""
    assert predictions.axis_heatmaps is not None
    bins = axis_positions(predictions.axis_heatmaps[-1], config.axis_decoding)
    joints_px = bins[..., :2] * (input_size_px / config.bins)
    depths_rel_m = accumulate_depths((2 * bins[..., :WRIST, 2] / config.bins - 1) * config.depth_range_m)
    if root_depth_m is None:
        weights = jnp.ones(joints_px.shape[:3])
        root_depth_m = root_depth_from_bones(joints_px, depths_rel_m, weights, intrinsics[:, None])
    joints_cam_m = back_project(joints_px, depths_rel_m + root_depth_m[..., None], intrinsics[:, None, None])
    root_cam_m = joints_cam_m[:, :, WRIST]
    return {
        "joints_rel_m": joints_cam_m - root_cam_m[:, :, None],
        "joints_px": joints_px,
        "root_cam_m": root_cam_m,
        "root_fit_error_px": jnp.zeros(root_cam_m.shape[:2]),  # pixels are met by construction
    }


def axis_positions(heatmaps: Float[Array, "*b bin"], decoding: str) -> Float[Array, "*b"]:
    """Return the bin of each 1D heatmap's maximum; "soft_argmax" averages the bins around it by their positive
    parts.
    """
    peak = heatmaps.argmax(-1)
    if decoding == "argmax":
        return peak.astype(jnp.float32)
    index = jnp.arange(heatmaps.shape[-1]).reshape((1,) * peak.ndim + (-1,))
    near = jnp.abs(index - peak[..., None]) <= SUB_BIN_REACH
    weights = jnp.where(near, jnp.maximum(heatmaps, 1e-6), 0)
    return (weights * index).sum(-1) / weights.sum(-1)


def class_probabilities(predictions: Predictions) -> Float[Array, "b t c"]:
    """Return what the last encoder layer takes each token for: 0 none, 1..21 right, 22..42 left, 43 object.

    With a factored classifier the two hands don't exclude each other, and the classes may sum up to more than 1.
    """
    classes = jax.nn.softmax(predictions.class_logits[-1])
    if predictions.token_hand_logits is None:
        return classes
    none, joints, thing = jnp.split(classes, (1, 1 + NUM_JOINTS), axis=-1)
    hands = jax.nn.sigmoid(predictions.token_hand_logits[-1])
    return jnp.concatenate([none, joints * hands[..., :1], joints * hands[..., 1:], thing], axis=-1)


def _hand_probability(predictions: Predictions, config: ModelConfig) -> Float[Array, "b n"]:
    """Read the probability off the head and the maps, or off how many tokens are taken for joints of each hand."""
    if config.hand_presence == "head":
        return jax.nn.sigmoid(predictions.hand_logits)
    if config.hand_presence == "maps":
        return jax.nn.sigmoid(predictions.hand_logits + _evidence_of_maps(predictions))
    classes = class_probabilities(predictions)
    joints = classes[..., 1 : NUM_HANDS * NUM_JOINTS + 1].reshape(*classes.shape[:2], NUM_HANDS, NUM_JOINTS)
    identified = (joints.sum(-1) * predictions.keypoints.valid[..., None]).sum(1)
    return jax.nn.sigmoid(identified - TOKENS_OF_A_HAND)


def _evidence_of_maps(predictions: Predictions) -> Float[Array, "b n"]:
    """Return what speaks for each hand against the other: maps of the wrong hand's joints agree less on a place.

    The two numbers add to 0, and where both hands are sure, or both unsure, they are near 0.
    """
    confidence = _joint_confidence(predictions)
    assert confidence is not None
    sureness = jnp.log(confidence.mean(-1))
    return EVIDENCE_OF_SURENESS * (sureness - sureness.mean(-1, keepdims=True))


def _decode_object(
    predictions: Predictions, hand_probability: Float[Array, "b n"]
) -> tuple[Float[Array, "b 3 3"], Float[Array, "b 3"]]:
    """Return rotation, and the translation from the reference wrist: the right one's, or the left's where
    it is alone.
    """
    batch = hand_probability.shape[0]
    if predictions.object_rotation_6d is None or predictions.object_translation_m is None:
        return jnp.full((batch, 3, 3), jnp.nan), jnp.full((batch, 3), jnp.nan)
    translations = predictions.object_translation_m[-1]
    translation = translations[:, RIGHT]
    if translations.shape[1] > 1:
        translation = jnp.where(is_left_alone(hand_probability)[:, None], translations[:, LEFT], translation)
    return rotation_6d_to_matrix(predictions.object_rotation_6d[-1]), translation
