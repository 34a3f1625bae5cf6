"""Closing a hand onto an object: the palm is pushed against it, then each finger bends until it touches.

The object stays in its rest pose at the origin; the hand moves. Contact is measured between skin vertices and the
object's signed distance, so nothing floats and the depth of what enters is known.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.contact import object_depth_m, self_penetration_m
from input_pipeline.synthetic.hand import LIMITS_DEG, PosedHand, clipped_to_limits, finger_pose, load_hand
from input_pipeline.synthetic.objects import Solid
from occrobnet_jax.geometry.hand_model import mirrored_pose
from occrobnet_jax.skeleton import FINGERS, LEFT, RIGHT

MAX_PENETRATION_M = 0.004
MAX_SELF_PENETRATION_M = 0.006
TOUCH_M = 0.002
"""A finger whose skin comes this near to the object touches it."""

_PALM_CENTRE_M = np.array([-0.004, 0.062, 0.02])
DBG = False
_CONTACT_M = 0.0005
_BISECTIONS = 10
_CLOSING_STEPS = 12
_REFINING_STEPS = 6
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


def grasp(solid: Solid, side: int, shape: np.ndarray, forearm: np.ndarray, rng: np.random.Generator) -> Grasp | None:
    """One attempt to take hold of the object; None if it fails (too deep, too few fingers, fingers through fingers)."""
    angles = _open_hand(rng)
    hand = PosedHand(side, angles, shape, _palm_rotation(solid, side, rng), np.zeros(3), forearm)
    hand = _pushed_to_palm(solid, hand, rng)
    thumb = _free_thumb(solid, hand, rng)
    if thumb is None:
        return None
    hand = dataclasses.replace(hand, angles=np.concatenate([thumb[None], angles[1:]]))
    hand = dataclasses.replace(hand, angles=_closed(solid, hand))
    verts = hand.verts_m()
    distance = solid.signed_distance_m(verts)
    touching = sum(float(distance[verts_of].min()) < TOUCH_M for verts_of in load_hand().finger_verts)
    depth = object_depth_m(hand, distance)
    forearm_inside = float(distance.min()) < -MAX_PENETRATION_M
    if DBG:
        print(solid.family, round(depth * 1e3, 1), touching, forearm_inside, self_penetration_m(hand.joints_m()) * 1e3)
    if depth > MAX_PENETRATION_M or touching < 3 or forearm_inside:
        return None
    if self_penetration_m(hand.joints_m()) > MAX_SELF_PENETRATION_M:
        return None
    return Grasp(hand, touching, depth)


def release(solid: Solid, held: Grasp, rng: np.random.Generator) -> Grasp | None:
    """The same grasp with some fingers moved away from the object on their own; None if they would hit something."""
    free = rng.random(len(FINGERS)) < rng.uniform(0.2, 0.8)
    back = rng.uniform(0.2, 1.1, (len(FINGERS), 1))
    angles = held.hand.angles.copy()
    opened = clipped_to_limits(angles * (1 - back * [1, 1, 1, 1]) + np.deg2rad(rng.normal(0, 8, angles.shape)))
    hand = dataclasses.replace(held.hand, angles=np.where(free[:, None], opened, angles))
    distance = solid.signed_distance_m(hand.verts_m())
    depth = object_depth_m(hand, distance)
    if depth > MAX_PENETRATION_M or self_penetration_m(hand.joints_m()) > MAX_SELF_PENETRATION_M:
        return None
    return Grasp(hand, sum(float(distance[v].min()) < TOUCH_M for v in load_hand().finger_verts), depth)


def _open_hand(rng: np.random.Generator) -> np.ndarray:
    """Fingers open and ready to close, the thumb out of the way in the palm's plane."""
    angles = rng.normal(0, 3, (5, 4))
    angles[0] = [-20, -26, 0, 0]
    angles[1:, 1:] = rng.uniform(-8, 4)
    return clipped_to_limits(np.deg2rad(angles))


def _palm_rotation(solid: Solid, side: int, rng: np.random.Generator) -> np.ndarray:
    """Hand frame to object frame: the object's long axis across the palm, approached from a random side."""
    spread = 12.0 if rng.random() < 0.7 else 40.0
    across = np.deg2rad(rng.normal(0, spread))  # between the object's z and the palm's x
    about = rng.uniform(0, 2 * np.pi)  # approach direction around the object's axis
    if solid.family == "box":  # flat sides: palm on one of the four long faces
        about = np.pi / 2 * rng.integers(4) + np.deg2rad(rng.normal(0, 5))
    if solid.family == "mug":
        about = rng.uniform(0.6, 2 * np.pi - 0.6)
    out = np.array([np.cos(about), np.sin(about), 0.0])  # from the object to the palm
    sideways = np.cross([0, 0, 1.0], out)
    upward = rng.choice([-1.0, 1.0], p=[0.15, 0.85])
    x = upward * np.cos(across) * np.array([0, 0, 1.0]) + np.sin(across) * sideways
    if side == LEFT:
        x = -x
    z = -out  # out of the palm, towards the object
    return np.stack([x, np.cross(z, x), z], axis=-1)


def _pushed_to_palm(solid: Solid, hand: PosedHand, rng: np.random.Generator) -> PosedHand:
    """The hand moved along its palm's normal until the object touches the palm."""
    mirror = np.array([1.0 if hand.side == RIGHT else -1.0, 1, 1])
    centre = hand.rotation @ (_PALM_CENTRE_M * mirror)
    slide = rng.uniform(-0.35, 0.35) * solid.half_extent_m[2] * np.array([0, 0, 1.0])
    slip = rng.normal(0, 0.006) * hand.rotation[:, 1]
    samples = np.concatenate([load_hand().palm_samples, load_hand().finger_samples.ravel()])
    pose, shape, translation_m = hand.parameters()
    points = hand.model.skinned(hand.model.skin[samples], pose, shape) + translation_m
    points = points + slide + slip - centre
    normal = hand.rotation[:, 2]
    near, far = 0.0, float(np.linalg.norm(solid.half_extent_m)) + 0.1
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        inside = solid.signed_distance_m(points - middle * normal).min() < 2 * _CONTACT_M
        near, far = (middle, far) if inside else (near, middle)
    return dataclasses.replace(hand, wrist_m=slide + slip - centre - far * normal)


def _free_thumb(solid: Solid, hand: PosedHand, rng: np.random.Generator) -> np.ndarray | None:
    """Angles of a thumb that is clear of the object, opposite the fingers where there is room."""
    candidates = np.broadcast_to(hand.angles, (_THUMB_TRIALS, 5, 4)).copy()
    lowest, highest = np.deg2rad(LIMITS_DEG[0]).T
    candidates[:, 0] = lowest + (highest - lowest) * rng.uniform(
        [0, 0, 0.1, 0.1], [1, 0.6, 0.3, 0.25], (_THUMB_TRIALS, 4)
    )
    candidates[0] = hand.angles
    free = _clearance(solid, hand, candidates)[:, 0] > _CONTACT_M
    if not free.any():
        return None
    lift = np.where(free, candidates[:, 0, 0], -np.inf)
    return candidates[lift.argmax(), 0]


def _closed(solid: Solid, hand: PosedHand) -> np.ndarray:
    """Finger angles after all fingers bent until they touched the object or reached their limit."""
    angles = hand.angles
    target = clipped_to_limits(np.deg2rad(_CLOSED_DEG))
    for stage in _STAGES:
        goal = angles + stage * np.maximum(target - angles, 0)
        share = _first_contact(solid, hand, angles, goal)
        angles = angles + share[:, None] * (goal - angles)
    return angles


def _first_contact(solid: Solid, hand: PosedHand, start: np.ndarray, goal: np.ndarray) -> Float[np.ndarray, " 5"]:
    """The share of the way from start to goal that each finger can go before it touches."""
    low, high = np.zeros(len(FINGERS)), np.ones(len(FINGERS))
    fingers = np.arange(len(FINGERS))
    for steps in (_CLOSING_STEPS, _REFINING_STEPS):
        grid = np.linspace(low, high, steps + 1)  # (steps + 1, finger)
        hit = _clearance(solid, hand, start + grid[..., None] * (goal - start)) < _CONTACT_M
        last_free = np.where(hit.any(0), np.maximum(hit.argmax(0) - 1, 0), steps)
        low, high = grid[last_free, fingers], grid[np.minimum(last_free + 1, steps), fingers]
    return low


def _clearance(solid: Solid, hand: PosedHand, angles: Float[np.ndarray, "t 5 4"]) -> Float[np.ndarray, "t 5"]:
    """Signed distance of each finger's nearest skin, for a row of candidate angles."""
    pose = finger_pose(angles)
    pose = mirrored_pose(pose) if hand.side == LEFT else pose
    _, shape, translation_m = hand.parameters()
    rows = load_hand().finger_samples.ravel()
    shapes = np.broadcast_to(shape, (len(angles), len(shape)))
    points = hand.model.skinned(hand.model.skin[rows], pose, shapes)
    pivot = hand.wrist_m - translation_m
    distance = solid.signed_distance_m((points - pivot) @ hand.rotation.T + hand.wrist_m)
    return distance.reshape(len(angles), len(FINGERS), -1).min(-1)
