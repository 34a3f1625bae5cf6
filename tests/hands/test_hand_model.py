import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.geometry.rotations import axis_angle_to_matrix
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.hands.hand_model import HandModel, SkinnedPoints, mirrored, mirrored_pose

NO_SHAPE, NO_SHIFT = np.zeros(10, np.float32), np.zeros(3, np.float32)


def _random_pose(seed=0):
    return np.random.default_rng(seed).normal(0, 0.5, 48).astype(np.float32)


def _random_shape(seed=0):
    return np.random.default_rng(seed).uniform(0, 0.2, 10).astype(np.float32)


def test_rest_pose_is_the_stored_hand():
    model = load_hand().models[0]
    np.testing.assert_allclose(
        model.joints_m(np.zeros(48, np.float32), NO_SHAPE, NO_SHIFT), model.joints.rest_m, atol=1e-7
    )


def test_skinning_agrees_with_homogeneous_matrices_one_vertex_at_a_time():
    model = load_hand().models[0]
    pose, shape = _random_pose().astype(np.float64), _random_shape().astype(np.float64)
    pivots = model.pivots_m + np.tensordot(shape, model.shape_pivots_m, axes=1)
    chain = []
    for bone, parent in enumerate(model.parents):
        local, there, back = np.eye(4), np.eye(4), np.eye(4)
        if bone < 16:
            local[:3, :3] = axis_angle_to_matrix(pose[3 * bone : 3 * bone + 3])
        there[:3, 3], back[:3, 3] = pivots[bone], -pivots[bone]
        chain.append((chain[parent] if parent >= 0 else np.eye(4)) @ there @ local @ back)
    rest = model.skin.rest_m + np.tensordot(shape, model.skin.shape_m, axes=1)
    verts = model.verts_m(pose, shape, np.array([0.1, 0.2, 0.3]))
    for row in range(0, len(rest), 97):
        blend = sum(weight * matrix for weight, matrix in zip(model.skin.weights[row], chain, strict=True))
        np.testing.assert_allclose(verts[row], (blend @ [*rest[row], 1])[:3] + [0.1, 0.2, 0.3], atol=1e-7)


def test_global_rotation_turns_the_whole_hand_about_the_wrist():
    model = load_hand().models[0]
    turn = np.array([0.4, -1.0, 0.3], np.float32)
    pose = _random_pose() * np.repeat([0, 1], [3, 45]).astype(np.float32)
    still = model.joints_m(pose, NO_SHAPE, NO_SHIFT)
    turned = model.joints_m(pose + np.pad(turn, (0, 45)), NO_SHAPE, NO_SHIFT)
    np.testing.assert_allclose(turned, still @ axis_angle_to_matrix(turn).T, atol=1e-6)


def test_batches_jax_and_gradients():
    model = load_hand().models[0]
    poses = np.stack([_random_pose(seed) for seed in range(3)])
    shapes = np.stack([_random_shape(seed) for seed in range(3)])
    shifts = np.zeros((3, 3), np.float32)
    together = model.joints_m(poses, shapes, shifts)
    for i in range(3):
        np.testing.assert_allclose(together[i], model.joints_m(poses[i], shapes[i], shifts[i]), atol=1e-6)
    in_jax = jax.jit(model.joints_m)(poses, shapes, shifts)
    np.testing.assert_allclose(in_jax, together, atol=1e-6)
    tip = jax.jit(jax.grad(lambda pose: model.joints_m(pose, jnp.zeros(10), jnp.zeros(3))[0].sum()))
    at_rest = tip(jnp.zeros(48))
    assert np.isfinite(at_rest).all()
    assert np.abs(at_rest).max() > 1e-3


def test_left_hand_is_the_mirror_image():
    right, left = load_hand().models
    pose, shape = _random_pose(), _random_shape()
    flip = np.array([-1, 1, 1], np.float32)
    ours = left.verts_m(mirrored_pose(pose), shape, NO_SHIFT)
    np.testing.assert_allclose(ours, right.verts_m(pose, shape, NO_SHIFT) * flip, atol=1e-6)


def _little_model(pose_m=None):
    skin = SkinnedPoints(np.array([[0.0, 1, 0], [0, 2, 0]]), np.zeros((1, 2, 3)), np.array([[1.0, 0], [0, 1]]), pose_m)
    return HandModel(
        (-1, 0), np.array([[0.0, 0, 0], [0, 1, 0]]), np.zeros((1, 2, 3)), skin, skin, np.zeros((0, 3), int)
    )


def test_pose_corrections_are_added_before_skinning():
    pose_m = np.zeros((9, 2, 3))
    pose_m[1, 1] = [0, 0, 5.0]  # the second entry of the finger joint's R - 1 lifts the second point
    pose = np.array([0, 0, 0, 0, 0, np.pi / 2])
    bent = _little_model().verts_m(pose, np.zeros(1), np.zeros(3))
    np.testing.assert_allclose(bent, [[0, 1, 0], [-1, 1, 0]], atol=1e-12)
    corrected = _little_model(pose_m).verts_m(pose, np.zeros(1), np.zeros(3))
    np.testing.assert_allclose(corrected[1], [-1, 1, -5], atol=1e-12)


def test_a_model_with_pose_corrections_is_not_mirrored():
    model = _little_model(np.zeros((9, 2, 3)))
    with pytest.raises(ValueError, match="pose corrections"):
        mirrored(model)
    assert dataclasses.is_dataclass(mirrored(_little_model()))
