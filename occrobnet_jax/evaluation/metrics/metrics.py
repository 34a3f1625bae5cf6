"""All metrics of an evaluation from its records, under flat names that carry their units.

`mpjpe_mm/occluded` is `mpjpe_mm` over the joints of one group (see `groups.py`), `num_joints/occluded` their number.
What has no valid value is left out: no metric is ever NaN.
"""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.groups import (
    EVERYTHING,
    example_groups,
    grouped_counts,
    grouped_means,
    joint_groups,
)
from occrobnet_jax.evaluation.metrics.joint_errors import (
    LEAST_JOINTS_OF_PROCRUSTES,
    MM_PER_M,
    absolute_errors_mm,
    image_errors_px,
    procrustes_errors_mm,
    root_relative_errors_mm,
)
from occrobnet_jax.evaluation.metrics.objects import object_metrics
from occrobnet_jax.evaluation.metrics.protocols.interhand26m import interhand_metrics
from occrobnet_jax.evaluation.metrics.tokens import token_metrics
from occrobnet_jax.evaluation.metrics.visibility import visibility_metrics
from occrobnet_jax.skeleton import LEFT, RIGHT

Metrics = dict[str, float | int]

PROTOCOL = {
    "mpjpe_mm": "each hand's wrist joined to its own true wrist in camera axes, no scale, no rotation; plain mean over "
    "the annotated joints of annotated hands whose wrist is annotated; the wrists themselves, 0 by construction, do "
    "not count (counting them lowers the figure by 4.8 %)",
    "pa_mpjpe_mm": "each hand aligned by the similarity (rotation, scale, translation; no mirror image) of least "
    f"squares over its annotated joints; mean over those joints, the wrist too; hands with at least "
    f"{LEAST_JOINTS_OF_PROCRUSTES} of them",
    "mpjpe_mm/mean_pose": "the same, predicting for every hand the training split's mean wrist-relative pose",
    "mpjpe_mm/interhand_all_42": "InterHand2.6M's average: per joint over samples, then over 42 joints, wrists "
    "included with error 0",
    "mrrpe_mm": "left wrist minus right wrist from the network's own head, where both are known",
    "absolute_error_mm": "camera frame, no alignment; a wrist is where the network's skeleton fits its own 2D points",
    "root_depth": "of a hand in 2.5D, which scales it and so enters MPJPE. own: where its bones have ordinary lengths, "
    "no true depth is used; ground_truth: the true wrist's depth. Other representations use no true depth",
    "error_2d_px": "px of the crop, annotated joints inside it",
    "token_recall": "joints inside the crop with a detected keypoint within 3/128 of the crop's side",
    "handedness_accuracy": "both hands' presence right at 0.5",
    "object": "relative to the right wrist, or the left where no right hand is; nearest of the symmetric poses",
    "box_source": "stored: the crop is taken from the dataset's box; joints: from a box around the labels",
    "missed_hands": "hands count whether or not the network says they are there",
}
"""What the numbers mean; written beside them."""


def compute_metrics(records: Records, setting: Setting) -> Metrics:
    """Every metric that the records have labels for.

    Raises:
        FloatingPointError: a prediction isn't finite.
    """
    _check_finite(records)
    groups = joint_groups(records)
    relative, valid = root_relative_errors_mm(records["predicted_joints_rel_m"], records)
    metrics: Metrics = {"num_examples": len(valid)}
    metrics |= grouped_means("mpjpe_mm", relative, valid, groups)
    metrics |= grouped_counts("num_joints", valid, groups)
    metrics |= interhand_metrics(relative, valid, records)
    metrics |= grouped_means("pa_mpjpe_mm", *procrustes_errors_mm(records["predicted_joints_rel_m"], records), groups)
    metrics |= _mean_pose_metrics(records, setting)
    metrics |= grouped_means("absolute_error_mm", *absolute_errors_mm(records), EVERYTHING)
    metrics |= grouped_means("error_2d_px", *image_errors_px(records), groups)
    metrics |= _root_metrics(records)
    metrics |= token_metrics(records, setting.input_size_px)
    metrics |= _handedness_metrics(records)
    metrics |= object_metrics(records)
    return metrics | visibility_metrics(records)


def example_errors_mm(records: Records) -> Float[np.ndarray, " n"]:
    """MPJPE of each example, NaN where it has no annotated hand; to sort examples by."""
    errors, valid = root_relative_errors_mm(records["predicted_joints_rel_m"], records)
    count = valid.sum(axis=(1, 2))
    total = np.where(valid, errors, 0.0).sum(axis=(1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _check_finite(records: Records) -> None:
    for name in (
        "predicted_joints_rel_m",
        "predicted_joints_cam_m",
        "predicted_joints_px",
        "predicted_hand_probability",
    ):
        bad: np.ndarray = np.asarray(~np.isfinite(records[name]).reshape(len(records[name]), -1).all(axis=1))
        if bad.any():
            raise FloatingPointError(
                f"{name} is not finite for {int(bad.sum())} of {len(bad)} examples, "
                f"the first at row {int(bad.argmax())}: the network has diverged"
            )


def _mean_pose_metrics(records: Records, setting: Setting) -> dict[str, float]:
    """What always predicting the mean pose scores."""
    if setting.mean_pose_rel_m is None:
        return {}
    groups = joint_groups(records)
    guess = np.broadcast_to(setting.mean_pose_rel_m, records["joints_cam_m"].shape)
    metrics = grouped_means("mpjpe_mm/mean_pose", *root_relative_errors_mm(guess, records), groups)
    return metrics | grouped_means("pa_mpjpe_mm/mean_pose", *procrustes_errors_mm(guess, records), groups)


def _root_metrics(records: Records) -> dict[str, float]:
    """Errors of the two wrists: of each in the camera frame, and of one relative to the other."""
    root, known = records["root_cam_m"].astype(np.float64), records["root_known"]
    predicted = records["predicted_root_cam_m"].astype(np.float64)
    groups = example_groups(records)
    by_hand = {suffix: mask[:, None] for suffix, mask in groups.items()}
    both: np.ndarray = np.asarray(known.all(axis=1))
    true_step = root[:, LEFT] - root[:, RIGHT]
    own_step = predicted[:, LEFT] - predicted[:, RIGHT]
    head_step = records["predicted_relative_translation_m"].astype(np.float64)
    return (
        grouped_means("root_error_mm", _length_mm(predicted - root), known, by_hand)
        | grouped_means("root_depth_error_mm", MM_PER_M * np.abs((predicted - root)[..., 2]), known, by_hand)
        | grouped_means("mrrpe_mm", _length_mm(head_step - true_step), both, groups)
        | grouped_means("mrrpe_mm/from_absolute_roots", _length_mm(own_step - true_step), both, EVERYTHING)
    )


def _handedness_metrics(records: Records) -> dict[str, float]:
    said: Bool[np.ndarray, "n 2"] = records["predicted_hand_probability"] > 0.5
    is_right = (said == records["hand_present"]).all(axis=1).astype(np.float64)
    return grouped_means("handedness_accuracy", is_right, records["hand_present_known"], example_groups(records))


def _length_mm(difference_m: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    return MM_PER_M * np.linalg.norm(difference_m, axis=-1)
