"""Whom the hands belong to: sleeves, watches and rings, and a body with a head where an arm ends."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from input_pipeline.synthetic.objects import torus_mesh
from input_pipeline.synthetic.patches import CLOTH, FACE, LEATHER, METAL
from input_pipeline.synthetic.scene import random_rotation
from input_pipeline.synthetic.skin import vertex_normals
from input_pipeline.synthetic.stage import Prop
from occrobnet_jax.hands.embedded_hand import PosedHand, load_hand
from occrobnet_jax.skeleton import FINGERS, INTERHAND

_TORSO_M, _HEAD_M = (0.2, 0.13, 0.3), (0.075, 0.095, 0.115)
"""Half axes: across, from front to back, along the spine."""
_TORSO_ROUNDNESS = 0.6
_ARM_END_M = 0.03
"""What of the skin lies as near to its last vertex along the arm is the arm's end."""
_WATCH_BETWEEN_M = (-0.03, 0.0), (-0.1, -0.05)
"""Parts of the arm (y in rest pose) between whose middles watches are worn."""
_RING_REACH_M = 0.006
"""To either side of a ring, where the finger's thickness is measured."""
_THICKEST_FINGER_M = 0.014
"""Farther from the bone lies other flesh of a bent finger."""
_RINGS, _SECTORS = 14, 24


def sleeve(hand: PosedHand, start_m: float, rng: np.random.Generator) -> Prop:
    """Return the sleeve of a hand: its arm's skin from a cuff on, moved outwards, in folds.

    Args:
        hand: in the camera's frame.
        start_m: y in rest pose where the cuff is.
        rng: draws thickness and folds.
    """
    rest, along = _rest(hand), _rest(hand)[:, 1]
    around = np.arctan2(rest[:, 2], rest[:, 0])
    folds = np.sin(rng.uniform(60, 160) * along + rng.uniform(1, 2) * np.sin(around + rng.uniform(0, 6)))
    thickness_m = rng.uniform(0.004, 0.014) + rng.uniform(0.0005, 0.003) * folds
    triangles, shares = load_hand().models[hand.side].faces, (along - along.min()) / (start_m - along.min())
    outer = hand.verts_m + thickness_m[:, None] * vertex_normals(hand.verts_m, triangles)
    places = _places(np.abs(around) / np.pi, shares, CLOTH)
    faces = triangles[(along[triangles] < start_m).all(1)]
    return Prop(outer, vertex_normals(outer, triangles), faces, places, 0.0, hand.side, rest)


def watch(hand: PosedHand, rng: np.random.Generator) -> list[Prop]:
    """Return a wrist watch: a band around the arm, a dial on its back."""
    rest = _rest(hand)
    wrist, arm = (hand.verts_m[(rest[:, 1] > low) & (rest[:, 1] < high)] for low, high in _WATCH_BETWEEN_M)
    ends = [(skin.min(0) + skin.max(0)) / 2 for skin in (wrist, arm)]
    along = (ends[0] - ends[1]) / np.linalg.norm(ends[0] - ends[1])
    across = np.cross(along, -hand.rotation[:, 2])  # the palm's normal, turned to the back
    across /= np.linalg.norm(across)
    turn = np.stack([across, along, np.cross(across, along)], axis=-1)
    center = ends[0] + rng.uniform(0.2, 0.9) * (ends[1] - ends[0])
    half = 0.003 + np.quantile(np.abs((np.concatenate([wrist, arm]) - center) @ turn), 0.9, axis=0)
    band = _ellipsoid(np.array([half[0], rng.uniform(0.007, 0.012), half[2]]), turn, center, LEATHER, 0.1)
    back = center + half[2] * turn[:, 2]
    axes = rng.uniform(0.013, 0.019) * np.array([1, rng.uniform(0.9, 1.2), 0.22])
    dial = _ellipsoid(axes, turn, back, METAL, 0.4)
    at_m = np.array([0, _WATCH_BETWEEN_M[1][0], 0])
    return [dataclasses.replace(part, owner=hand.side, rest_m=at_m) for part in (band, dial)]


def ring(hand: PosedHand, rng: np.random.Generator) -> Prop:
    """Return a ring around the first bone of a finger."""
    finger = int(rng.choice(5, p=[0, 0.2, 0.25, 0.45, 0.1]))
    base, middle = (hand.joints_m[INTERHAND.index(f"{FINGERS[finger]}{k}")] for k in (1, 2))
    direction = (middle - base) / np.linalg.norm(middle - base)
    center = base + rng.uniform(0.45, 0.65) * (middle - base)
    flesh = hand.verts_m[load_hand().finger_verts[finger]] - center
    along = flesh @ direction
    flesh = flesh - along[:, None] * direction
    flesh = flesh[(np.abs(along) < _RING_REACH_M) & (np.linalg.norm(flesh, axis=-1) < _THICKEST_FINGER_M)]
    middle_m, thickness_m = flesh.mean(0), rng.uniform(0.0008, 0.0022)
    radius_m = float(np.quantile(np.linalg.norm(flesh - middle_m, axis=-1), 0.6))
    verts, normals, faces = torus_mesh(np.array([0, 0, radius_m, thickness_m]))
    side = np.cross(direction, [direction[1], direction[2], direction[0]])
    side /= np.linalg.norm(side)
    turn = np.stack([side, direction, np.cross(side, direction)], axis=-1)
    place = _places((normals[:, 0] + 1) / 2, (normals[:, 2] + 1) / 2, METAL)
    return Prop(verts @ turn.T + center + middle_m, normals @ turn.T, faces, place, 0.5, hand.side)


def _rest(hand: PosedHand) -> Float[np.ndarray, "v 3"]:
    return load_hand().models[hand.side].skin.rest_m


def body_behind(hand: PosedHand, rng: np.random.Generator) -> list[Prop]:
    """Return torso and head at the end of a hand's arm; nothing where they would come before the hand."""
    rest, verts = _rest(hand), hand.verts_m
    end = verts[rest[:, 1] < rest[:, 1].min() + _ARM_END_M].mean(0)
    outwards = (end - hand.wrist_m) / np.linalg.norm(end - hand.wrist_m)
    center = end + 0.1 * outwards
    if center[2] - max(_TORSO_M) < hand.joints_m[:, 2].max():
        return []
    return body(center, rng)


def body_before(hand: PosedHand, rng: np.random.Generator) -> list[Prop]:
    """Return torso and head of somebody before whom the hand is seen, as cameras on desks see them."""
    farthest_m = hand.joints_m[:, 2].max() + max(_TORSO_M)
    center = np.array([*hand.wrist_m[:2] + rng.normal(0, 0.25, 2), farthest_m + rng.uniform(0.05, 0.5)])
    return body(center, rng)


def body(center_m: Float[np.ndarray, " 3"], rng: np.random.Generator) -> list[Prop]:
    """Return a torso around a point in the camera's frame, and its head, mostly upright and facing the camera."""
    turn = _upright(rng) if rng.random() < 0.75 else random_rotation(rng)
    size = rng.uniform(0.85, 1.15)
    torso = size * np.array(_TORSO_M) * rng.uniform(0.85, 1.2, 3)
    head = center_m + turn @ np.array([0, 0, torso[2] + 0.85 * size * _HEAD_M[2]])
    return [
        _ellipsoid(torso, turn, center_m, CLOTH, 0.0, _TORSO_ROUNDNESS),
        _ellipsoid(size * np.array(_HEAD_M), turn, head, FACE, rng.uniform(0.02, 0.1)),
    ]


def _upright(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Return body to camera: the spine up in the picture, the front to the camera, both roughly."""
    yaw, tilt = rng.normal(0, 0.6), rng.normal(0, 0.2)
    front = np.array([np.sin(yaw), 0, -np.cos(yaw)])
    up = np.array([np.sin(tilt), -np.cos(tilt), 0])
    up -= (up @ front) * front
    up /= np.linalg.norm(up)
    return np.stack([np.cross(front, up), front, up], axis=-1)


def _ellipsoid(
    axes_m: np.ndarray,
    turn: np.ndarray,
    center_m: np.ndarray,
    patch_px: np.ndarray,
    gloss: float,
    roundness: float = 1.0,
) -> Prop:
    """Return an ellipsoid whose patch is unrolled around its third axis, the middle to the front (its second axis).

    With a roundness under 1 it is a superellipsoid, on the way to a box.
    """
    sphere, faces, places = _sphere_mesh()
    normals = (np.sign(sphere) * np.abs(sphere) ** (2 - roundness) / axes_m) @ turn.T
    sphere = np.sign(sphere) * np.abs(sphere) ** roundness
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    skin = _places(places[:, 0], places[:, 1], patch_px)
    return Prop((sphere * axes_m) @ turn.T + center_m, normals, faces, skin, gloss)


def _sphere_mesh() -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"], Float[np.ndarray, "v 2"]]:
    """Return a unit sphere with a seam at its back: vertices, triangles, shares of the way around and down."""
    down, around = np.meshgrid(np.linspace(0, 1, _RINGS), np.linspace(0, 1, _SECTORS), indexing="ij")
    turn, level = 2 * np.pi * around.ravel(), np.sin(np.pi * down.ravel())
    verts = np.stack([level * np.sin(turn), -level * np.cos(turn), np.cos(np.pi * down.ravel())], axis=-1)
    corner = np.arange(_RINGS * _SECTORS).reshape(_RINGS, _SECTORS)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)])
    return verts, faces, np.stack([around.ravel(), down.ravel()], axis=-1)


def _places(across: np.ndarray, down: np.ndarray, patch_px: np.ndarray) -> Float[np.ndarray, "v 3"]:
    """Return what a prop's `skin` is for shares of the way across and down a patch of the atlas."""
    shares = np.clip(np.stack([across, down], axis=-1), 0, 1)
    return np.column_stack([patch_px[0] + shares * (patch_px[1] - patch_px[0]), np.zeros(len(shares))])
