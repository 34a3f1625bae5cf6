"""Distances that decide whether flesh and objects touch or enter each other."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.skeleton import BONES, FINGERS, WRIST, finger_of

_SHORTEST_STEP_M = 0.0015


def penetration_m(first: Float[np.ndarray, "*#batch 21 3"], second: Float[np.ndarray, "*#batch 21 3"]) -> Any:
    """Return how deep two hands enter each other, measured between the capsules around their bones; negative when
    apart.
    """
    radius = load_hand().bone_radius_m
    distance = _segment_distance(*_segments(first, 1), *_segments(second, 0))
    return (radius[:, None] + radius - distance).max((-2, -1))


def finger_penetration_m(
    first: Float[np.ndarray, "*#batch 21 3"], second: Float[np.ndarray, "*#batch 21 3"]
) -> Float[np.ndarray, "*batch 5"]:
    """Return how deep each finger of the first hand, without its palm's bone, enters the second hand."""
    radius = load_hand().bone_radius_m
    distance = _segment_distance(*_segments(first, 1), *_segments(second, 0))
    overlap = (radius[:, None] + radius - distance).max(-1)
    return np.stack([overlap[..., bones].max(-1) for bones in _FINGER_BONES], axis=-1)


def self_penetration_m(joints: Float[np.ndarray, "*batch 21 3"]) -> Any:
    """Return how deep fingers of one hand enter each other or the palm; negative when all are apart."""
    radius = load_hand().bone_radius_m
    distance = _segment_distance(*_segments(joints, 1), *_segments(joints, 0))
    overlap = radius[:, None] + radius - distance
    return np.where(_SEPARATE_BONES, overlap, -np.inf).max((-2, -1))


def advanced(clearance_m: Callable[[float], float], start_m: float, end_m: float) -> float | None:
    """Return how far something can move along a line, from start to end, until its clearance is used up.

    No point moves faster than the thing itself, so a step as long as the clearance is safe (sphere tracing).

    Args:
        clearance_m: at a place on the line.
        start_m: where to begin.
        end_m: where to stop at the latest; may lie before the start.

    Returns:
        The last free place; None if not even the start is free.
    """
    direction, at, last = (1 if end_m > start_m else -1), start_m, None
    while True:
        clearance = clearance_m(at)
        if clearance < 0:
            return last
        last = at
        if at == end_m:
            return at
        at += direction * max(clearance, _SHORTEST_STEP_M)
        at = min(at, end_m) if direction > 0 else max(at, end_m)


def _segments(joints: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the 20 bones, ready for pairing: (..., 20, 1, 3) for axis 1, (..., 1, 20, 3) for axis 0."""
    ends = [np.expand_dims(joints[..., [bone[end] for bone in BONES], :], -3 + axis) for end in (0, 1)]
    return ends[0], ends[1]


def _segment_distance(p: np.ndarray, p_end: np.ndarray, q: np.ndarray, q_end: np.ndarray) -> np.ndarray:
    """Return distance between segments; closest points of the lines, each clamped in turn (Ericson, 5.1.9)."""
    u, v, w = p_end - p, q_end - q, p - q
    a, b, c = (u * u).sum(-1), (u * v).sum(-1), (v * v).sum(-1)
    d, e = (u * w).sum(-1), (v * w).sum(-1)
    denominator = np.maximum(a * c - b * b, 1e-12)
    s = np.clip((b * e - c * d) / denominator, 0, 1)
    t = np.clip((b * s + e) / c, 0, 1)
    s = np.clip((b * t - d) / a, 0, 1)
    return np.sqrt(((w + s[..., None] * u - t[..., None] * v) ** 2).sum(-1))


def _separate_bones() -> np.ndarray:
    """Return the pairs of bones that must not overlap: not those of one finger, of the palm, or beside each other at a
    knuckle.
    """
    separate = np.zeros((len(BONES), len(BONES)), bool)
    for i, (a, a_end) in enumerate(BONES):
        for k, (b, b_end) in enumerate(BONES):
            palm = (a == WRIST) + (b == WRIST)
            thumb_base = "thumb" in (finger_of(a_end), finger_of(b_end)) and palm
            knuckles = abs(a_end - b_end) <= 6 and a_end % 4 == 2 and b_end % 4 == 2
            separate[i, k] = finger_of(a_end) != finger_of(b_end) and palm < 2 and not thumb_base and not knuckles
            if palm == 1 and not thumb_base:
                tip_side = a_end if b == WRIST else b_end
                separate[i, k] = tip_side % 4 < 2  # only the two end bones can press into the palm
    return separate


_SEPARATE_BONES = _separate_bones()
_FINGER_BONES = [
    [k for k, (start, end) in enumerate(BONES) if finger_of(end) == finger and start != WRIST] for finger in FINGERS
]
