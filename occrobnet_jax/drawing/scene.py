"""3D skeletons and boxes as data for `viewer.js`."""

import json
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.drawing.colors import OBJECT_COLOR, css, joint_color
from occrobnet_jax.drawing.overlay import BOX_EDGES
from occrobnet_jax.skeleton import BONES

MM_PER_M = 1000.0


def scene_group(
    name: str,
    joints_m: Float[np.ndarray, "2 21 3"],
    shown: Bool[np.ndarray, "2 21"],
    corners_m: Float[np.ndarray, "8 3"] | None = None,
    *,
    dashed: bool = False,
) -> dict[str, Any]:
    """Return one set of hands (and an object's box) that the viewer can show or hide; thin and dashed for reference."""
    lines = [
        _line(joints_m[hand, parent], joints_m[hand, child], css(joint_color(hand, child)))
        for hand in range(2)
        for parent, child in BONES
        if shown[hand, parent] and shown[hand, child]
    ]
    if corners_m is not None:
        lines += [_line(corners_m[a], corners_m[b], css(OBJECT_COLOR)) for a, b in BOX_EDGES]
    return {"name": name, "dashed": dashed, "lines": lines}


def scene_json(groups: list[dict[str, Any]]) -> str:
    """Return the scene as JSON that may stand inside a script element."""
    return json.dumps({"groups": groups}, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _line(start_m: np.ndarray, end_m: np.ndarray, color: str) -> list[Any]:
    return [*(round(MM_PER_M * float(value), 1) for value in (*start_m, *end_m)), color]
