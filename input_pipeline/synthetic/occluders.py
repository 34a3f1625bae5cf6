"""Where an object stands that hides a part of the hands, and where the same object hides nothing.

The object is the scene's: held, or loose before the hands. Both keep camera, hands and the object's own rotation.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.objects import Solid
from input_pipeline.synthetic.scene import NEAREST_M, Scene, random_rotation
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.hands.embedded_hand import load_hand

_GAP_M = (0.005, 0.06)
"""Between the nearest skin and the farthest point of a loose object."""
_AIM_M = 0.03
_DIRECTIONS = 16
_MARGIN_PX = 3.0  # wider than what anti-aliasing and the lens spread
_IN_FRONT_M = 0.05


def before_hands(hands: Scene, solid: Solid, rng: np.random.Generator) -> Scene | None:
    """Return the scene with an object between a joint and the camera; None where it would come too near.

    Args:
        hands: a scene without an object, before its camera.
        solid: the object.
        rng: draws the joint, the gap, and how the object is turned.
    """
    skin_m = np.concatenate([hand.verts_m[load_hand().hand_verts] for hand in hands.hands])
    joint_m = hands.hands[rng.integers(len(hands.hands))].joints_m[rng.integers(21)]
    rotation = random_rotation(rng)
    reach_m = (solid.verts_m @ rotation[2]).max()
    depth_m = skin_m[:, 2].min() - rng.uniform(*_GAP_M) - reach_m
    if depth_m - reach_m < NEAREST_M:
        return None
    center_m = joint_m * depth_m / joint_m[2] + rng.normal(0, _AIM_M, 3) * [1, 1, 0]
    return dataclasses.replace(hands, solid=solid, object_rotation=rotation, object_translation_m=center_m)


def beside_hands(scene: Scene, image_size_px: int) -> Scene | None:
    """Return the scene whose object has been moved, parallel to the picture, until it covers neither hand nor arm.

    Of 16 directions that with the shortest way is taken. None where the object's center would leave the picture.
    """
    hands_m = np.concatenate([hand.verts_m for hand in scene.hands])
    hands_px = project(hands_m[hands_m[:, 2] > _IN_FRONT_M], scene.intrinsics)
    object_m = scene.object_verts_m()
    object_px, depth_m = project(object_m, scene.intrinsics), object_m[:, 2]
    shifts = []
    for angle in np.arange(_DIRECTIONS) * 2 * np.pi / _DIRECTIONS:
        direction = np.array([np.cos(angle), np.sin(angle)])
        border_px = (hands_px @ direction).max() + _MARGIN_PX
        # A shift in px m moves a point at depth z by 1 / z of it in the picture.
        shifts.append(((border_px - object_px @ direction) * depth_m).max() * direction)
    for shift in sorted(shifts, key=lambda shift: float(np.linalg.norm(shift))):
        moved_m = scene.object_translation_m + np.array([*(shift / np.diag(scene.intrinsics)[:2]), 0.0])
        if _is_inside(project(moved_m, scene.intrinsics), image_size_px):
            return dataclasses.replace(scene, object_translation_m=moved_m)
    return None


def _is_inside(pixel: Float[np.ndarray, " 2"], image_size_px: int) -> bool:
    return bool((pixel >= 0).all() and (pixel < image_size_px).all())
