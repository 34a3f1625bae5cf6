"""What occlusion costs, where a dataset has the same scene with and without what hides the hands.

`hidden` are the joints that the occluder hides in the arm "occluded", `visible` those that it leaves visible there: the
same joints in every arm. A difference between arms is paired, since a scene has all of them; it needs whole scenes.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.groups import EVERYTHING, Groups, grouped
from occrobnet_jax.evaluation.metrics.hand_prior import completed
from occrobnet_jax.evaluation.metrics.joint_errors import (
    Errors,
    image_errors_px,
    procrustes_errors_mm,
    relative_root_errors_mm,
    root_relative_errors_mm,
)
from occrobnet_jax.evaluation.metrics.measures import Measure, Measures, pooled
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.skeleton import ARMS, SCENE_KINDS, VISIBILITY

HIDDEN_AREAS = tuple(f"/hidden_area_{low:02d}_{low + 10}" for low in range(0, 100, 10))
"""Suffixes of hands by the share of their pixels that the occluder hides, in percent."""
HIDDEN, SEEN = "/hidden", "/visible"

Rows = Bool[np.ndarray, " n"]
Joints = Bool[np.ndarray, "n _ _"]
Values = Float[np.ndarray, "n _ _"]
"""By hand and joint, or one of an example."""


def occlusion_measures(records: Records, setting: Setting) -> Measures:
    """Yield the measures of matched arms; none of other records.

    `mpjpe_mm/arm_ARM` with `/hidden`, `/visible`, a kind of scene or a hidden area; `mpjpe_mm/ARM_minus_free`, and of
    that what hidden joints lose more than visible ones; `recovered_fraction`: see `_recovered_fractions`.
    """
    arm = records.get("arm")
    if arm is None or not arm.any():
        return
    rows = {name: arm == number for number, name in enumerate(ARMS) if number}
    parts = _parts(records)
    errors = root_relative_errors_mm(records["predicted_joints_rel_m"], records)
    groups = parts | _by_scene(records, parts)
    yield from _by_arm("mpjpe_mm", errors, rows, groups)
    yield from _by_arm("pa_mpjpe_mm", procrustes_errors_mm(records["predicted_joints_rel_m"], records), rows, parts)
    yield from _by_arm("error_2d_px", image_errors_px(records), rows, parts)
    steps, known = relative_root_errors_mm(records["predicted_relative_translation_m"], records)
    yield from _by_arm("mrrpe_mm", (steps[:, None, None], known[:, None, None]), rows, EVERYTHING)
    yield from _by_area(errors, records, rows, parts)
    yield from _recovered_fractions(errors, records, setting, rows, parts[HIDDEN])


def _parts(records: Records) -> dict[str, Joints]:
    """Return all joints, the hidden and the visible ones; the latter two inside the crop."""
    hidden = (records["scene_hidden_joints"] > 0) & records["joint_in_crop"]
    seen = (records["visibility"] == VISIBILITY.index("visible")) & (records["scene_hidden_joints"] == 0)
    return {"": np.ones_like(hidden), HIDDEN: hidden, SEEN: seen}


def _by_scene(records: Records, parts: Mapping[str, Joints]) -> Groups:
    """Return the parts of each kind of scene, which its name begins with: that of an arm without object is another."""
    kinds = np.array([name.split(b"/")[0] for name in records["sequence"].tolist()])
    return {
        f"{part}/scene_{kind}": joints & (kinds == kind.encode())[:, None, None]
        for kind in SCENE_KINDS
        for part, joints in parts.items()
    }


def _by_arm(name: str, errors: tuple[Values, Joints], rows: Mapping[str, Rows], groups: Groups) -> Measures:
    """Yield the error in each arm, and how much larger it is than without the occluder."""
    values, valid = errors
    for arm, shown in rows.items():
        yield from grouped(f"{name}/arm_{arm}", values, valid & shown[:, None, None], groups)
        if arm == "free":
            continue
        for suffix, joints in groups.items():
            difference = _difference(values, valid & joints, shown, rows["free"])
            yield f"{name}/{arm}_minus_free{suffix}", difference
        if HIDDEN in groups:
            more = _hidden_minus_visible(values, valid, groups, shown, rows["free"])
            yield f"{name}/{arm}_minus_free/hidden_minus_visible", more


def _difference(values: Values, joints: Joints, arm: Rows, other: Rows) -> Measure:
    """Return the mean of the joints in an arm minus that of the same joints in the other."""
    totals, counts = pooled(values, joints)
    return Measure(totals * (arm.astype(float) - other)[:, None], counts * arm[:, None])


def _hidden_minus_visible(values: Values, valid: Joints, groups: Groups, arm: Rows, other: Rows) -> Measure:
    """Return the difference of hidden joints minus that of visible ones, over the scenes that have both."""
    hidden, seen = valid & groups[HIDDEN], valid & groups[SEEN]
    both: np.ndarray = np.asarray(hidden.any(axis=(1, 2)) & seen.any(axis=(1, 2)))[:, None, None]
    first, second = (_difference(values, part & both, arm, other) for part in (hidden, seen))
    # The mean over two cells is half of their sum.
    return Measure(
        np.concatenate([2 * first.totals, -2 * second.totals], 1), np.concatenate([first.counts, second.counts], 1)
    )


def _by_area(errors: Errors, records: Records, rows: Mapping[str, Rows], parts: Mapping[str, Joints]) -> Measures:
    """Yield the curve of error against hidden area, with the occluder and without, of all joints and hidden ones."""
    values, valid = errors
    share = records["scene_hidden_share"][..., None]
    for part in ("", HIDDEN):
        areas = {
            f"{part}{suffix}": parts[part] & (share > place / 10) & (share <= (place + 1) / 10)
            for place, suffix in enumerate(HIDDEN_AREAS)
        }
        for arm in ("occluded", "free"):
            yield from grouped(f"mpjpe_mm/arm_{arm}", values, valid & rows[arm][:, None, None], areas)


def _recovered_fractions(
    errors: Errors, records: Records, setting: Setting, rows: Mapping[str, Rows], hidden: Joints
) -> Measures:
    """Yield (prior - error) / (prior - oracle) of hidden joints, and the errors of the priors.

    The oracle is the network's error of the same joints without the occluder: at 1 nothing is lost behind it, at 0
    nothing is known that the prior doesn't know. Priors don't look at the picture: the mean pose, and the most probable
    hand around the true places of the visible joints.
    """
    values, valid = errors
    joints = valid & hidden
    behind, oracle = joints & rows["occluded"][:, None, None], joints & rows["free"][:, None, None]
    for name, guess in _priors(records, setting):
        prior, _ = root_relative_errors_mm(guess, records)
        yield f"mpjpe_mm/{name}/arm_occluded/hidden", pooled(prior, behind)
        gained, guessed, left = pooled(prior - values, behind), pooled(prior, behind), pooled(values, oracle)
        yield f"recovered_fraction/{name}", Measure(gained.totals, guessed.totals - left.totals)


def _priors(records: Records, setting: Setting) -> Iterator[tuple[str, Float[np.ndarray, "n 2 21 3"]]]:
    mean, covariance = setting.mean_pose_rel_m, setting.pose_covariance_m2
    if mean is None:
        return
    truth = root_relative(records["joints_cam_m"].astype(np.float64))
    yield "mean_pose", np.broadcast_to(mean, truth.shape)
    if covariance is not None:
        given = records["joint_annotated"] & (records["visibility"] == VISIBILITY.index("visible"))
        yield "hand_prior", completed(truth, given & (records["scene_hidden_joints"] == 0), mean, covariance)
