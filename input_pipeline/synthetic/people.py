"""Whom the hands belong to: sleeves around forearms, and a body with a head where an arm ends."""

import numpy as np
from jaxtyping import Float, Int

from input_pipeline.synthetic.patches import CLOTH, FACE
from input_pipeline.synthetic.scene import random_rotation
from input_pipeline.synthetic.skin import vertex_normals
from input_pipeline.synthetic.stage import Prop
from occrobnet_jax.hands.embedded_hand import PosedHand, load_hand

_TORSO_M = (0.2, 0.13, 0.3)
_HEAD_M = (0.075, 0.095, 0.115)
"""Half axes: across, from front to back, along the spine."""
_ARM_END_M = 0.03
"""What of the skin lies as near to its last vertex along the arm is the arm's end."""
_RINGS, _SECTORS = 14, 24


def sleeve(hand: PosedHand, start_m: float, rng: np.random.Generator) -> Prop:
    """Return the sleeve of a hand: its arm's skin from a cuff on, moved outwards, in folds.

    Args:
        hand: in the camera's frame.
        start_m: y in rest pose where the cuff is.
        rng: draws thickness and folds.
    """
    model, verts = load_hand().models[hand.side], hand.verts_m
    rest = model.skin.rest_m
    around = np.arctan2(rest[:, 2], rest[:, 0])
    folds = np.sin(rng.uniform(60, 160) * rest[:, 1] + rng.uniform(1, 2) * np.sin(around + rng.uniform(0, 6)))
    thickness_m = rng.uniform(0.004, 0.014) + rng.uniform(0.0005, 0.003) * folds
    outer = verts + thickness_m[:, None] * vertex_normals(verts, model.faces)
    faces = model.faces[(rest[model.faces, 1] < start_m).all(1)]
    along = (rest[:, 1] - rest[:, 1].min()) / (start_m - rest[:, 1].min())
    places = _places(np.abs(around) / np.pi, along, CLOTH)
    return Prop(outer, vertex_normals(outer, model.faces), faces, places, 0.0, hand.side, rest)


def body_behind(hand: PosedHand, rng: np.random.Generator) -> list[Prop]:
    """Return torso and head at the end of a hand's arm; nothing where they would come before the hand."""
    rest, verts = load_hand().models[hand.side].skin.rest_m, hand.verts_m
    end = verts[rest[:, 1] < rest[:, 1].min() + _ARM_END_M].mean(0)
    outwards = (end - hand.wrist_m) / np.linalg.norm(end - hand.wrist_m)
    center = end + 0.1 * outwards
    if center[2] - max(_TORSO_M) < hand.joints_m[:, 2].max():
        return []
    return body(center, rng)


def body(center_m: Float[np.ndarray, " 3"], rng: np.random.Generator) -> list[Prop]:
    """Return a torso around a point in the camera's frame, and its head, mostly upright and facing the camera."""
    turn = _upright(rng) if rng.random() < 0.75 else random_rotation(rng)
    size = rng.uniform(0.85, 1.15)
    torso = size * np.array(_TORSO_M) * rng.uniform(0.85, 1.2, 3)
    head = center_m + turn @ np.array([0, 0, torso[2] + 0.85 * size * _HEAD_M[2]])
    return [
        _ellipsoid(torso, turn, center_m, CLOTH, 0.0),
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


def _ellipsoid(axes_m: np.ndarray, turn: np.ndarray, center_m: np.ndarray, patch_px: np.ndarray, gloss: float) -> Prop:
    """Return an ellipsoid whose patch is unrolled around its third axis, the middle to the front (its second axis)."""
    sphere, faces, places = _sphere_mesh()
    normals = (sphere / axes_m) @ turn.T
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
