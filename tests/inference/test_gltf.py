"""The hands of a photo as glTF, read again by trimesh."""

import io

import numpy as np
import trimesh

from occrobnet_jax.inference.gltf import BALL_M, hands_glb
from occrobnet_jax.skeleton import LEFT, RIGHT
from tests.support.seen_hands import HAND_PX, prediction


def test_each_hand_is_a_mesh_where_the_camera_has_it_with_y_up():
    hands = [prediction(RIGHT, HAND_PX), prediction(LEFT, HAND_PX + 40)]
    scene = trimesh.load_scene(io.BytesIO(hands_glb(hands)), file_type="glb")
    assert sorted(scene.graph.nodes_geometry) == ["left hand of crop 1", "right hand of crop 0"]
    for hand, said in zip((RIGHT, LEFT), hands, strict=True):
        (name,) = (node for node in scene.graph.nodes_geometry if node.endswith(f"crop {hand}"))
        transform, geometry = scene.graph[name]
        mesh = scene.geometry[geometry].copy().apply_transform(transform)
        joints_m = said.joints_cam_m[hand] * [1, -1, -1]
        np.testing.assert_allclose(mesh.bounds, [joints_m.min(0) - BALL_M, joints_m.max(0) + BALL_M], atol=BALL_M / 4)
