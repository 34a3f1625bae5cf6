import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.metrics import compute_metrics
from occrobnet_jax.evaluation.metrics.objects import equivalent_rotations, rotation_angles_deg
from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from tests.support.fake_records import SIZE_PX, perfect_records


def metrics_of(turn_rest: Rotation, symmetry: str) -> dict[str, float]:
    """Metrics where the object is predicted turned by `turn_rest` in its rest frame."""
    records = perfect_records()
    records["object_symmetry"][:] = OBJECT_SYMMETRY.index(symmetry)
    half = np.array([0.02, 0.02, 0.05])  # square about z, so that turns about it by 90 degrees keep the corners
    signs = np.stack(np.meshgrid((-1, 1), (-1, 1), (-1, 1), indexing="ij"), -1).reshape(8, 3)
    records["object_corners_rest_m"] = np.broadcast_to(signs * half, (6, 8, 3))
    records["predicted_object_rotation"] = records["object_rotation"] @ turn_rest.as_matrix()
    return compute_metrics([records], Setting(SIZE_PX))


@pytest.mark.parametrize(
    ("symmetry", "euler_deg", "left_over_deg"),
    [
        ("none", (0, 0, 180), 180),
        ("half_turn_z", (0, 0, 180), 0),
        ("half_turn_z", (0, 0, 90), 90),
        ("half_turn_z", (180, 0, 0), 180),
        ("any_turn_z", (0, 0, 57), 0),
        ("any_turn_z", (30, 0, 0), 30),
        ("box", (180, 0, 0), 0),
        ("box", (0, 180, 0), 0),
        ("box", (0, 0, 170), 10),
    ],
)
def test_symmetric_poses_are_forgiven(symmetry: str, euler_deg: tuple, left_over_deg: float) -> None:
    metrics = metrics_of(Rotation.from_euler("xyz", euler_deg, degrees=True), symmetry)
    assert metrics["object_rotation_error_deg"] == pytest.approx(left_over_deg, abs=0.1)
    assert (metrics["object_corner_error_mm"] < 0.01) == (left_over_deg == 0)
    assert metrics["object_translation_error_mm"] == pytest.approx(0, abs=1e-3)


def test_spheres_have_no_rotation_error() -> None:
    metrics = metrics_of(Rotation.from_euler("xyz", (20, 50, 70), degrees=True), "sphere")
    assert "object_rotation_error_deg" not in metrics
    assert metrics["object_corner_error_mm"] == pytest.approx(0, abs=1e-3)


def test_best_turn_about_z_agrees_with_a_search() -> None:
    rng = np.random.default_rng(0)
    rotations, targets = Rotation.random(20, rng=rng).as_matrix(), Rotation.random(20, rng=rng).as_matrix()
    kind = np.full(20, OBJECT_SYMMETRY.index("any_turn_z"))
    found = rotation_angles_deg(equivalent_rotations(rotations, targets, kind), targets[:, None])[:, 0]
    turns = Rotation.from_euler("z", np.arange(0, 360, 0.5)[:, None], degrees=True).as_matrix()
    searched = rotation_angles_deg(rotations[:, None] @ turns, targets[:, None]).min(axis=1)
    np.testing.assert_allclose(found, searched, atol=0.5)
    assert (found <= searched + 1e-9).all()


def test_corner_error_by_hand() -> None:
    """Turned by 180 degrees about z, each corner is off by twice its distance from the axis."""
    metrics = metrics_of(Rotation.from_euler("z", 180, degrees=True), "none")
    assert metrics["object_corner_error_mm"] == pytest.approx(2000 * np.hypot(0.02, 0.02), abs=0.01)


def test_translation_is_seen_from_the_right_wrist_or_the_left_alone() -> None:
    records: Records = perfect_records()
    shift = np.array([0.0, 0.006, 0.008])
    records["predicted_object_translation_m"] = records["predicted_object_translation_m"] + shift
    metrics = compute_metrics([records], Setting(SIZE_PX))
    assert metrics["object_translation_error_mm"] == pytest.approx(10, abs=1e-3)
    assert metrics["object_corner_error_mm"] == pytest.approx(10, abs=1e-3)
    # Where only the left hand is there (example 1), the place of a right wrist that does not exist can't matter.
    records["root_cam_m"][1, 0] = 99.0
    records["predicted_root_cam_m"] = records["root_cam_m"]
    assert compute_metrics([records], Setting(SIZE_PX))["object_translation_error_mm"] == pytest.approx(10, abs=1e-3)
