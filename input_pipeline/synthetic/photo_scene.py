"""Scenes as photos show them: any side of the hand, any roll of the camera, near and far, cut by the border."""

import dataclasses

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.clasp import clasped, holding
from input_pipeline.synthetic.gestures import natural_angles
from input_pipeline.synthetic.objects import Solid
from input_pipeline.synthetic.scene import Scene, aimed, arranged, random_rotation
from occrobnet_jax.hands.embedded_hand import load_hand

_SMALLEST_PX, _LARGEST_SHARE = 24.0, 1.15
"""Size of the hands in the picture: the long side of what is shown, of the joints' box at least about that."""
_FOCAL_SHARE = (0.65, 3.5)
"""Focal lengths in sides of the picture: from wide egocentric cameras to crops of larger photos."""
_NEAREST_M = 0.15
_CUT_PROBABILITY = 0.25


def sample_photo_scene(
    kind: str, shape: np.ndarray, solid: Solid | None, image_size_px: int, rng: np.random.Generator
) -> Scene | None:
    """Return one attempt at a scene of a kind of skeleton.SCENE_KINDS; None where it turned out impossible."""
    scene = _touching(shape, rng) if kind == "two_hands" else arranged(kind, shape, solid, natural_angles, rng)
    if scene is None:
        return None
    return photographed_scene(scene.moved(random_rotation(rng), np.zeros(3)), image_size_px, rng)


def _touching(shape: np.ndarray, rng: np.random.Generator) -> Scene | None:
    """Return one attempt at two hands: one holding the other, clasped, or near each other as it comes."""
    kind = rng.choice(3, p=[0.3, 0.3, 0.4])
    if kind == 2:
        return arranged("two_hands", shape, None, natural_angles, rng)
    hands = (holding, clasped)[kind](shape, rng)
    return None if hands is None else Scene(hands, None, np.eye(3), np.zeros(3), np.eye(3))


def photographed_scene(scene: Scene, image_size_px: int, rng: np.random.Generator) -> Scene | None:
    """Return the scene before a camera; None where it would come too near."""
    points = np.concatenate([hand.verts_m[load_hand().hand_verts] for hand in scene.hands])
    shown = np.concatenate([points, scene.object_verts_m()])
    center, extent_m = (shown.min(0) + shown.max(0)) / 2, np.ptp(shown, axis=0)
    intrinsics = sample_intrinsics(image_size_px, rng)
    share = _share(image_size_px, rng)
    distance_m = max(extent_m[:2].max() * intrinsics[0, 0] / (share * image_size_px), _NEAREST_M + extent_m[2] / 2)
    room = abs(1 - share) + (rng.uniform(0.2, 1.0) * min(share, 1) if rng.random() < _CUT_PROBABILITY else 0)
    target_px = (image_size_px - 1) / 2 + rng.uniform(-0.5, 0.5, 2) * room * image_size_px
    aim = -(target_px - intrinsics[:2, 2]) / intrinsics[0, 0]
    scene = scene.moved(np.eye(3), np.array([0, 0, distance_m]) - center)
    return dataclasses.replace(aimed(scene, aim), intrinsics=intrinsics)


def sample_intrinsics(image_size_px: int, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Return a camera, or the part of a photo that is the picture."""
    focal_px = image_size_px * np.exp(rng.uniform(*np.log(_FOCAL_SHARE)))
    aspect = rng.uniform(0.99, 1.01)
    principal = (image_size_px - 1) / 2 + rng.normal(0, 0.02, 2) * image_size_px
    return np.array([[focal_px * aspect, 0, principal[0]], [0, focal_px / aspect, principal[1]], [0, 0, 1]])


def _share(image_size_px: int, rng: np.random.Generator) -> float:
    """Return how much of the picture's side the hands take: a fifth of them are far away."""
    if rng.random() < 0.2:
        return float(np.exp(rng.uniform(np.log(min(_SMALLEST_PX / image_size_px, 0.3)), np.log(0.35))))
    return float(rng.uniform(0.3, _LARGEST_SHARE))
