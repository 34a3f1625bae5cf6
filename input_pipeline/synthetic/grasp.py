"""Closing a hand onto an object: the palm is pushed against it, then each finger bends until it touches.

The object stays in its rest pose at the origin; the hand moves. Contact is measured between skin vertices and the
object's signed distance, so nothing floats and the depth of what enters is known.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.contact import advanced, penetration_m, self_penetration_m
from input_pipeline.synthetic.finger_chains import FingerChains
from input_pipeline.synthetic.objects import Solid
from occrobnet_jax.hands.embedded_hand import LIMITS_DEG, Pose, PosedHand, clipped_to_limits, load_hand
from occrobnet_jax.skeleton import FINGERS, LEFT, RIGHT

MAX_PENETRATION_M = 0.004
MAX_SELF_PENETRATION_M = 0.006
TOUCH_M = 0.002
"""A finger whose skin comes this near to the object touches it."""

_PALM_CENTER_M = np.array([-0.004, 0.062, 0.02])
_CONTACT_M = 0.0005
_HOPELESS_M = 0.008
"""Hands that overlap by more than this before the fingers close won't come apart."""
_CLOSING_STEPS = 9
_REFINING_STEPS = 5
_THUMB_TRIALS = 16
_CLOSED_DEG = np.array(
    [[6, 30, 40, 55], [0, 80, 95, 60], [0, 80, 95, 60], [0, 80, 95, 60], [0, 80, 95, 60]], np.float64
)
_STAGES = (np.array([0, 1, 1, 1.0]), np.array([0, 0, 1, 1.0]), np.array([0, 0, 0, 1.0]))
"""Which angles still close: all three joints, then the middle and the end one, then the end one."""


@dataclasses.dataclass(frozen=True)
class Grasp:
    """A hand on an object, in the object's rest frame."""

    hand: PosedHand
    touching: int  # number of fingers on the object
    depth_m: float  # deepest skin vertex inside the object


def grasp(solid: Solid, pose: Pose, rng: np.random.Generator, beside: PosedHand | None = None) -> Grasp | None:
    """Return one attempt to take hold of the object with the hand of a pose, whose finger angles are replaced.

    Args:
        solid: the object, in rest pose.
        pose: side, shape and forearm of the hand.
        rng: draws the side from which the object is taken, and where along it.
        beside: a hand that holds the object already; the new one comes from the other side.

    Returns:
        None if it failed: too deep, too few fingers, fingers through fingers, or no room for the thumb.
    """
    chains = FingerChains(pose.shape)
    angles = _open_hand(rng)
    hand = PosedHand(pose, _palm_rotation(solid, pose.side, rng, beside), np.zeros(3))
    skin = np.concatenate([chains.palm_m, chains.points_m(angles[None]).reshape(-1, 3)])
    hand = _pushed_to_palm(solid, hand, skin, rng)
    if beside is not None and penetration_m(hand.joints_m, beside.joints_m) > _HOPELESS_M:
        return None
    thumb = _free_thumb(solid, hand, angles, chains, rng)
    if thumb is None:
        return None
    angles = _closed(solid, hand, np.concatenate([thumb[None], angles[1:]]), chains)
    return _checked(solid, PosedHand(dataclasses.replace(pose, angles=angles), hand.rotation, hand.wrist_m), 3)


def _checked(solid: Solid, hand: PosedHand, least_touching: int) -> Grasp | None:
    if self_penetration_m(hand.joints_m) > MAX_SELF_PENETRATION_M:
        return None
    distance = solid.signed_distance_m(hand.verts_m)
    touching = sum(float(distance[skin].min()) < TOUCH_M for skin in load_hand().finger_verts)
    depth = -float(distance.min())
    if depth > MAX_PENETRATION_M or touching < least_touching:
        return None
    return Grasp(hand, touching, depth)


def release(solid: Solid, held: Grasp, rng: np.random.Generator) -> Grasp | None:
    """Return the same grasp with some fingers moved away from the object on their own; None if they would hit
    something.
    """
    angles = held.hand.pose.angles
    free = rng.random((len(FINGERS), 1)) < rng.uniform(0.2, 0.8)
    opened = angles * (1 - rng.uniform(0.2, 1.1, (len(FINGERS), 1))) + np.deg2rad(rng.normal(0, 8, angles.shape))
    pose = dataclasses.replace(held.hand.pose, angles=np.where(free, clipped_to_limits(opened), angles))
    return _checked(solid, dataclasses.replace(held.hand, pose=pose), 0)


def _open_hand(rng: np.random.Generator) -> np.ndarray:
    """Open the fingers, ready to close, the thumb out of the way in the palm's plane."""
    angles = rng.normal(0, 3, (5, 4))
    angles[0] = [-20, -26, 0, 0]
    angles[1:, 1:] = rng.uniform(-8, 4)
    return clipped_to_limits(np.deg2rad(angles))


def _palm_rotation(solid: Solid, side: int, rng: np.random.Generator, beside: PosedHand | None) -> np.ndarray:
    """Return hand frame to object frame: the object's long axis across the palm, approached from a random side."""
    spread = 12.0 if rng.random() < 0.7 else 40.0
    across = np.deg2rad(rng.normal(0, spread))  # between the object's z and the palm's x
    about = rng.uniform(0, 2 * np.pi)  # approach direction around the object's axis
    if beside is not None:
        palm = -beside.rotation[:, 2]
        about = np.arctan2(-palm[1], -palm[0]) + rng.normal(0, 0.5)
    if solid.family == "box":  # flat sides: palm on one of the four long faces
        about = np.pi / 2 * np.round(about / (np.pi / 2)) + np.deg2rad(rng.normal(0, 5))
    if solid.family == "mug":
        about = np.clip(about % (2 * np.pi), 0.6, 2 * np.pi - 0.6)  # not onto the handle
    out = np.array([np.cos(about), np.sin(about), 0.0])  # from the object to the palm
    sideways = np.cross([0, 0, 1.0], out)
    upward = rng.choice([-1.0, 1.0], p=[0.15, 0.85])
    x = upward * np.cos(across) * np.array([0, 0, 1.0]) + np.sin(across) * sideways
    if side == LEFT:
        x = -x
    z = -out  # out of the palm, towards the object
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _pushed_to_palm(
    solid: Solid, hand: PosedHand, skin_m: Float[np.ndarray, "k 3"], rng: np.random.Generator
) -> PosedHand:
    """Return the hand moved along its palm's normal until the object touches it; `skin_m` are samples of the right
    hand.
    """
    mirror = _mirror(hand.side)
    center = hand.rotation @ (_PALM_CENTER_M * mirror)
    slide = rng.uniform(-0.35, 0.35) * solid.half_extent_m[2] * np.array([0, 0, 1.0])
    start = slide + rng.normal(0, 0.006) * hand.rotation[:, 1] - center
    points = (skin_m * mirror) @ hand.rotation.T + start
    normal = hand.rotation[:, 2]
    farthest = float(np.linalg.norm(solid.half_extent_m)) + 0.1
    clearance = lambda at: float(solid.signed_distance_m(points - at * normal).min()) - 2 * _CONTACT_M  # noqa: E731
    last = advanced(clearance, farthest, 0.0)
    return dataclasses.replace(hand, wrist_m=start - (farthest if last is None else last) * normal)


def _free_thumb(
    solid: Solid, hand: PosedHand, angles: np.ndarray, chains: FingerChains, rng: np.random.Generator
) -> np.ndarray | None:
    """Return the angles of a thumb that is clear of the object, lifted to oppose the fingers as far as
    there is room.
    """
    candidates = np.broadcast_to(angles, (_THUMB_TRIALS, 5, 4)).copy()
    lowest, highest = np.deg2rad(LIMITS_DEG[0]).T
    share = rng.uniform([0, 0, 0.1, 0.1], [1, 0.6, 0.3, 0.25], (_THUMB_TRIALS - 1, 4))
    candidates[1:, 0] = lowest + (highest - lowest) * share
    free = _clearance(solid, hand, candidates, chains)[:, 0] > _CONTACT_M
    lift = np.where(free, candidates[:, 0, 0], -np.inf)
    return candidates[lift.argmax(), 0] if free.any() else None


def _closed(solid: Solid, hand: PosedHand, angles: np.ndarray, chains: FingerChains) -> np.ndarray:
    """Return the finger angles after all fingers bent until they touched the object or reached their limit."""
    target = clipped_to_limits(np.deg2rad(_CLOSED_DEG))
    for stage in _STAGES:
        goal = angles + stage * np.maximum(target - angles, 0)
        share = _first_contact(solid, hand, angles, goal, chains)
        angles = angles + share[:, None] * (goal - angles)
    return angles


def _first_contact(
    solid: Solid, hand: PosedHand, start: np.ndarray, goal: np.ndarray, chains: FingerChains
) -> Float[np.ndarray, " 5"]:
    """Return the share of the way from start to goal that each finger can go before it touches."""
    low, high = np.zeros(len(FINGERS)), np.ones(len(FINGERS))
    fingers = np.arange(len(FINGERS))
    for steps in (_CLOSING_STEPS, _REFINING_STEPS):
        grid = np.linspace(low, high, steps + 1)  # (steps + 1, finger)
        hit = _clearance(solid, hand, start + grid[..., None] * (goal - start), chains) < _CONTACT_M
        last_free = np.where(hit.any(0), np.maximum(hit.argmax(0) - 1, 0), steps)
        low, high = grid[last_free, fingers], grid[np.minimum(last_free + 1, steps), fingers]
    return low


def _clearance(
    solid: Solid, hand: PosedHand, angles: Float[np.ndarray, "t 5 4"], chains: FingerChains
) -> Float[np.ndarray, "t 5"]:
    """Return the signed distance of each finger's nearest skin, for a row of candidate angles."""
    to_object = (hand.rotation * _mirror(hand.side)).T.astype(np.float32)
    points = chains.points_m(angles) @ to_object + hand.wrist_m.astype(np.float32)
    return solid.signed_distance_m(points).min(-1)


def _mirror(side: int) -> Float[np.ndarray, " 3"]:
    return np.array([1.0 if side == RIGHT else -1.0, 1.0, 1.0])
