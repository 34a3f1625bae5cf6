"""H2O-3D's and the mesh papers' conventions against loops over hands."""

import math

import numpy as np
import pytest

from occrobnet_jax.evaluation.formats.records import Records, Setting, select
from occrobnet_jax.evaluation.metrics.protocols.catalogue import find
from occrobnet_jax.evaluation.metrics.protocols.conventions import Convention, Extras
from occrobnet_jax.skeleton import INTERHAND
from tests.support.random_records import random_meshes, random_records
from tests.support.scored import result_of

WRIST, MIDDLE = INTERHAND.index("wrist"), INTERHAND.index("middle1")
(MESH_PAPERS,), (H2O3D,) = find("interhand26m/two_hand_mesh"), find("h2o3d/local")


def numbers(records: Records, convention: Convention) -> dict[str, float]:
    records = {name: values for name, values in records.items() if name != "sequence"}
    result = result_of(records, Setting(256), convention, Extras())
    return {name: each.value for name, each in result.numbers.items()}


def scaled_error(points, true_points, own, truth) -> float:
    """Mean distance in mm, the middle fingers' bases joined and the palm made as long as the true one."""
    scale = math.dist(truth[MIDDLE], truth[WRIST]) / math.dist(own[MIDDLE], own[WRIST])
    distances = [
        math.dist((point - own[MIDDLE]) * scale, true - truth[MIDDLE])
        for point, true in zip(points, true_points, strict=True)
    ]
    return 1000 * sum(distances) / len(distances)


def test_mesh_papers_agree_with_loops() -> None:
    rng = np.random.default_rng(0)
    for _ in range(250):  # of four samples: a thousand
        records = random_records(rng, 4, known=rng.choice([0.99, 1.0]))
        records |= random_meshes(rng, records, vertices=5)
        if not MESH_PAPERS.rows(records, Extras()).any():
            continue
        found = numbers(records, MESH_PAPERS)
        for kind, hands in (("single", (1,)), ("interacting", (2,)), ("all", (1, 2))):
            joints: dict[int, list[float]] = {0: [], 1: []}
            vertices: dict[int, list[float]] = {0: [], 1: []}
            for row in range(4):
                for hand in range(2):
                    own, truth = records["predicted_joints_rel_m"][row, hand], records["joints_cam_m"][row, hand]
                    if (
                        not records["joint_annotated"][row, hand].all()
                        or records["hand_present"][row].sum() not in hands
                    ):
                        continue
                    joints[hand].append(scaled_error(own, truth, own, truth))
                    if records["vertices_known"][row, hand]:
                        mesh = records["predicted_vertices_rel_m"][row, hand], records["vertices_cam_m"][row, hand]
                        vertices[hand].append(scaled_error(*mesh, own, truth))
            for name, values in (("mpjpe_mm", joints), ("mpvpe_mm", vertices)):
                means = [sum(each) / len(each) for each in values.values() if each]
                if means:
                    assert found[f"{name}/{kind}"] == pytest.approx(sum(means) / len(means), abs=1e-6)
                else:
                    assert f"{name}/{kind}" not in found


def test_mesh_papers_forgive_place_and_size_of_each_hand() -> None:
    rng = np.random.default_rng(1)
    records = random_records(rng, 20, known=1.0)
    records |= random_meshes(rng, records, vertices=9)
    before = numbers(records, MESH_PAPERS)
    size, place = rng.uniform(0.5, 2, (20, 2, 1, 1)), rng.normal(size=(20, 2, 1, 3))
    moved = {
        f"predicted_{name}_rel_m": size * records[f"predicted_{name}_rel_m"] + place for name in ("joints", "vertices")
    }
    assert numbers(records | moved, MESH_PAPERS) == pytest.approx(before)
    turned = records | {"predicted_joints_rel_m": records["predicted_joints_rel_m"][..., [1, 0, 2]]}
    assert numbers(turned, MESH_PAPERS)["mpjpe_mm/all"] != pytest.approx(before["mpjpe_mm/all"], abs=0.1)


def test_h2o3d_agrees_with_loops() -> None:
    rng = np.random.default_rng(2)
    for _ in range(250):
        records = random_records(rng, 4, known=0.9)
        own_wrist: list[list[float]] = [[] for _ in range(42)]
        right_wrist: list[list[float]] = [[] for _ in range(42)]
        steps = []
        for row in range(4):
            known, truth = records["joint_annotated"][row], records["joints_cam_m"][row]
            own, step = records["predicted_joints_rel_m"][row], records["predicted_relative_translation_m"][row]
            for hand in range(2):
                for joint in range(21):
                    if not (known[hand, joint] and known[hand, WRIST]):
                        continue
                    relative = own[hand, joint] - own[hand, WRIST]
                    error = 1000 * math.dist(relative, truth[hand, joint] - truth[hand, WRIST])
                    own_wrist[21 * hand + joint].append(error)
                    if known[0, WRIST]:
                        seen = relative + (step if hand == 1 else 0)
                        right_wrist[21 * hand + joint].append(
                            1000 * math.dist(seen, truth[hand, joint] - truth[0, WRIST])
                        )
            if known[0, WRIST] and known[1, WRIST]:
                steps.append(1000 * math.dist(step, truth[1, WRIST] - truth[0, WRIST]))
        found = numbers(records, H2O3D)
        for name, joints in (("own_wrist", own_wrist), ("right_wrist", right_wrist)):
            means = [sum(each) / len(each) for each in joints if each]
            if means:
                assert found[f"mpjpe_mm/{name}"] == pytest.approx(sum(means) / len(means), abs=1e-6)
        if steps:
            assert found["mrrpe_mm/regressed"] == pytest.approx(sum(steps) / len(steps), abs=1e-6)


def test_h2o3d_forgives_the_place_of_the_right_hand_and_counts_the_step() -> None:
    records = random_records(np.random.default_rng(3), 30, known=1.0)
    before = numbers(records, H2O3D)
    moved = records | {"joints_cam_m": records["joints_cam_m"] + 0.4}
    assert numbers(moved, H2O3D) == pytest.approx(before)
    stepped = records | {"predicted_relative_translation_m": records["predicted_relative_translation_m"] + 0.05}
    after = numbers(stepped, H2O3D)
    assert after["mpjpe_mm/own_wrist"] == before["mpjpe_mm/own_wrist"]
    assert after["mpjpe_mm/right_wrist"] > before["mpjpe_mm/right_wrist"] + 1
    (left_out,) = find("h2o3d/local+wrist=left_out")
    assert numbers(records, left_out)["mpjpe_mm/own_wrist"] == pytest.approx(before["mpjpe_mm/own_wrist"] * 21 / 20)


@pytest.mark.parametrize("convention", [MESH_PAPERS, H2O3D, find("ho3d_v2/official")[0]])
def test_names_say_at_which_depth_2p5d_poses_were_decoded(convention: Convention) -> None:
    setting = Setting(256, None, {"representation": "2.5d", "root_depth": "ground_truth"})
    assert convention.resolve(setting).name == f"{convention.name}+depth=ground_truth"
    assert convention.resolve(Setting(256)) is convention


def test_only_hands_that_are_fully_known_count_for_the_mesh_papers() -> None:
    records = random_records(np.random.default_rng(4), 30, known=0.97)
    counting = select(records, MESH_PAPERS.rows(records, Extras()))
    assert 0 < len(counting["key"]) < 30
    assert counting["joint_annotated"].all(axis=-1).any(axis=-1).all()
