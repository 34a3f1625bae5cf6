"""Errors that are put into perfect predictions come out under the names of their arm, part and hidden area."""

import dataclasses

import numpy as np
import pytest

from occrobnet_jax.evaluation.formats.records import Setting, select
from occrobnet_jax.evaluation.formats.records_file import load, save
from occrobnet_jax.evaluation.metrics.hand_prior import completed, hand_covariance
from occrobnet_jax.evaluation.metrics.measures import Tally
from occrobnet_jax.evaluation.metrics.metrics import compute_metrics
from occrobnet_jax.evaluation.metrics.occlusion import occlusion_measures
from occrobnet_jax.evaluation.metrics.paired import differences
from occrobnet_jax.skeleton import ARMS, LEFT, RIGHT, WRIST
from tests.support.fake_datasets import fake_example
from tests.support.fake_records import HIDDEN_MM, SIZE_PX, VISIBLE_MM, arm_records, perfect_records, spoiled

SETTING = Setting(SIZE_PX)
ESTIMAND = "mpjpe_mm/occluded_minus_free/hidden_minus_visible"


def numbers(chunks, setting=SETTING):
    """Metrics without intervals, whose bootstrap takes seconds."""
    return compute_metrics(chunks, setting, seed=None)


@pytest.fixture(scope="module")
def metrics():
    return numbers([spoiled(arm_records(8))])


def test_each_arm_has_its_error_of_hidden_and_visible_joints(metrics):
    for arm in ARMS[1:]:
        assert metrics[f"mpjpe_mm/arm_{arm}/hidden"] == pytest.approx(HIDDEN_MM[arm])
        assert metrics[f"mpjpe_mm/arm_{arm}/visible"] == pytest.approx(VISIBLE_MM[arm])
        assert VISIBLE_MM[arm] < metrics[f"mpjpe_mm/arm_{arm}"] < HIDDEN_MM[arm]
    assert metrics["error_2d_px/arm_occluded/hidden"] == pytest.approx(0, abs=1e-3)


def test_arms_are_compared_with_the_one_without_occluder(metrics):
    for arm, hidden, visible in (("occluded", 18, 1), ("shadowed", 28, 3), ("aside", 2, 0)):
        assert metrics[f"mpjpe_mm/{arm}_minus_free/hidden"] == pytest.approx(hidden)
        assert metrics[f"mpjpe_mm/{arm}_minus_free/visible"] == pytest.approx(visible, abs=1e-9)
        more = metrics[f"mpjpe_mm/{arm}_minus_free/hidden_minus_visible"]
        assert more == pytest.approx(hidden - visible)
    assert "mpjpe_mm/free_minus_free/hidden" not in metrics


def test_pa_mpjpe_and_mrrpe_have_arms_too():
    records = arm_records(8)
    occluded = records["arm"] == ARMS.index("occluded")
    turned = np.where(occluded[:, None, None, None], records["predicted_joints_rel_m"][..., [1, 2, 0]], 0)
    joints_m = np.where(occluded[:, None, None, None], 1.5 * turned, records["predicted_joints_rel_m"])
    step_m = records["predicted_relative_translation_m"] + np.where(occluded[:, None], [0.007, 0, 0], [0, 0.003, 0])
    changed = {"predicted_joints_rel_m": joints_m, "predicted_relative_translation_m": step_m}
    metrics = numbers([records | changed])
    assert metrics["mpjpe_mm/occluded_minus_free/hidden"] > 10
    assert metrics["pa_mpjpe_mm/occluded_minus_free/hidden"] == pytest.approx(0, abs=1e-3)  # a similarity is forgiven
    assert metrics["mrrpe_mm/arm_occluded"] == pytest.approx(7, abs=1e-3)
    assert metrics["mrrpe_mm/occluded_minus_free"] == pytest.approx(4, abs=1e-3)
    assert "mrrpe_mm/occluded_minus_free/hidden_minus_visible" not in metrics
    bent = numbers([spoiled(records)])
    assert 0 < bent["pa_mpjpe_mm/arm_free/hidden"] < bent["pa_mpjpe_mm/arm_occluded/hidden"]


def test_one_hand_alone_has_no_mrrpe_in_any_arm():
    assert not any(name.startswith("mrrpe") for name in numbers([spoiled(select(arm_records(4), slice(0, 4)))]))


def test_the_interval_of_a_difference_is_that_of_pairs():
    """What makes a scene hard is in both arms and falls out; alone it is centimetres."""
    records = spoiled(arm_records(16))
    hard_m = np.random.default_rng(0).gamma(2.0, 0.02, 16).repeat(4)[:, None, None, None] * np.array([1.0, 0, 0])
    hard_m = np.where(np.arange(21)[:, None] == WRIST, 0.0, hard_m)
    records["predicted_joints_rel_m"] = records["predicted_joints_rel_m"] + hard_m
    metrics = compute_metrics([records], SETTING)
    low, high = (metrics[f"mpjpe_mm/arm_occluded/hidden/ci95_{end}"] for end in ("low", "high"))
    assert high - low > 10
    low, high = (metrics[f"mpjpe_mm/occluded_minus_free/hidden/ci95_{end}"] for end in ("low", "high"))
    assert high - low < 0.01
    assert low == pytest.approx(18, abs=0.01)


def test_chunks_may_cut_a_scene():
    records = spoiled(arm_records(8))
    cut = [select(records, slice(0, 5)), select(records, slice(5, 30)), select(records, slice(30, None))]
    whole, parts = numbers([records]), numbers(cut)
    assert parts == pytest.approx(whole)


def test_the_curve_is_by_each_hands_hidden_area():
    records = spoiled(arm_records(4))
    records["scene_hidden_share"][:4] = [0.1, 0]
    records["scene_hidden_share"][4:] = 0.55
    far = np.full((16, 1, 1, 1), 0.05) * (np.arange(16) < 4)[:, None, None, None]
    records["predicted_joints_rel_m"] += np.where(np.arange(21)[:, None] == WRIST, 0, far * np.array([1.0, 0, 0]))
    metrics = numbers([records])
    assert metrics["mpjpe_mm/arm_occluded/hidden/hidden_area_00_10"] == pytest.approx(80)
    assert metrics["mpjpe_mm/arm_free/hidden/hidden_area_00_10"] == pytest.approx(62)
    assert metrics["mpjpe_mm/arm_occluded/hidden/hidden_area_50_60"] == pytest.approx(30)
    assert {name.split("_area_")[1][:5] for name in metrics if "_area_" in name} == {"00_10", "50_60"}


def test_kinds_of_scenes_are_those_of_their_names(metrics):
    assert metrics["mpjpe_mm/arm_free/hidden/scene_two_hands"] == pytest.approx(12)
    one = select(arm_records(4), slice(0, 4))
    names = numbers([spoiled(one)])
    assert "mpjpe_mm/occluded_minus_free/visible/scene_one_hand" in names
    assert not any("scene_two_hands" in name for name in names)


def test_the_recovered_fraction_lies_between_prior_and_the_picture_without_occluder():
    records = arm_records(8)
    guess = np.zeros((2, 21, 3))
    prior_mm = numbers([records], Setting(SIZE_PX, guess))["mpjpe_mm/mean_pose/arm_occluded/hidden"]
    assert prior_mm > 40
    for occluded, expected in ((12.0, 1.0), (prior_mm, 0.0), ((12 + prior_mm) / 2, 0.5)):
        metrics = numbers([spoiled(records, HIDDEN_MM | {"occluded": occluded})], Setting(SIZE_PX, guess))
        assert metrics["recovered_fraction/mean_pose"] == pytest.approx(expected, abs=1e-6)
    assert "recovered_fraction/hand_prior" not in metrics


def test_a_network_that_is_worse_than_the_prior_even_without_occluder_recovers_no_fraction():
    """There is no such number, rather than one that is not finite: metrics.json takes none."""
    setting = Setting(SIZE_PX, np.zeros((2, 21, 3)))
    records = spoiled(arm_records(4), dict.fromkeys(ARMS[1:], 500.0), dict.fromkeys(ARMS[1:], 500.0))
    metrics = compute_metrics([records], setting)
    assert "recovered_fraction/mean_pose" not in metrics
    assert np.isfinite(list(metrics.values())).all()
    tally = Tally()
    measures = dict(occlusion_measures(records, setting))
    tally.add([(name, measures[name]) for name in ("recovered_fraction/mean_pose", ESTIMAND)], records["sequence"])
    assert differences([(tally, tally)]).keys() == {ESTIMAND}


def test_records_without_arms_have_none_of_it():
    for records in (perfect_records(4), {k: v for k, v in perfect_records(4).items() if k != "arm"}):
        assert not any("arm_" in name or "recovered" in name for name in numbers([records]))


def test_a_variant_that_helps_hidden_joints_more_is_told_by_the_interaction():
    """The estimand of an ablation: the difference of differences between two networks on the same scenes."""
    first = spoiled(arm_records(8))
    second = spoiled(arm_records(8), HIDDEN_MM | {"occluded": 25.0}, VISIBLE_MM | {"occluded": 10.0})
    tallies = []
    for records in (first, second):
        tallies.append(Tally())
        tallies[-1].add([(ESTIMAND, dict(occlusion_measures(records, SETTING))[ESTIMAND])], records["sequence"])
    found = differences([(tallies[0], tallies[1])])[ESTIMAND]
    assert found.value == pytest.approx(-4)


def hands(count: int, rng: np.random.Generator) -> np.ndarray:
    """Wrist-relative hands whose joints move together, in three ways."""
    ways = rng.normal(0, 0.02, (3, 2, 21, 3))
    joints = 0.05 + np.einsum("nk,khjc->nhjc", rng.normal(size=(count, 3)), ways)
    joints[:, :, WRIST] = 0
    return joints


def covariance_of(joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = joints.mean(0)
    flat = (joints - mean)[:, :, :WRIST].reshape(len(joints), 2, -1)
    return mean, np.einsum("nhi,nhj->hij", flat, flat) / len(joints)


def test_hidden_joints_follow_from_visible_ones_as_a_ridge_regression_says():
    joints = hands(400, np.random.default_rng(0))
    mean, covariance = covariance_of(joints)
    given = np.zeros((400, 2, 21), bool)
    given[:, :, 8:16] = True
    unseen = np.where(given[..., None], joints, np.nan_to_num(np.full(3, 1e3)))
    guess = completed(unseen, given, mean, covariance)
    flat = (joints - mean)[:, RIGHT].reshape(400, 63)
    known, ridge = flat[:, 24:48], 400 * 0.003**2 * np.eye(24)
    weights = np.linalg.solve(known.T @ known + ridge, known.T @ flat)
    np.testing.assert_allclose((guess - mean)[:, RIGHT].reshape(400, 63), known @ weights, atol=1e-9)
    error, of_mean = (
        np.linalg.norm(each - joints, axis=-1).mean() for each in (guess, np.broadcast_to(mean, joints.shape))
    )
    assert error < 0.15 * of_mean


def test_without_visible_joints_the_prior_is_the_mean_hand():
    joints = hands(50, np.random.default_rng(1))
    mean, covariance = covariance_of(joints)
    guess = completed(joints, np.zeros((50, 2, 21), bool), mean, covariance)
    np.testing.assert_allclose(guess, np.broadcast_to(mean, guess.shape))


def test_a_hand_that_never_occurs_has_the_others_mirrored_covariance():
    examples = [fake_example(3 * index) for index in range(4)]
    assert not any(example["joints_annotated"][LEFT].any() for example in examples)
    mean = np.random.default_rng(0).normal(0, 0.01, (2, 21, 3))
    covariance = hand_covariance(examples, mean)
    signs = np.tile([-1.0, 1, 1], WRIST)
    np.testing.assert_allclose(covariance[LEFT], signs[:, None] * covariance[RIGHT] * signs)
    relative = np.stack([example["joints_cam_m"][RIGHT] for example in examples]).astype(float)
    flat = (relative - relative[:, WRIST:] - mean[RIGHT])[:, :WRIST].reshape(4, -1)
    np.testing.assert_allclose(covariance[RIGHT], flat.T @ flat / 4, atol=1e-12)


def test_the_prior_is_kept_with_the_predictions(tmp_path):
    records = spoiled(arm_records(4))
    mean, covariance = covariance_of(hands(50, np.random.default_rng(2)))
    setting = dataclasses.replace(SETTING, mean_pose_rel_m=mean, pose_covariance_m2=covariance)
    save(tmp_path / "predictions.npz", [records], setting)
    again = numbers([load(tmp_path / "predictions.npz")[0]], load(tmp_path / "predictions.npz")[1])
    assert again == pytest.approx(numbers([records], setting))
    assert again["recovered_fraction/hand_prior"] != again["recovered_fraction/mean_pose"]
