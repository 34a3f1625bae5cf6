"""Two hands that truly touch: one holds a part of the other, or both close their fingers until they meet flesh."""

import dataclasses

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.contact import advanced, finger_penetration_m, penetration_m
from input_pipeline.synthetic.gestures import gesture_angles
from input_pipeline.synthetic.grasp import grasp
from input_pipeline.synthetic.objects import Solid, ellipsoid_solid
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix
from occrobnet_jax.hands.embedded_hand import Pose, PosedHand, clipped_to_limits, load_hand, resting
from occrobnet_jax.skeleton import LEFT, RIGHT, WRIST

_MAX_PENETRATION_M = 0.006
"""Of the capsules around bones, when flesh presses on flesh."""
_TOUCH_M = 0.002
_STEPS = 13
_CLOSED_DEG = np.array([[20, 20, 25, 25], [0, 75, 85, 50], [0, 75, 85, 50], [0, 75, 85, 50], [0, 75, 85, 50]])
_HELD = (("fist", "hand"), ("flat", "fingers"), ("relaxed", "fingers"), ("flat", "wrist"), ("fist", "wrist"))
"""Pose of a hand that is held, and by which part."""


def holding(shape: Float[np.ndarray, " 10"], rng: np.random.Generator) -> tuple[PosedHand, PosedHand] | None:
    """Return one attempt at a hand that holds the other one: its fist, its fingers, or its wrist; right hand first."""
    side = int(rng.integers(2))
    gesture, part = _HELD[rng.integers(len(_HELD))]
    angles = clipped_to_limits(gesture_angles(gesture) + np.deg2rad(rng.normal(0, 4, (5, 4))))
    held = resting(Pose(side, angles, shape, np.deg2rad(rng.normal(0, 8, 3))))
    solid, turn, center_m = _solid_around(held, part)
    taken = grasp(solid, Pose(1 - side, np.zeros((5, 4)), shape, np.deg2rad(rng.normal(0, 8, 3))), rng)
    if taken is None:
        return None
    holder = taken.hand.moved(turn, center_m)
    if penetration_m(holder.joints_m, held.joints_m) > _MAX_PENETRATION_M:
        return None
    return (held, holder) if side == RIGHT else (holder, held)


def clasped(shape: Float[np.ndarray, " 10"], rng: np.random.Generator) -> tuple[PosedHand, PosedHand] | None:
    """Return one attempt at two hands, palm to palm, whose fingers close around each other; right hand first."""
    names = ("open", "flat", "relaxed", "four")
    right, left = (
        resting(Pose(side, gesture_angles(names[rng.integers(len(names))]), shape, np.deg2rad([25.0, 0, 0])))
        for side in (RIGHT, LEFT)
    )
    cross = rng.choice([-1.0, 1.0]) * rng.uniform(10, 110)
    turns_deg = (np.array([0, 180.0, 0]), np.array([0, 0, cross]), rng.normal(0, 8, 3))
    flip, across, tilt = (axis_angle_to_matrix(np.deg2rad(turn)) for turn in turns_deg)
    left = left.moved(tilt @ flip @ across, np.zeros(3))
    meeting = [hand.joints_m[:WRIST].mean(0) for hand in (right, left)]
    offset = meeting[0] - meeting[1] + rng.normal(0, 0.012, 3) * [1, 1, 0]
    joints, moving = right.joints_m, left.joints_m + offset
    clearance = lambda at: _TOUCH_M - float(penetration_m(joints, moving + [0, 0, at]))  # noqa: E731
    last = advanced(clearance, 0.2, -0.05)
    if last is None:
        return None
    left = left.moved(np.eye(3), offset + [0, 0, last])
    right = _closed_onto(right, left)
    return right, _closed_onto(left, right)


def _closed_onto(hand: PosedHand, other: PosedHand) -> PosedHand:
    """Return the hand with every finger bent until it meets the other hand; fingers that meet nothing stay."""
    start = hand.pose.angles
    goal = np.maximum(clipped_to_limits(np.deg2rad(_CLOSED_DEG)), start)
    shares = np.linspace(0, 1, _STEPS)
    tried = [dataclasses.replace(hand.pose, angles=start + share * (goal - start)) for share in shares]
    joints_m = np.stack([dataclasses.replace(hand, pose=pose).joints_m for pose in tried])
    hit = finger_penetration_m(joints_m, other.joints_m) > _TOUCH_M + 0.0005
    meets = hit.any(0) & ~hit[0]
    share = np.where(meets, shares[np.maximum(hit.argmax(0) - 1, 0)], 0)[:, None]
    return dataclasses.replace(hand, pose=dataclasses.replace(hand.pose, angles=start + share * (goal - start)))


def _solid_around(hand: PosedHand, part: str) -> tuple[Solid, Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Return a round solid in place of a part of a hand, and rotation and center that put it there."""
    rest = load_hand().models[hand.side].skin.rest_m
    chosen = {
        "hand": rest[:, 1] > 0.03,
        "fingers": rest[:, 1] > 0.09,
        "wrist": (rest[:, 1] > -0.08) & (rest[:, 1] < 0.01),
    }[part]
    points = hand.verts_m[chosen]
    center = (points.min(0) + points.max(0)) / 2
    _, _, axes = np.linalg.svd(points - points.mean(0), full_matrices=False)
    turn = axes[::-1].T  # the longest axis becomes the solid's z
    turn[:, 0] *= np.sign(np.linalg.det(turn))
    half = np.ptp((points - center) @ turn, axis=0) / 2
    return ellipsoid_solid(float(half[:2].mean()), float(half[2])), turn, center
