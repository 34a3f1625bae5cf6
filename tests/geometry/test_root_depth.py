import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.geometry.cameras import back_project, project
from occrobnet_jax.geometry.kinematics import accumulate_bones, bone_vectors
from occrobnet_jax.geometry.root_depth import (
    NEAREST_M,
    PRIOR_DEPTH_M,
    REFERENCE_BONE_LENGTHS_M,
    fit_root,
    root_depth_from_bones,
)
from occrobnet_jax.skeleton import BONES, INTERHAND, MIDDLE_BASE, WRIST

PLAIN = np.array([[900.0, 0.0, 128.0], [0.0, 910.0, 120.0], [0.0, 0.0, 1.0]])
# What a crop rotated by 30 degrees and scaled makes of a camera with different focal lengths.
TURNED = np.array([[1.7, -1.0, 40.0], [1.0, 1.7, -300.0], [0.0, 0.0, 1.0]]) @ PLAIN
ROOTS = np.array([[0.1, -0.05, 0.6], [-0.2, 0.3, 1.5], [0.0, 0.0, 3.0]])


def random_hand(seed: int, lengths_m: np.ndarray = REFERENCE_BONE_LENGTHS_M) -> np.ndarray:
    directions = np.random.default_rng(seed).normal(size=(20, 3))
    directions *= lengths_m[:, None] / np.linalg.norm(directions, axis=-1, keepdims=True)
    return accumulate_bones(directions.astype(np.float64))


HANDS = np.stack([random_hand(seed) for seed in range(3)])
ONES = np.ones(HANDS.shape[:2])


@pytest.mark.parametrize("intrinsics", [PLAIN, TURNED], ids=["plain", "full"])
def test_fit_finds_the_root_of_noiseless_hands(intrinsics: np.ndarray) -> None:
    cameras = np.broadcast_to(intrinsics, (3, 3, 3))
    joints_px = project(HANDS + ROOTS[:, None], cameras)
    root, error_px = fit_root(HANDS, joints_px, ONES, cameras)
    np.testing.assert_allclose(root, ROOTS, rtol=1e-4, atol=1e-5)  # the prior's vanishing weight, at 3 m
    np.testing.assert_allclose(error_px, 0.0, atol=0.01)
    jitted = jax.jit(fit_root)(*(jnp.asarray(x, jnp.float32) for x in (HANDS, joints_px, ONES, cameras)))
    np.testing.assert_allclose(jitted[0], ROOTS, rtol=1e-3, atol=1e-4)


def test_fit_agrees_with_a_generic_solver() -> None:
    rng = np.random.default_rng(5)
    weights = rng.random(21)
    joints_px = project(HANDS[0] + ROOTS[0], PLAIN) + rng.normal(scale=3.0, size=(21, 2))
    rays = back_project(joints_px, np.ones(21), PLAIN)
    rows, wanted = [], []
    for (x, y, z), (ray_x, ray_y, _), weight in zip(HANDS[0], rays, np.sqrt(weights), strict=True):
        rows += [weight * np.array([1.0, 0.0, -ray_x]), weight * np.array([0.0, 1.0, -ray_y])]
        wanted += [weight * (ray_x * z - x), weight * (ray_y * z - y)]
    expected = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    root, error_px = fit_root(HANDS[0], joints_px, weights, PLAIN)
    np.testing.assert_allclose(root, expected, rtol=1e-4)
    left_over = np.linalg.norm(project(HANDS[0] + root, PLAIN) - joints_px, axis=-1)
    np.testing.assert_allclose(error_px, np.average(left_over, weights=weights))


def test_joints_without_weight_do_not_count() -> None:
    joints_px = project(HANDS[0] + ROOTS[0], PLAIN)
    weights = np.ones(21)
    joints_px[3], weights[3] = (1e4, -1e4), 0.0
    root, error_px = fit_root(HANDS[0], joints_px, weights, PLAIN)
    np.testing.assert_allclose(root, ROOTS[0], atol=1e-4)
    assert error_px < 0.01


def test_fit_is_defined_where_the_points_leave_it_open() -> None:
    joints_px = np.full((21, 2), 130.0)
    for weights in (np.zeros(21), np.eye(21)[WRIST]):
        root, _ = fit_root(HANDS[0], joints_px, weights, PLAIN)
        np.testing.assert_allclose(root[2], PRIOR_DEPTH_M)
    inverted = project(HANDS[0] * np.array([-1.0, -1.0, 1.0]) + ROOTS[0], PLAIN)
    root, _ = fit_root(HANDS[0], inverted, np.ones(21), PLAIN)
    assert (HANDS[0] + root)[:, 2].min() >= NEAREST_M - 1e-9


def test_gradients_are_finite_even_at_a_perfect_fit_and_without_weights() -> None:
    joints_px = project(HANDS[0] + ROOTS[0], PLAIN)

    def loss(joints: jax.Array, points: jax.Array, weights: jax.Array) -> jax.Array:
        root, error_px = fit_root(joints, points, weights, jnp.asarray(PLAIN, jnp.float32))
        depth = root_depth_from_bones(points, joints[:, 2], weights, jnp.asarray(PLAIN, jnp.float32))
        return (root**2).sum() + error_px + depth

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))
    for points, weights in ((joints_px, np.ones(21)), (joints_px, np.zeros(21)), (0 * joints_px, np.ones(21))):
        for gradient in gradients(*(jnp.asarray(x, jnp.float32) for x in (HANDS[0], points, weights))):
            assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("intrinsics", [PLAIN, TURNED], ids=["plain", "full"])
def test_bone_lengths_give_the_depth_of_a_hand_in_2_5d(intrinsics: np.ndarray) -> None:
    joints = HANDS + ROOTS[:, None]
    cameras = np.broadcast_to(intrinsics, (3, 3, 3))
    joints_px, depths = project(joints, cameras), HANDS[..., 2]
    np.testing.assert_allclose(root_depth_from_bones(joints_px, depths, ONES, cameras), ROOTS[:, 2], rtol=1e-4)
    lengths = np.linalg.norm(bone_vectors(HANDS), axis=-1)
    twice = root_depth_from_bones(joints_px, 2 * depths, ONES, cameras, 2 * lengths)
    np.testing.assert_allclose(twice, 2 * ROOTS[:, 2], rtol=1e-4)
    one_bone = ONES * (np.arange(21) >= WRIST - 1)  # the pinky's base and the wrist
    np.testing.assert_allclose(root_depth_from_bones(joints_px, depths, one_bone, cameras), ROOTS[:, 2], rtol=1e-3)


def test_bone_depth_is_defined_where_no_depth_fits() -> None:
    same_place = np.full((21, 2), 100.0)
    assert root_depth_from_bones(same_place, np.zeros(21), np.zeros(21), PLAIN) == pytest.approx(PRIOR_DEPTH_M)
    far_apart = np.where(np.arange(21) % 2, 0.5, -0.5)  # half a metre from joint to joint
    depth = root_depth_from_bones(same_place, far_apart, np.ones(21), PLAIN)
    assert np.isfinite(depth)
    assert depth >= NEAREST_M + 0.5


def test_reference_bones_are_those_of_real_hands() -> None:
    """The ranges measured on the middle finger and the thumb of real frames, and the bones' order."""
    length = {INTERHAND[child]: REFERENCE_BONE_LENGTHS_M[i] for i, (_, child) in enumerate(BONES)}
    assert 0.079 < length["middle1"] < 0.089
    assert 0.039 < length["middle2"] < 0.048
    assert 0.021 < length["middle4"] < 0.024
    assert 0.033 < length["thumb1"] < 0.044


@pytest.mark.parametrize("joint", [MIDDLE_BASE, INTERHAND.index("middle4")])
def test_a_joint_without_weight_takes_its_bones_with_it(joint: int) -> None:
    """Those to its parent as well as those to its children."""
    joints = HANDS + ROOTS[:, None]
    cameras = np.broadcast_to(PLAIN, (3, 3, 3))
    weights = ONES * (np.arange(21) != joint)
    moved = project(joints, cameras)
    moved[:, joint] += 40.0
    np.testing.assert_allclose(root_depth_from_bones(moved, HANDS[..., 2], weights, cameras), ROOTS[:, 2], rtol=1e-4)
