import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from occrobnet_jax.geometry.alignment import procrustes_align, root_relative

TURN = Rotation.from_euler("xyz", (0.3, -0.8, 1.1)).as_matrix()


@pytest.fixture
def hands() -> np.ndarray:
    return np.random.default_rng(0).normal(scale=0.05, size=(5, 21, 3))


def kabsch(joints: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Independent reference: SciPy's rotation, then the scale by least squares."""
    centered, centered_target = joints - joints.mean(0), target - target.mean(0)
    turned = Rotation.align_vectors(centered_target, centered)[0].apply(centered)
    return turned * (turned * centered_target).sum() / (turned**2).sum() + target.mean(0)


def test_procrustes_agrees_with_scipy(hands: np.ndarray) -> None:
    target = np.random.default_rng(1).normal(scale=0.05, size=hands.shape)
    expected = [kabsch(*pair) for pair in zip(hands, target, strict=True)]
    np.testing.assert_allclose(procrustes_align(hands, target), expected, atol=1e-9)


def test_procrustes_agrees_with_scipy_on_a_subset(hands: np.ndarray) -> None:
    target = np.random.default_rng(1).normal(scale=0.05, size=hands.shape)
    valid = np.random.default_rng(2).random((5, 21)) < 0.5
    garbled = np.where(valid[..., None], target, 99.0)
    aligned = procrustes_align(hands, garbled, valid)
    for i, mask in enumerate(valid):
        np.testing.assert_allclose(aligned[i][mask], kabsch(hands[i][mask], target[i][mask]), atol=1e-9)


@pytest.mark.parametrize(
    ("align", "forgives_scale", "forgives_rotation"), [(root_relative, False, False), (procrustes_align, True, True)]
)
def test_what_each_alignment_forgives(hands: np.ndarray, align, forgives_scale: bool, forgives_rotation: bool) -> None:
    def error(moved: np.ndarray) -> float:
        if align is root_relative:
            return float(np.abs(root_relative(moved) - root_relative(hands)).max())
        return float(np.abs(align(moved, hands) - hands).max())

    assert error(hands + np.array([1.0, -2.0, 3.0])) < 1e-12
    assert (error(1.1 * hands) < 1e-12) == forgives_scale
    assert (error(hands @ TURN.T) < 1e-12) == forgives_rotation


def test_mirror_images_are_forgiven_only_on_request(hands: np.ndarray) -> None:
    mirrored = hands * np.array([-1.0, 1.0, 1.0])
    assert np.abs(procrustes_align(mirrored, hands) - hands).max() > 0.01
    np.testing.assert_allclose(procrustes_align(mirrored, hands, allow_reflection=True), hands, atol=1e-12)


def test_degenerate_hands_stay_finite(hands: np.ndarray) -> None:
    zeros = np.zeros_like(hands)
    none = np.zeros(hands.shape[:2], bool)
    for moved in (procrustes_align(zeros, hands), procrustes_align(hands, zeros), procrustes_align(hands, hands, none)):
        assert np.isfinite(moved).all()


def test_jnp_gives_the_same(hands: np.ndarray) -> None:
    target = np.random.default_rng(1).normal(scale=0.05, size=hands.shape)
    on_device = procrustes_align(jnp.asarray(hands, jnp.float32), jnp.asarray(target, jnp.float32))
    np.testing.assert_allclose(on_device, procrustes_align(hands, target), atol=1e-5)
