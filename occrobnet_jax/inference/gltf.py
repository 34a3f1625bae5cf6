"""Predicted hands as one glTF file (.glb), for viewers and 3D programs: joints as balls, bones as rods, in metres.

glTF's axes are x right, y up, z towards the viewer: the camera's, turned half around x.
"""

import typing
from collections.abc import Iterator, Sequence

import numpy as np
import trimesh
from jaxtyping import Float

from occrobnet_jax.drawing.figures import predicted_hands
from occrobnet_jax.inference.predictor import Prediction
from occrobnet_jax.skeleton import BONES, HAND_NAMES

BALL_M, ROD_M = 0.004, 0.0025  # radii
COLORS = np.array([[217, 72, 72, 255], [64, 112, 226, 255]], np.uint8)  # of right and left hands
GLTF_FROM_CAMERA = np.diag([1.0, -1.0, -1.0])


def hands_glb(predictions: Sequence[Prediction]) -> bytes:
    """Return the hands of a photo, each a mesh of its own, where `joints_cam_m` has them.

    Raises:
        ValueError: there is no hand; glTF has no empty scenes.
    """
    scene = trimesh.Scene()
    for number, prediction in enumerate(predictions):
        for hand in np.flatnonzero(predicted_hands(prediction.hand_probability)):
            parts = list(_parts(prediction.joints_cam_m[hand] @ GLTF_FROM_CAMERA))
            mesh = typing.cast(trimesh.Trimesh, trimesh.util.concatenate(parts))
            colors = np.repeat(COLORS[hand][None], len(mesh.vertices), axis=0)
            mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=colors)
            scene.add_geometry(mesh, node_name=f"{HAND_NAMES[hand]} hand of crop {number}")
    return bytes(scene.export(file_type="glb"))


def _parts(joints_m: Float[np.ndarray, "21 3"]) -> Iterator[trimesh.Trimesh]:
    for joint in joints_m:
        ball = trimesh.creation.icosphere(subdivisions=1, radius=BALL_M)
        ball.apply_translation(joint)
        yield ball
    for parent, child in BONES:
        ends = joints_m[[parent, child]]
        if np.linalg.norm(ends[0] - ends[1]) > 0:
            yield trimesh.creation.cylinder(ROD_M, segment=ends, sections=8)
