"""What hides a joint, and how much of it can be seen.

A joint lies inside the flesh, so it is judged by the skin around it: the rest-pose skin vertices within 1.45 local
radii of the joint, where the local radius is the mean distance to the eight nearest vertices (at least 5 mm), taken on
the back and on the palm's side by itself. Those of them that face the camera in the posed hand (all, if none does) are
tested with a ray from the camera each. `visible_share` is the share of them that is seen, inside the image. A joint
whose projection lies outside the image is "outside". Else it is "visible" if at least half of them are seen, and
otherwise takes the name of what hides most of them: the own hand (its arm and sleeve too), the other hand, or the
object.
"""

import numpy as np
from jaxtyping import Float, Int

from input_pipeline.synthetic.hand import load_hand
from input_pipeline.synthetic.raycast import RayCaster
from occrobnet_jax.skeleton import VISIBILITY

VISIBLE_SHARE = 0.5
_TOLERANCE = 0.003
"""Relative distance within which a hit is the vertex itself."""

_VISIBLE, _OUTSIDE = VISIBILITY.index("visible"), VISIBILITY.index("outside")
_HIDDEN_BY = [VISIBILITY.index(name) for name in ("own_hand", "other_hand", "object")]


def joint_visibility(
    caster: RayCaster,
    triangle_owner: Int[np.ndarray, " f"],
    owner: int,
    verts_m: Float[np.ndarray, "v 3"],
    normals: Float[np.ndarray, "v 3"],
    joints_m: Float[np.ndarray, "21 3"],
    intrinsics: Float[np.ndarray, "3 3"],
    image_size_px: int,
) -> tuple[Int[np.ndarray, " 21"], Float[np.ndarray, " 21"]]:
    """Visibility class (skeleton.VISIBILITY) and visible share of one hand's joints.

    Args:
        caster: the scene, camera at the origin.
        triangle_owner: for each triangle 0 right hand, 1 left hand, 2 object.
        owner: which of these the hand is.
        verts_m: the hand's skin in the camera frame, with its outward normals.
        normals: of the skin.
        joints_m: the hand's joints in the camera frame.
        intrinsics: of the camera.
        image_size_px: side of the square image.
    """
    groups = load_hand().joint_verts
    rows = np.concatenate(groups)
    joint = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    points = verts_m[rows]
    facing = (normals[rows] * points).sum(-1) < 0
    facing |= np.bincount(joint[facing], minlength=len(groups))[joint] == 0
    hits = caster.nearest(np.zeros_like(points), points)
    hider = np.where(hits.distance_m < 1 - _TOLERANCE, triangle_owner[hits.triangle], -1)
    inside = _inside(points, intrinsics, image_size_px)

    def count(mask: np.ndarray) -> np.ndarray:
        return np.bincount(joint[facing & mask], minlength=len(groups))

    faced = np.maximum(count(np.ones_like(facing)), 1)
    share = count((hider < 0) & inside) / faced
    others = 1 - owner
    blame = np.stack([count(hider == owner), count(hider == others), count(hider == 2)])
    seen = count(hider < 0) / faced
    classes = np.where(seen >= VISIBLE_SHARE, _VISIBLE, np.array(_HIDDEN_BY)[blame.argmax(0)])
    return np.where(_inside(joints_m, intrinsics, image_size_px), classes, _OUTSIDE), share


def _inside(points_m: np.ndarray, intrinsics: np.ndarray, image_size_px: int) -> np.ndarray:
    pixels = points_m @ intrinsics.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return ((pixels >= -0.5) & (pixels < image_size_px - 0.5)).all(-1) & (points_m[:, 2] > 0)
