"""Errors of object poses against loops over vertices, and of grasps against shapes whose answer is known."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from occrobnet_jax.evaluation.formats.object_models import ObjectModel, read_object_models
from occrobnet_jax.evaluation.formats.records import Setting, select
from occrobnet_jax.evaluation.metrics.mesh_errors import inside, surface_distances
from occrobnet_jax.evaluation.metrics.protocols.catalogue import find
from occrobnet_jax.evaluation.metrics.protocols.conventions import Extras
from occrobnet_jax.evaluation.metrics.protocols.grasp import grasp_of
from occrobnet_jax.evaluation.metrics.protocols.object_pose import ANY_TURN_Z, HALF_TURN_Z, NO_TURN, pose_errors
from occrobnet_jax.files.meshes import Mesh
from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from tests.support.random_records import random_meshes, random_records, random_rotations
from tests.support.scored import result_of

CORNERS = np.array(list(itertools.product((-0.03, 0.03), (-0.03, 0.03), (-0.05, 0.07))))
BOX = trimesh.creation.box(extents=(0.06, 0.06, 0.12))


def apply(rotation: np.ndarray, translation: np.ndarray, point: np.ndarray) -> list[float]:
    return [sum(rotation[i, k] * point[k] for k in range(3)) + translation[i] for i in range(3)]


def oracle(own, true, points: np.ndarray, corners: np.ndarray, turns, diameter_m: float, is_symmetric: bool) -> dict:
    """The definitions, point by point."""
    truth = [apply(*true, point) for point in points]
    posed = [apply(*own, point) for point in points]
    own_corners = [apply(*own, corner) for corner in corners]
    add = sum(map(math.dist, posed, truth)) / len(points)
    add_s = sum(min(math.dist(one, other) for other in posed) for one in truth) / len(points)
    mssd, corner = math.inf, math.inf
    for turn in turns:
        rotation = true[0] @ turn  # Keypoint Transformer turns the truth
        mssd = min(mssd, max(math.dist(apply(rotation, true[1], p), t) for p, t in zip(points, posed, strict=True)))
        turned = [apply(rotation, true[1], each) for each in corners]
        corner = min(corner, sum(map(math.dist, turned, own_corners)) / 8)
    center = [sum(corners[:, axis]) / 8 for axis in range(3)]
    return {
        "mssd_mm": 1000 * mssd,
        "add_mm": 1000 * add,
        "add_s_mm": 1000 * add_s,
        "add_0.1d": float((add_s if is_symmetric else add) < 0.1 * diameter_m),
        "corner_error_mm": 1000 * corner,
        "centre_error_mm": 1000 * math.dist(apply(*own, np.array(center)), apply(*true, np.array(center))),
    }


def test_pose_errors_agree_with_loops() -> None:
    rng = np.random.default_rng(0)
    rotations = random_rotations(rng, 2000)
    for case in range(1000):
        points = rng.normal(0, 0.05, (6, 3))
        diameter = max(math.dist(one, other) for one in points for other in points)
        near = Rotation.from_rotvec(rng.normal(0, 0.05, 3)).as_matrix()
        own = (rotations[2 * case] if case % 2 else near @ rotations[2 * case + 1], rng.normal(0, 0.003, 3))
        true = (rotations[2 * case + 1], np.zeros(3))
        turns, is_symmetric = ((NO_TURN, False), (HALF_TURN_Z, True))[case % 3 == 0]
        found = pose_errors(own, true, ObjectModel(points, diameter, None), CORNERS, turns, is_symmetric)
        expected = oracle(own, true, points, CORNERS, turns, diameter, is_symmetric)
        assert found == pytest.approx(expected, abs=1e-6)


def test_turns_in_steps_agree_with_loops() -> None:
    rng = np.random.default_rng(1)
    turns = [Rotation.from_euler("z", angle, degrees=True).as_matrix() for angle in range(0, 360, 5)]
    np.testing.assert_allclose(ANY_TURN_Z, turns, atol=1e-12)
    for _ in range(10):
        points, own, true = rng.normal(0, 0.05, (5, 3)), *random_rotations(rng, 2)
        pose = (own, np.zeros(3)), (true, rng.normal(0, 0.01, 3))
        found = pose_errors(*pose, ObjectModel(points, 0.1, None), CORNERS, ANY_TURN_Z, True)
        assert found == pytest.approx(oracle(*pose, points, CORNERS, turns, 0.1, True), abs=1e-6)


@pytest.mark.parametrize(
    ("convention", "number", "angle_deg", "is_forgiven"),
    [
        ("kypt_ho3d", 6, 180, True),
        ("kypt_ho3d", 6, 90, False),
        ("kypt_ho3d", 3, 180, False),  # a half turn of the cracker box counts on HO-3D ...
        ("kypt_h2o3d", 3, 180, True),  # ... and doesn't on H2O-3D
        ("kypt_ho3d", 25, 180, False),
        ("kypt_h2o3d", 25, 35, True),
        ("kypt_h2o3d", 25, 180, True),
        ("kypt_h2o3d", 35, 180, False),
    ],
)
def test_which_turns_a_convention_forgives(convention: str, number: int, angle_deg: float, is_forgiven: bool) -> None:
    records = perfect_objects(number)
    records["predicted_object_rotation"] = (
        records["object_rotation"] @ Rotation.from_euler("z", angle_deg, degrees=True).as_matrix()
    )
    found = numbers(records, f"object/{convention}")
    assert (found["mssd_mm"] < 1e-6) == (found["corner_error_mm"] < 1e-6) == is_forgiven
    assert found["centre_error_mm"] == pytest.approx(0, abs=1e-9)
    assert found["add_mm"] > 1
    if angle_deg == 180:  # the corners fall onto each other, which only ADD-S sees
        assert found["add_s_mm"] == pytest.approx(0, abs=1e-6)
        assert found["add_0.1d"] == float(is_forgiven)


def test_spheres_may_turn_as_they_like_in_our_convention() -> None:
    records = perfect_objects(1)
    records["object_symmetry"][:] = OBJECT_SYMMETRY.index("sphere")
    records["predicted_object_rotation"] = random_rotations(np.random.default_rng(5), len(records["key"]))
    assert numbers(records, "object/own")["mssd_mm"] == pytest.approx(0, abs=1e-9)


def test_what_conventions_leave_out() -> None:
    records = perfect_objects(4)
    with pytest.raises(ValueError, match="none of the"):
        numbers(records, "object/kypt_h2o3d")  # the sugar box is in its evaluation split only
    records = perfect_objects(35)
    records["object_share"] = np.linspace(0.0, 0.1, len(records["key"]))
    (h2o3d,), (ho3d,) = find("object/kypt_h2o3d"), find("object/kypt_ho3d")
    assert (select(records, h2o3d.rows(records, Extras()))["object_share"] >= 0.02).all()
    assert (select(records, ho3d.rows(records, Extras()))["object_share"] > 0).all()
    records["sequence"] = np.array([b"AP10", b"SM1"] * len(records["key"]))[: len(records["key"])]
    assert set(select(records, ho3d.rows(records, Extras()))["sequence"]) == {b"SM1"}


def test_each_object_has_its_own_number() -> None:
    records = perfect_objects(35)
    records["object_id"] = np.where(np.arange(len(records["key"])) % 3, 35, 6)
    other = records["object_id"] == 35
    records["predicted_object_translation_m"] = records["predicted_object_translation_m"].astype(np.float64)
    records["predicted_object_translation_m"][other, 2] += 0.01
    found = numbers(records, "object/own")
    assert found["mssd_mm/object_006"] == pytest.approx(0, abs=1e-3)
    assert found["mssd_mm/object_035"] == pytest.approx(10, abs=1e-3)
    assert found["mssd_mm"] == pytest.approx(10 * other.mean(), abs=1e-3)


def test_one_frame_without_a_predicted_object_is_enough_to_have_no_numbers() -> None:
    records = perfect_objects(35)
    records["predicted_object_translation_m"] = records["predicted_object_translation_m"].copy()
    records["predicted_object_translation_m"][3] = np.nan
    with pytest.raises(ValueError, match="hold no poses of objects"):
        numbers(records, "object/own")


def test_an_object_of_the_least_share_counts_and_one_of_unknown_share_too() -> None:
    records = perfect_objects(35)
    records["object_share"] = np.full(len(records["key"]), 0.0199)
    records["object_share"][:2] = 0.02, -1.0
    (h2o3d,) = find("object/kypt_h2o3d")
    assert np.flatnonzero(h2o3d.rows(records, Extras())).tolist() == [0, 1]


def test_models_take_the_place_of_corners(tmp_path: Path) -> None:
    np.save(tmp_path / "035_power_drill.npy", np.array([[0.1, 0, 0], [-0.1, 0, 0], [0, 0.02, 0], [0, 0, 0.02]]))
    (tmp_path / "003_cracker_box").mkdir()
    BOX.export(tmp_path / "003_cracker_box" / "textured.obj")
    models = read_object_models(tmp_path)
    assert models.keys() == {3, 35}
    assert models[35].diameter_m == pytest.approx(0.2)
    assert models[3].diameter_m == pytest.approx(math.dist((0.06, 0.06, 0.12), (0, 0, 0)))
    records = perfect_objects(35)
    records["predicted_object_rotation"] = records["object_rotation"] @ np.diag([-1.0, -1.0, 1.0])
    assert numbers(records, "object/own", models)["mssd_mm"] == pytest.approx(200)
    records["object_id"][0] = 19
    with pytest.raises(ValueError, match="object 019 has no model"):
        numbers(records, "object/own", models)


@pytest.mark.parametrize("content", [b"", b"no array", np.zeros((3, 2)).tobytes()])
def test_broken_models_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "035_power_drill.npy").write_bytes(content)
    with pytest.raises(ValueError, match="035_power_drill"):
        read_object_models(tmp_path)
    with pytest.raises(ValueError, match="holds no object models"):
        read_object_models(tmp_path / "nowhere")


def perfect_objects(number: int) -> dict[str, np.ndarray]:
    """Records whose objects are all known, of one kind and predicted as they are."""
    records = random_records(np.random.default_rng(number), 12, known=1.0)
    records["object_id"][:] = number
    reference = np.where(records["hand_present"][:, 0], 0, 1)
    roots = records["root_cam_m"][np.arange(12), reference]
    records["hand_present_known"][:] = True
    records["object_symmetry"][:] = 0
    records["predicted_object_rotation"] = records["object_rotation"]
    records["predicted_object_translation_m"] = records["object_translation_m"] - roots
    records["object_corners_rest_m"] = np.broadcast_to(CORNERS - CORNERS.mean(axis=0), (12, 8, 3))
    return records


def numbers(records: dict[str, np.ndarray], name: str, models=None) -> dict[str, float]:
    (convention,) = find(name)
    result = result_of(records, Setting(256), convention, Extras(object_models=models or {}))
    return {each: found.value for each, found in result.numbers.items()}


def test_inside_and_distances_agree_with_the_box_itself() -> None:
    rng = np.random.default_rng(3)
    half = np.array([0.03, 0.03, 0.06])
    points = rng.uniform(-0.1, 0.1, (1000, 3))
    mesh = Mesh(np.asarray(BOX.vertices), np.asarray(BOX.faces))
    beyond = np.abs(points) - half
    is_inside = (beyond < 0).all(axis=1)
    distance = np.where(is_inside, -beyond.max(axis=1), np.linalg.norm(np.maximum(beyond, 0), axis=1))
    np.testing.assert_array_equal(inside(points, mesh), is_inside)
    np.testing.assert_allclose(surface_distances(points, mesh), distance, atol=1e-9)
    flipped = Mesh(mesh.vertices, mesh.triangles[:, ::-1])
    np.testing.assert_array_equal(inside(points, flipped), is_inside)


def test_triangles_without_area_are_no_surface_everywhere() -> None:
    mesh = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), np.array([[0, 1, 2]]))
    assert surface_distances(np.array([[1.0, 3, 4]]), mesh) == pytest.approx([5])


def test_grasp_by_hand() -> None:
    mesh = Mesh(np.asarray(BOX.vertices), np.asarray(BOX.faces))
    turn, place = Rotation.from_euler("xyz", (0.4, 0.5, 0.6)).as_matrix(), np.array([0.1, 0.2, 0.5])
    at_rest = np.array([[0.02, 0, 0], [0.05, 0, 0], [0.025, 0, 0.01]])  # 10 mm and 5 mm inside, 20 mm outside
    assert grasp_of(at_rest @ turn.T + place, turn, place, mesh) == pytest.approx((10, 0))
    assert grasp_of(at_rest[1:2] @ turn.T + place, turn, place, mesh) == pytest.approx((0, 20))


def test_grasps_of_records() -> None:
    """The true hands lie 4 mm inside the object; of the predicted ones the right 20 mm beside, the left 3 mm inside."""
    records = perfect_objects(3)
    records |= random_meshes(np.random.default_rng(0), records, vertices=3)
    records["vertices_known"] = records["hand_present"]
    rotation, place = records["object_rotation"], records["object_translation_m"]
    along = rotation[:, None, None, :, 0]
    center = place[:, None, None]
    records["vertices_cam_m"] = np.repeat(center + 0.026 * along, 2, axis=1)
    reference = np.where(records["hand_present"][:, 0], 0, 1)
    roots = records["root_cam_m"][np.arange(12), reference][:, None, None]
    beside = np.concatenate([center + 0.05 * along - roots, center + 0.027 * along - roots], axis=1)
    step = records["predicted_relative_translation_m"]
    shift = np.where(records["hand_present"][:, :1], step, 0.0)
    beside[:, 1] -= shift[:, None]  # the left hand is relative to its own wrist
    records["predicted_vertices_rel_m"] = beside
    models = {3: ObjectModel(np.asarray(BOX.vertices), 0.15, Mesh(np.asarray(BOX.vertices), np.asarray(BOX.faces)))}
    found = numbers(records, "grasp/vertices", models)
    with_left = records["hand_present"][:, 1].mean()
    assert 0 < with_left < 1
    expected = {"penetration_mm/truth": 4, "contact_share/truth": 1}
    expected |= {"penetration_mm/prediction": 3 * with_left, "contact_share/prediction": with_left}
    assert found == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="needs a closed mesh"):
        numbers(records, "grasp/vertices")


@pytest.mark.parametrize("name", ["object/own", "grasp/vertices"])
def test_models_in_another_unit_than_the_labels_are_refused(name: str) -> None:
    records = perfect_objects(3)
    records |= random_meshes(np.random.default_rng(0), records, vertices=3)
    records["vertices_known"] = records["hand_present"]
    mesh = Mesh(1000 * np.asarray(BOX.vertices), np.asarray(BOX.faces))
    with pytest.raises(ValueError, match=r"the model of object 003 .* measures 147 m .* measures 0.147 m; .*as mm it"):
        numbers(records, name, {3: ObjectModel(mesh.vertices, 150.0, mesh)})


ALL_OBJECTS = (1, 2, 3, 4, 5, 6, 10, 11, 19, 21, 24, 25, 35, 37)


@pytest.mark.parametrize(
    ("convention", "half_turns", "any_turns", "left_out"),
    [
        ("kypt_ho3d", {6, 10, 21}, set(), set()),
        ("kypt_h2o3d", {3, 6, 10, 21}, {19, 24, 25}, {4}),
    ],
)
def test_which_objects_a_convention_takes_for_symmetric(
    convention: str, half_turns: set, any_turns: set, left_out: set
) -> None:
    (found,) = find(f"object/{convention}")
    records = perfect_objects(3)
    for number in ALL_OBJECTS:
        records["object_id"][:] = number
        assert bool(found.rows(records, Extras()).any()) == (number not in left_out)
        turns = len(found._turns(records, 0)[0])
        assert turns == (1 if number not in half_turns | any_turns | left_out else 2 if number not in any_turns else 72)


@pytest.mark.parametrize("name", ["object/kypt_h2o3d", "object/kypt_ho3d"])
def test_objects_of_unknown_share_count(name: str) -> None:
    (convention,) = find(name)
    records = perfect_objects(35)
    records["object_share"] = np.full(12, -1.0)
    assert convention.rows(records, Extras()).all()
