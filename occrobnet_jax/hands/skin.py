"""The skin that shows or hides a joint."""

import numpy as np
from jaxtyping import Float, Int


def skin_around_joints(
    verts_m: Float[np.ndarray, "v 3"], joints_m: Float[np.ndarray, "21 3"], backs: Float[np.ndarray, "21 3"]
) -> tuple[Int[np.ndarray, " _"], ...]:
    """Return the vertices within 1.45 local radii of each joint, the radius taken on the back and on the palm's side by
    itself.

    A joint lies nearer to the skin of one side, and both must be able to show it.

    Args:
        verts_m: skin in rest pose.
        joints_m: joints in rest pose.
        backs: direction from each joint to the back of the hand.
    """
    around = []
    for joint, back in zip(joints_m, backs, strict=True):
        offset = verts_m - joint
        distance = np.linalg.norm(offset, axis=-1)
        height = offset @ back
        near = np.zeros(len(verts_m), bool)
        for side in (height > 0, height <= 0):
            local_radius = max(float(np.sort(distance[side])[:8].mean()), 0.005) if side.any() else 0.0
            near |= side & (distance < 1.45 * local_radius)
        around.append(np.flatnonzero(near))
    return tuple(around)
