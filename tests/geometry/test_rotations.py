import cv2
import jax
import numpy as np

from occrobnet_jax.geometry import rotations
from tests.support.rotations import matrix_to_rotation_6d


def _vectors(angles):
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(len(angles), 3))
    return (axes / np.linalg.norm(axes, axis=-1, keepdims=True) * np.asarray(angles)[:, None]).astype(np.float64)


ANGLES = [0.0, 1e-9, 1e-7, 1e-4, 0.3, 1.5, 3.0, np.pi - 1e-4]


def test_axis_angle_matrices_are_those_of_opencv():
    vectors = _vectors(ANGLES)
    expected = [cv2.Rodrigues(vector)[0] for vector in vectors]
    np.testing.assert_allclose(rotations.axis_angle_to_matrix(vectors), expected, atol=1e-12)


def test_axis_angle_survives_the_round_trip():
    vectors = _vectors([*ANGLES, *np.linspace(0, np.pi - 1e-4, 300)])  # about axes near each of the three
    back = rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(vectors))
    np.testing.assert_allclose(back, vectors, atol=1e-8)


def test_half_turns_come_back_as_the_same_rotation():
    half_turns = np.stack([np.diag(d) for d in ([1.0, -1, -1], [-1, 1, -1], [-1, -1, 1])])
    back = rotations.axis_angle_to_matrix(rotations.matrix_to_axis_angle(half_turns))
    np.testing.assert_allclose(back, half_turns, atol=1e-12)


def test_6d_of_any_two_vectors_is_a_rotation_and_keeps_the_first_direction():
    rotation_6d = np.random.default_rng(1).normal(size=(5, 6))
    matrix = rotations.rotation_6d_to_matrix(rotation_6d)
    np.testing.assert_allclose(np.swapaxes(matrix, -1, -2) @ matrix, np.broadcast_to(np.eye(3), (5, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(matrix), 1.0)
    first = rotation_6d[:, :3] / np.linalg.norm(rotation_6d[:, :3], axis=-1, keepdims=True)
    np.testing.assert_allclose(matrix[..., 0], first, atol=1e-12)


def test_6d_survives_the_round_trip_of_a_rotation():
    matrix = rotations.axis_angle_to_matrix(_vectors([0.0, 0.7, 3.0]))
    np.testing.assert_allclose(rotations.rotation_6d_to_matrix(matrix_to_rotation_6d(matrix)), matrix, atol=1e-12)


def test_jax_and_numpy_agree():
    vectors = _vectors(ANGLES).astype(np.float32)
    matrices = rotations.axis_angle_to_matrix(vectors)
    np.testing.assert_allclose(jax.jit(rotations.axis_angle_to_matrix)(vectors), matrices, atol=1e-6)
    there = jax.jit(rotations.matrix_to_axis_angle)(matrices)
    np.testing.assert_allclose(there, rotations.matrix_to_axis_angle(matrices), atol=1e-5)


def _round_trip_sum(vector):
    return rotations.matrix_to_axis_angle(rotations.axis_angle_to_matrix(vector)).sum()


def test_gradients_are_finite_and_right():
    vectors = np.array([[0.0, 0.0, 0.0], [1e-8, 0, 0], [0.3, -0.2, 0.9]])
    turn = rotations.axis_angle_to_matrix
    gradient, through = jax.jit(jax.vmap(lambda v: (jax.jacobian(turn)(v), jax.grad(_round_trip_sum)(v))))(
        vectors.astype(np.float32)
    )
    step = 1e-3
    numeric = [(turn(vectors + d) - turn(vectors - d)) / (2 * step) for d in step * np.eye(3)]
    np.testing.assert_allclose(gradient, np.stack(numeric, axis=-1), atol=1e-3)
    np.testing.assert_allclose(through, np.ones((3, 3)), atol=1e-3)
