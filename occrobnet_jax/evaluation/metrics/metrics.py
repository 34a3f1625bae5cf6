"""All metrics of an evaluation from its records, under flat names that carry their units.

`mpjpe_mm/occluded` is `mpjpe_mm` over the joints of one group (see `groups.py`), `num_joints/occluded` their number,
`mpjpe_mm/occluded/ci95_low` and `/ci95_high` the interval of a bootstrap over sequences. What has no valid value is
left out: no metric is ever NaN.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.calibration import RIGHT_WITHIN, Reliabilities
from occrobnet_jax.evaluation.metrics.groups import EVERYTHING, JOINT_GROUPS, example_groups, grouped, joint_groups
from occrobnet_jax.evaluation.metrics.joint_errors import (
    LEAST_JOINTS_OF_PROCRUSTES,
    MM_PER_M,
    absolute_errors_mm,
    best_assignment_errors_mm,
    both_hands,
    image_errors_px,
    procrustes_errors_mm,
    relative_root_errors_mm,
    root_relative_errors_mm,
    within_box_share,
)
from occrobnet_jax.evaluation.metrics.measures import Measures, Score, Tally
from occrobnet_jax.evaluation.metrics.objects import object_measures
from occrobnet_jax.evaluation.metrics.occlusion import occlusion_measures
from occrobnet_jax.evaluation.metrics.protocols.depth import joints_at_depth
from occrobnet_jax.evaluation.metrics.protocols.interhand26m import interhand_measures
from occrobnet_jax.evaluation.metrics.tokens import token_measures
from occrobnet_jax.evaluation.metrics.visibility import VisibilityRanks, visibility_measures
from occrobnet_jax.skeleton import LEFT, RIGHT

Metrics = dict[str, float | int]
SEED = 0  # of the bootstrap
LOW, HIGH = "/ci95_low", "/ci95_high"
PCK_SHARES = (0.05, 0.1, 0.15, 0.2)
PCK_GROUPS = ("", "/visible", "/occluded")


PROTOCOL = {
    "mpjpe_mm": "each hand's wrist joined to its own true wrist in camera axes, no scale, no rotation; plain mean over "
    "the annotated joints of annotated hands whose wrist is annotated; the wrists themselves, 0 by construction, do "
    "not count (counting them lowers the figure by 4.8 %)",
    "pa_mpjpe_mm": "each hand aligned by the similarity (rotation, scale, translation; no mirror image) of least "
    f"squares over its annotated joints; mean over those joints, the wrist too; hands with at least "
    f"{LEAST_JOINTS_OF_PROCRUSTES} of them",
    "mpjpe_mm/mean_pose": "the same, predicting for every hand the training split's mean wrist-relative pose",
    "mpjpe_mm/true_depth": "2.5D only: the same, each wrist put at its true depth before pixels become metres, as "
    "published 2.5D rows have it (or at RootNet's estimate)",
    "ci95": "the 95 % interval of a bootstrap over sequences; none where there is one sequence only",
    "mpjpe_mm/interhand_all_42": "InterHand2.6M's average: per joint over samples, then over 42 joints, wrists "
    "included with error 0",
    "mpjpe_mm/both_hands": "MPJPE of the examples in which joints of both hands count; /best_assignment: after the "
    "better of the two assignments of predicted to true hands, example by example: what exchanged hands don't explain",
    "mrrpe_mm": "left wrist minus right wrist from the network's own head, where both are known",
    "absolute_error_mm": "camera frame, no alignment; a wrist is where the network's skeleton fits its own 2D points",
    "root_depth": "of a hand in 2.5D, which scales it and so enters MPJPE. own: where its bones have ordinary lengths, "
    "no true depth is used; ground_truth: the true wrist's depth. Other representations use no true depth",
    "error_2d_px": "px of the crop, annotated joints inside it",
    "pck": "PCK_S: share of the annotated joints in the crop whose 2D error is at most S of the longer side of the box "
    "around their hand's joints; also of visible and of occluded ones",
    "ece": "expected calibration error over 15 bins, of what the network itself says (a network's file may hold a "
    f"calibration): joint_confidence, of a 2D error of at most {RIGHT_WITHIN} of the hand's box; hand_probability; "
    "visibility_probability",
    "risk_coverage_area": "share of such errors among the joints of most confidence, averaged over how many are kept",
    "token_recall": "joints inside the crop with a detected keypoint within 3/128 of the crop's side",
    "handedness_accuracy": "both hands' presence right at 0.5",
    "object": "relative to the right wrist, or the left where no right hand is; nearest of the symmetric poses",
    "box_source": "stored: the crop is taken from the dataset's box; joints: from a box around the labels",
    "arm_A": "pictures of one scene that differ in what is before the hands; hidden and visible are there the joints "
    "that the occluder hides and leaves visible in the arm occluded, inside the crop; A_minus_free: the same joints in "
    "two arms; hidden_area_A_B: hands of which the occluder hides A to B percent of the pixels",
    "recovered_fraction": "of hidden joints, (prior - error) / (prior - error without the occluder); mean_pose: the "
    "training split's; hand_prior: the most probable hand around the true places of its visible joints",
    "missed_hands": "hands count whether or not the network says they are there",
}
"""What the numbers mean; written beside them."""


def compute_metrics(chunks: Iterable[Records], setting: Setting, seed: int | None = SEED) -> Metrics:
    """Return every metric that the records have labels for; nothing where there are no records.

    Args:
        chunks: the records of a split, in parts of any size, which are read once and not kept.
        setting: what is the same for all of them.
        seed: of the bootstrap; None leaves the intervals out.

    Raises:
        FloatingPointError: a prediction isn't finite.
    """
    tally, ranks, reliability, num_examples = Tally(), VisibilityRanks(), Reliabilities(), 0
    for records in chunks:
        check_finite(records)
        tally.add(own_measures(records, setting), records.get("sequence"))
        ranks.add(records)
        reliability.add(records)
        num_examples += len(records["example_index"])
    scores = tally.scores(seed)
    return _flat(num_examples, scores) | ranks.metrics() | reliability.metrics() if num_examples else {}


def own_measures(records: Records, setting: Setting) -> Measures:
    """Yield all measures of metrics.json, of some examples."""
    groups = joint_groups(records)
    errors = root_relative_errors_mm(records["predicted_joints_rel_m"], records)
    yield from grouped("mpjpe_mm", *errors, groups)
    yield from interhand_measures(*errors, records)
    yield from grouped("mpjpe_mm/both_hands", errors[0], both_hands(errors[1]), EVERYTHING)
    best = best_assignment_errors_mm(records["predicted_joints_rel_m"], records)
    yield from grouped("mpjpe_mm/both_hands/best_assignment", *best, EVERYTHING)
    yield from grouped("pa_mpjpe_mm", *procrustes_errors_mm(records["predicted_joints_rel_m"], records), groups)
    if setting.mean_pose_rel_m is not None:
        guess = np.broadcast_to(setting.mean_pose_rel_m, records["joints_cam_m"].shape)
        yield from grouped("mpjpe_mm/mean_pose", *root_relative_errors_mm(guess, records), groups)
        yield from grouped("pa_mpjpe_mm/mean_pose", *procrustes_errors_mm(guess, records), groups)
    if setting.switches.get("representation") == "2.5d":
        at_true_depth = joints_at_depth(records, "ground_truth")
        yield from grouped("mpjpe_mm/true_depth", *root_relative_errors_mm(at_true_depth, records), groups)
    yield from grouped("absolute_error_mm", *absolute_errors_mm(records), EVERYTHING)
    yield from grouped("error_2d_px", *image_errors_px(records), groups)
    for share in PCK_SHARES:
        seen_or_not = {suffix: groups[suffix] for suffix in PCK_GROUPS}
        yield from grouped(f"pck_{share}", *within_box_share(records, share), seen_or_not)
    yield from _root_measures(records)
    yield from token_measures(records, setting.input_size_px)
    yield from _handedness_measures(records)
    yield from object_measures(records)
    yield from visibility_measures(records)
    yield from occlusion_measures(records, setting)


def is_of_an_interval(name: str) -> bool:
    """Return whether the number of that name is an end of another one's interval."""
    return name.endswith((LOW, HIGH))


def example_errors_mm(records: Records) -> Float[np.ndarray, " n"]:
    """Return each example's MPJPE, NaN where it has no annotated hand; to sort examples by."""
    errors, valid = root_relative_errors_mm(records["predicted_joints_rel_m"], records)
    count = valid.sum(axis=(1, 2))
    total = np.where(valid, errors, 0.0).sum(axis=(1, 2))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def check_finite(records: Records) -> None:
    """Check that the network hasn't diverged.

    Raises:
        FloatingPointError: a prediction isn't finite.
    """
    for name in ("joints_rel_m", "joints_cam_m", "joints_px", "hand_probability"):
        values = records[f"predicted_{name}"]
        bad: np.ndarray = np.asarray(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
        if bad.any():
            raise FloatingPointError(
                f"predicted_{name} is not finite for {int(bad.sum())} of {len(bad)} examples, "
                f"the first at row {records['example_index'][bad.argmax()]}: the network has diverged"
            )


def _flat(num_examples: int, scores: Mapping[str, Score]) -> Metrics:
    """Return numbers, counts of joints and intervals under names of one level."""
    metrics: Metrics = {"num_examples": num_examples} | {name: each.value for name, each in scores.items()}
    metrics |= {
        f"num_joints{suffix}": scores[f"mpjpe_mm{suffix}"].num_values
        for suffix in JOINT_GROUPS
        if f"mpjpe_mm{suffix}" in scores
    }
    metrics |= {name + LOW: each.low for name, each in scores.items() if each.low is not None}
    return metrics | {name + HIGH: each.high for name, each in scores.items() if each.high is not None}


def _root_measures(records: Records) -> Measures:
    """Return errors of the two wrists: of each in the camera frame, and of one relative to the other."""
    root, known = records["root_cam_m"].astype(np.float64), records["root_known"]
    predicted = records["predicted_root_cam_m"].astype(np.float64)
    groups = example_groups(records)
    by_hand = {suffix: mask[:, None] for suffix, mask in groups.items()}
    own_step = predicted[:, LEFT] - predicted[:, RIGHT]
    head_step = records["predicted_relative_translation_m"]
    yield from grouped("root_error_mm", _length_mm(predicted - root), known, by_hand)
    yield from grouped("root_depth_error_mm", MM_PER_M * np.abs((predicted - root)[..., 2]), known, by_hand)
    yield from grouped("mrrpe_mm", *relative_root_errors_mm(head_step, records), groups)
    yield from grouped("mrrpe_mm/from_absolute_roots", *relative_root_errors_mm(own_step, records), EVERYTHING)


def _handedness_measures(records: Records) -> Measures:
    said: Bool[np.ndarray, "n 2"] = records["predicted_hand_probability"] > 0.5
    is_right = (said == records["hand_present"]).all(axis=1).astype(np.float64)
    return grouped("handedness_accuracy", is_right, records["hand_present_known"], example_groups(records))


def _length_mm(difference_m: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    return MM_PER_M * np.linalg.norm(difference_m, axis=-1)
