"""HO-3D's protocol against loops and SciPy's Procrustes, as the official eval.py is put together."""

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from occrobnet_jax.evaluation.formats.records import Setting
from occrobnet_jax.evaluation.metrics.measures import score
from occrobnet_jax.evaluation.metrics.mesh_errors import f_score
from occrobnet_jax.evaluation.metrics.protocols.conventions import Extras
from occrobnet_jax.evaluation.metrics.protocols.ho3d import PUBLISHED, Hands, hand_measures
from occrobnet_jax.skeleton import HO3D, INTERHAND, permutation
from tests.support.random_records import random_meshes, random_records
from tests.support.scored import result_of

SETS, FRAMES = 100, 10  # a thousand hands


def numbers(hands: Hands) -> dict[str, float]:
    found = {name: score(measure) for name, measure in hand_measures(hands)}
    return {name: each.value for name, each in found.items() if each is not None}


def random_hands(rng: np.random.Generator, frames: int, vertices: int = 0) -> Hands:
    truth = rng.normal(0, 0.06, (frames, 21, 3)) + rng.normal(0, 0.3, (frames, 1, 3))
    own = rng.uniform(0.7, 1.3) * truth @ Rotation.random(rng=rng).as_matrix() + rng.normal(0, 0.02, truth.shape)
    if not vertices:
        return Hands(own, truth, None, None)
    mesh = rng.normal(0, 0.05, (frames, vertices, 3))
    return Hands(own, truth, mesh + rng.normal(0, 0.008, mesh.shape), mesh)


def similarity(truth: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Both centred and divided by their norms plus 1e-8, then scipy's orthogonal Procrustes and its scale."""
    centered, own_centered = truth - truth.mean(0), own - own.mean(0)
    size = np.linalg.norm(centered) + 1e-8
    turn, scale = orthogonal_procrustes(centered / size, own_centered / (np.linalg.norm(own_centered) + 1e-8))
    return own_centered / (np.linalg.norm(own_centered) + 1e-8) @ turn.T * scale * size + truth.mean(0)


def same_palm(truth: np.ndarray, own: np.ndarray) -> np.ndarray:
    """HO-3D's joints 0 and 4 are the wrist and the base of the middle finger."""
    length = np.sqrt(((own[4] - own[0]) ** 2).sum())
    own = own / length if length > 0 else own
    own = own * np.sqrt(((truth[4] - truth[0]) ** 2).sum())
    return own - own[0] + truth[0]


def mean_and_area(errors_m: np.ndarray) -> tuple[float, float]:
    """Per joint over frames, then over joints."""
    thresholds = np.linspace(0, 0.05, 100)
    curves = np.array([(errors_m <= threshold).mean(axis=0) for threshold in thresholds])
    areas = [np.trapezoid(curve, thresholds) / np.trapezoid(np.ones(100), thresholds) for curve in curves.T]
    return 1000 * float(np.mean([column.mean() for column in errors_m.T])), float(np.mean(areas))


def test_joints_agree_with_the_official_formulas() -> None:
    rng = np.random.default_rng(0)
    to_official = permutation(INTERHAND, HO3D)
    for _ in range(SETS):
        hands = random_hands(rng, FRAMES)
        own, truth = hands.joints_m[:, to_official], hands.true_joints_m[:, to_official]
        found = numbers(hands)
        alignments = {"unaligned": lambda truth, own: own, "scale_translation": same_palm, "procrustes": similarity}
        for name, align in alignments.items():
            errors = np.array([np.linalg.norm(align(t, o) - t, axis=-1) for t, o in zip(truth, own, strict=True)])
            mean, area = mean_and_area(errors)
            assert found[f"mpjpe_mm/{name}"] == pytest.approx(mean, abs=1e-6)
            assert found[f"auc_0_50mm/{name}"] == pytest.approx(area, abs=1e-9)


def test_meshes_agree_with_the_official_formulas() -> None:
    rng = np.random.default_rng(1)
    for _ in range(SETS):
        hands = random_hands(rng, FRAMES, vertices=8)
        found = numbers(hands)
        assert hands.vertices_m is not None
        assert hands.true_vertices_m is not None
        pairs = list(zip(hands.true_vertices_m, hands.vertices_m, strict=True))
        for name, align in {"unaligned": lambda truth, own: own, "procrustes": similarity}.items():
            aligned = [(truth, align(truth, own)) for truth, own in pairs]
            mean, area = mean_and_area(np.array([np.linalg.norm(own - truth, axis=-1) for truth, own in aligned]))
            assert found[f"mpvpe_mm/{name}"] == pytest.approx(mean, abs=1e-6)
            assert found[f"mesh_auc_0_50mm/{name}"] == pytest.approx(area, abs=1e-9)
            for limit in (5, 15):
                scores = [brute_f_score(truth, own, limit / 1000) for truth, own in aligned]
                assert found[f"f_score_{limit}mm/{name}"] == pytest.approx(np.mean(scores), abs=1e-9)


def brute_f_score(truth: np.ndarray, own: np.ndarray, limit: float) -> float:
    distances = np.linalg.norm(truth[:, None] - own[None], axis=-1)
    recall, precision = (distances.min(0) < limit).mean(), (distances.min(1) < limit).mean()
    return 2 * recall * precision / (recall + precision) if recall + precision > 0 else 0.0


def test_f_score_agrees_with_all_pairs() -> None:
    rng = np.random.default_rng(2)
    for _ in range(1000):
        truth, own = rng.normal(0, 0.02, (2, 30, 3))
        expected = [brute_f_score(truth, own, limit) for limit in (0.005, 0.015)]
        assert f_score(own, truth, (5, 15)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("change", "unaligned", "scale_translation", "procrustes"),
    [
        (lambda joints: joints, True, True, True),
        (lambda joints: joints + np.array([0.1, -0.2, 0.3]), False, True, True),
        (lambda joints: 1.1 * joints, False, True, True),
        (lambda joints: joints @ Rotation.from_euler("xyz", (0.3, 0.2, 0.1)).as_matrix(), False, False, True),
        (lambda joints: joints * np.array([-1, 1, 1]), False, False, True),  # a mirror image is admitted
        (lambda joints: joints * np.array([2, 1, 1]), False, False, False),
    ],
)
def test_what_each_alignment_forgives(change, unaligned: bool, scale_translation: bool, procrustes: bool) -> None:
    truth = random_hands(np.random.default_rng(3), 5).true_joints_m
    found = numbers(Hands(change(truth), truth, None, None))
    forgiven = {"unaligned": unaligned, "scale_translation": scale_translation, "procrustes": procrustes}
    for name, is_forgiven in forgiven.items():
        assert (found[f"mpjpe_mm/{name}"] < 1e-4) == is_forgiven, name  # the guard in the norms leaves 1e-5 mm
        assert (found[f"auc_0_50mm/{name}"] > 0.98) == is_forgiven


def test_the_axes_of_both_may_be_changed_together() -> None:
    hands = random_hands(np.random.default_rng(4), 5, vertices=40)
    flipped = Hands(*(None if part is None else part * np.array([1, -1, -1]) for part in hands))
    assert numbers(flipped) == pytest.approx(numbers(hands))


def test_a_submission_of_zeros_is_scored_as_the_script_does() -> None:
    """Nothing is divided by zero; all vertices come to lie in the true centre, all joints in the true wrist."""
    truth = random_hands(np.random.default_rng(5), 4, vertices=778)
    nothing = Hands(np.zeros((4, 21, 3)), truth.true_joints_m, np.zeros((4, 778, 3)), truth.true_vertices_m)
    found = numbers(nothing)
    joints, vertices = truth.true_joints_m, truth.true_vertices_m
    assert vertices is not None
    expected = {
        "mpjpe_mm/unaligned": joints,
        "mpjpe_mm/scale_translation": joints - joints[:, INTERHAND.index("wrist"), None],
        "mpjpe_mm/procrustes": joints - joints.mean(1, keepdims=True),
        "mpvpe_mm/unaligned": vertices,
        "mpvpe_mm/procrustes": vertices - vertices.mean(1, keepdims=True),
    }
    for name, distance in expected.items():
        assert found[name] == pytest.approx(1000 * np.linalg.norm(distance, axis=-1).mean(), abs=1e-6)
    assert all(np.isfinite(value) for value in found.values())


def test_records_are_scored_by_their_right_hands() -> None:
    rng = np.random.default_rng(6)
    records = random_records(rng, 9, known=1.0)
    records |= random_meshes(rng, records)
    result = result_of(records, Setting(256), PUBLISHED[0], Extras())
    rights = records["hand_present"][:, 0]
    assert result.num_examples == rights.sum()
    assert result.protocol == "ho3d_v2/official"
    assert "the evaluation split has 11,524" in result.notes[0]
    own, truth = records["predicted_joints_cam_m"][rights, 0], records["joints_cam_m"][rights, 0]
    expected = numbers(Hands(own, truth, None, None))
    for name, value in expected.items():
        assert result.numbers[name].value == pytest.approx(value)
    records["joint_annotated"][:] = False
    with pytest.raises(ValueError, match="--truth=evaluation_xyz"):
        result_of(records, Setting(256), PUBLISHED[0], Extras())


def test_exact_predictions_have_the_whole_area() -> None:
    """Though the wrist was subtracted from them and is added again: PCK's first threshold is 0."""
    rng = np.random.default_rng(9)
    records = random_records(rng, 30, known=1.0)
    records |= random_meshes(rng, records, 50)
    truth, wrist = records["joints_cam_m"], records["root_cam_m"][:, :, None]
    records |= {"predicted_joints_rel_m": truth - wrist, "predicted_root_cam_m": records["root_cam_m"]}
    records["predicted_vertices_rel_m"] = records["vertices_cam_m"] - wrist
    result = result_of(records, Setting(256), PUBLISHED[0], Extras())
    for name in ("auc_0_50mm/unaligned", "mesh_auc_0_50mm/unaligned"):
        assert result.numbers[name].value == 1.0
