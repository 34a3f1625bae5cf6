import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.geometry.cameras import (
    back_project,
    change_camera,
    compose_affine,
    invert_affine,
    project,
    transform_points,
    transform_vectors,
)

INTRINSICS = np.array([[500.0, 7.0, 130.0], [-4.0, 410.0, 90.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def points_cam_m():
    rng = np.random.default_rng(0)
    return rng.uniform(-0.2, 0.2, (3, 2, 21, 3)) + np.array([0.0, 0.0, 0.7])


def test_project_is_the_homogeneous_product(points_cam_m):
    homogeneous = np.einsum("rc,bnjc->bnjr", INTRINSICS, points_cam_m)
    np.testing.assert_allclose(project(points_cam_m, INTRINSICS), homogeneous[..., :2] / homogeneous[..., 2:])


def test_leading_axes_of_the_camera_are_those_of_the_points(points_cam_m):
    cameras = INTRINSICS * np.array([1.0, 1.1, 1.2])[:, None, None]
    cameras[:, 2, 2] = 1.0
    together = project(points_cam_m, cameras)
    for camera, points, px in zip(cameras, points_cam_m, together, strict=True):
        np.testing.assert_allclose(px, project(points, camera))


def test_back_project_undoes_project(points_cam_m):
    px = project(points_cam_m, INTRINSICS)
    np.testing.assert_allclose(back_project(px, points_cam_m[..., 2], INTRINSICS), points_cam_m, atol=1e-12)


def test_numpy_and_jax_agree(points_cam_m):
    points = points_cam_m.astype(np.float32)
    cameras = np.repeat(INTRINSICS[None].astype(np.float32), 3, axis=0)
    on_device = jax.jit(project)(jnp.asarray(points), jnp.asarray(cameras))
    np.testing.assert_allclose(on_device, project(points, cameras), atol=1e-3)


def test_points_at_depth_zero_have_finite_values_and_gradients():
    gradient = jax.grad(lambda points: project(points, jnp.asarray(INTRINSICS)).sum())(jnp.zeros((4, 3)))
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(project(np.zeros((1, 3)), INTRINSICS), [[130.0, 90.0]])


def test_affine_maps_compose_and_invert():
    rng = np.random.default_rng(1)
    first, second, px = rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 2, 3)), rng.normal(size=(5, 4, 2))
    both = transform_points(compose_affine(second, first), px)
    np.testing.assert_allclose(both, transform_points(second, transform_points(first, px)))
    np.testing.assert_allclose(transform_points(invert_affine(first), transform_points(first, px)), px, atol=1e-9)


@pytest.mark.parametrize("mirror", [1.0, -1.0])
def test_changed_camera_projects_turned_points_onto_moved_pixels(points_cam_m, mirror):
    cosine, sine = np.cos(0.8), np.sin(0.8)
    turn = np.diag([mirror, 1.0]) @ np.array([[cosine, -sine], [sine, cosine]])
    affine = np.column_stack([0.37 * turn, [20.0, -3.0]])
    turned = points_cam_m.copy()
    turned[..., :2] = transform_vectors(turn, points_cam_m[..., :2])
    moved = transform_points(affine, project(points_cam_m, INTRINSICS))
    np.testing.assert_allclose(project(turned, change_camera(INTRINSICS, affine, turn)), moved, atol=1e-9)


def test_mirror_image_of_a_camera_has_the_mirrored_principal_point():
    width = 256
    plain = np.array([[500.0, 0.0, 130.0], [0.0, 410.0, 90.0], [0.0, 0.0, 1.0]])
    flip = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])
    expected = plain.copy()
    expected[0, 2] = width - 1 - 130.0
    np.testing.assert_allclose(change_camera(plain, flip, np.diag([-1.0, 1.0])), expected)
