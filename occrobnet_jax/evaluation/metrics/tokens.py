"""How well the detected keypoints cover the joints, and whether the encoder knows whose they are."""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.metrics.groups import EVERYTHING, example_groups, grouped, joint_groups
from occrobnet_jax.evaluation.metrics.measures import Measures
from occrobnet_jax.skeleton import NUM_JOINTS

RADIUS_SHARE = 3 / 128
"""A keypoint within this share of the crop's side of a joint is a hit: 3 px of the paper's 128 x 128 heatmap."""


def token_measures(records: Records, input_size_px: int) -> Measures:
    """Yield recall and precision of keypoints, and accuracy of the hand they are said to belong to.

    `token_recall`: joints inside the crop that have a keypoint within the radius. `token_precision`: keypoints that
    have a joint within the radius, in examples where every joint of the hands that are there is annotated.
    `hand_identity_accuracy`: of keypoints that have joints of only one hand within the radius, those whose most
    probable class is a joint of that hand.
    """
    near = _is_near(records, RADIUS_SHARE * input_size_px)
    valid_keypoints = records["predicted_keypoint_valid"]
    near_hand: np.ndarray = np.asarray(near.any(axis=-1))
    one_hand = valid_keypoints & (near_hand.sum(axis=-1) == 1)
    class_hand = (records["predicted_keypoint_class"] - 1) // NUM_JOINTS  # class 0 is none, 43 the object
    is_right_hand = np.where(near_hand.argmax(axis=-1) == class_hand, 1.0, 0.0)
    by_scene = {suffix: mask[:, None] for suffix, mask in example_groups(records).items()}
    fully_annotated = valid_keypoints & _is_fully_annotated(records)[:, None]
    recalled = np.asarray(near.any(axis=1), np.float64)
    yield from grouped("token_recall", recalled, records["joint_in_crop"], joint_groups(records))
    yield from grouped("token_precision", np.asarray(near_hand.any(axis=-1), np.float64), fully_annotated, by_scene)
    yield from grouped("hand_identity_accuracy", is_right_hand, one_hand, by_scene)
    count = valid_keypoints.sum(axis=-1, dtype=np.float64)
    yield from grouped("tokens_per_image", count, np.ones(len(count), bool), EVERYTHING)


def _is_near(records: Records, radius_px: float) -> Bool[np.ndarray, "n t 2 21"]:
    """Return whether each valid keypoint lies within the radius of each joint inside the crop."""
    keypoints: Float[np.ndarray, "n t 2"] = records["predicted_keypoints_px"].astype(np.float64)
    joints = records["joints_px"].astype(np.float64)
    across, down = (keypoints[:, :, None, None, axis] - joints[:, None, ..., axis] for axis in (0, 1))
    distance = np.sqrt(across * across + down * down)  # norm() of the last axis, of two, takes three times as long
    return (
        (distance <= radius_px)
        & records["predicted_keypoint_valid"][..., None, None]
        & records["joint_in_crop"][:, None]
    )


def _is_fully_annotated(records: Records) -> Bool[np.ndarray, " n"]:
    """Return whether each hand that is there has all its joints annotated, so that a keypoint elsewhere is a false
    one.
    """
    annotated = records["joint_annotated"] | records["joint_in_crop"]  # the latter may be known in 2D only
    complete = annotated.all(axis=-1) | ~records["hand_present"]
    return records["hand_present_known"] & complete.all(axis=-1)
