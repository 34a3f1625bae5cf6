import math

import numpy as np
import pytest

from occrobnet_jax.evaluation.formats import records as records_of
from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.metrics import compute_metrics, example_errors_mm
from occrobnet_jax.evaluation.metrics.visibility import area_under_roc
from occrobnet_jax.skeleton import INTERHAND, LEFT, RIGHT, VISIBILITY, WRIST
from tests.support.fake_records import SIZE_PX, perfect_records

SETTING = Setting(SIZE_PX)
INDEX_TIP = INTERHAND.index("index4")


@pytest.fixture
def records() -> Records:
    return perfect_records()


def shift(records: Records, meters: tuple[float, float, float], where: tuple) -> None:
    """Moves predicted joints, relative and absolute."""
    for name in ("predicted_joints_rel_m", "predicted_joints_cam_m"):
        records[name] = records[name].copy()
        records[name][where] += np.array(meters, np.float32)


def test_perfect_predictions_have_no_error(records: Records) -> None:
    metrics = compute_metrics([records], SETTING)
    for name, value in metrics.items():
        if "_mm" in name or "_px" in name or "_deg" in name:
            assert value == pytest.approx(0, abs=1e-3 if "deg" not in name else 0.1), name
    shares = (
        "handedness_accuracy",
        "token_recall",
        "token_precision",
        "hand_identity_accuracy",
        "visibility_accuracy",
        "pck_0.05",
    )
    for name in shares:
        assert metrics[name] == 1.0
    assert metrics["num_examples"] == 6
    assert metrics["num_joints"] == (1 + 1 + 2) * 2 * 20


def test_a_hand_of_even_chances_is_not_said_to_be_there(records: Records) -> None:
    records["predicted_hand_probability"] = np.where(records["hand_present"], 0.51, 0.5)
    assert compute_metrics([records], SETTING, seed=None)["handedness_accuracy"] == 1.0


def test_mpjpe_by_hand(records: Records) -> None:
    """One joint of 160 is 8 mm off: 0.05 mm over all, 8 / 40 over the two scenes of one hand, and so on."""
    shift(records, (0.008, 0, 0), (0, RIGHT, INDEX_TIP))
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm"] == pytest.approx(8 / 160, abs=1e-4)
    assert metrics["mpjpe_mm/index"] == pytest.approx(8 / 32, abs=1e-4)
    assert metrics["mpjpe_mm/right"] == pytest.approx(8 / 80, abs=1e-4)
    assert metrics["mpjpe_mm/left"] == pytest.approx(0, abs=1e-4)
    assert metrics["mpjpe_mm/one_hand"] == pytest.approx(8 / 40, abs=1e-4)  # examples 0 (right) and 4 (left)
    assert metrics["num_joints/one_hand"] == 40
    assert metrics["absolute_error_mm"] == pytest.approx(8 / 168, abs=1e-4)
    assert metrics["pa_mpjpe_mm"] > 0.01
    assert example_errors_mm(records)[0] == pytest.approx(8 / 20, abs=1e-4)


def exchanged(records: Records, rows: np.ndarray) -> Records:
    """Records in which the network takes the right hand for the left one and the left for the right, in some rows."""
    hands = records["predicted_joints_rel_m"].copy()
    hands[rows] = hands[rows, ::-1]
    return records | {"predicted_joints_rel_m": hands}


def test_exchanged_hands_have_no_error_after_the_better_assignment(records: Records) -> None:
    both = np.flatnonzero(records["joint_annotated"][:, :, :WRIST].any(2).all(1))
    metrics = compute_metrics([exchanged(records, both[:1])], SETTING)
    assert len(both) == 2
    assert metrics["mpjpe_mm/both_hands"] > 10
    assert metrics["mpjpe_mm/both_hands/best_assignment"] == pytest.approx(0, abs=1e-4)


def test_each_example_has_its_better_assignment_and_one_hand_alone_has_none(records: Records) -> None:
    both = records["joint_annotated"][:, :, :WRIST].any(2).all(1)
    shift(records, (0.008, 0, 0), np.s_[:, :, :WRIST])
    metrics = compute_metrics([exchanged(records, np.arange(6))], SETTING)
    assert metrics["mpjpe_mm/both_hands/best_assignment"] == pytest.approx(8, abs=1e-3)
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm/both_hands/best_assignment"] == pytest.approx(metrics["mpjpe_mm/both_hands"])
    alone = compute_metrics([records_of.select(records, ~both)], SETTING)
    assert "mpjpe_mm/one_hand" in alone
    assert not any("both_hands" in name for name in alone)


def test_pck_by_hand(records: Records) -> None:
    """One joint of the 8 hands is off by 0.15 of its hand's box, another one by 0.3."""
    joints_px = records["joints_px"][0, RIGHT].astype(np.float64)
    side_px = (joints_px.max(0) - joints_px.min(0)).max()
    records["predicted_joints_px"] = records["joints_px"].copy()
    records["predicted_joints_px"][0, RIGHT, 3, 0] += 0.15 * side_px
    records["predicted_joints_px"][0, RIGHT, 7, 1] -= 0.3 * side_px
    metrics, count = compute_metrics([records], SETTING), records["joint_in_crop"].sum()
    assert metrics["pck_0.05"] == metrics["pck_0.1"] == pytest.approx(1 - 2 / count)
    assert metrics["pck_0.2"] == pytest.approx(1 - 1 / count)


def test_pck_of_visible_and_of_occluded_joints(records: Records) -> None:
    """What is known to be hidden counts as occluded, whatever hides it; joints of which nothing is known as neither."""
    records["visibility"] = records["visibility"].copy()
    records["visibility"][:, :, :4] = VISIBILITY.index("something")
    records["visibility"][:, :, 4:8] = VISIBILITY.index("unknown")
    records["predicted_joints_px"] = records["joints_px"] + np.where(np.arange(21)[:, None] < 8, 1e3, 0.0)
    metrics = compute_metrics([records], SETTING)
    assert metrics["pck_0.15/visible"] == 1
    assert metrics["pck_0.15/occluded"] == 0
    share = records["joint_in_crop"][:, :, :8].sum() / records["joint_in_crop"].sum()
    assert metrics["pck_0.15"] == pytest.approx(1 - share)


def test_scenes_are_told_apart(records: Records) -> None:
    counts = {
        name: value for name, value in compute_metrics([records], SETTING).items() if name.startswith("num_joints/")
    }
    kinds = {
        kind: counts.get(f"num_joints/{kind}") for kind in ("one_hand", "hand_object", "two_hands", "two_hands_object")
    }
    # Hands of examples 0 to 5: right, left, both, right, left, both; objects in 1, 3 and 5.
    assert kinds == {"one_hand": 40, "hand_object": 40, "two_hands": 40, "two_hands_object": 40}


def test_root_is_forgiven_and_the_wrist_does_not_count(records: Records) -> None:
    shift(records, (0.1, 0.2, -0.3), np.s_[:, RIGHT])
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert metrics["absolute_error_mm"] > 100


def test_interhand_average_counts_wrists_as_zero(records: Records) -> None:
    shift(records, (0, 0.021, 0), np.s_[:, :, :WRIST])  # every joint but the wrists
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm"] == pytest.approx(21, abs=1e-3)
    assert metrics["mpjpe_mm/interhand_all_42"] == pytest.approx(20, abs=1e-3)


def test_interhand_average_tells_single_from_interacting_hands(records: Records) -> None:
    shift(records, (0, 0.021, 0), np.s_[[2, 5], :, :WRIST])  # the two examples of both hands
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm/interhand_single_42"] == pytest.approx(0, abs=1e-3)
    assert metrics["mpjpe_mm/interhand_interacting_42"] == pytest.approx(20, abs=1e-3)
    assert metrics["mpjpe_mm/interhand_all_42"] == pytest.approx(10, abs=1e-3)


def test_interhand_average_weighs_joints_not_samples(records: Records) -> None:
    """The index tip is annotated in one right hand only and still weighs as much as any other of the 42 joints."""
    rights = np.flatnonzero(records["hand_present"][:, RIGHT])
    records["joint_annotated"][rights[1:], RIGHT, INDEX_TIP] = False
    shift(records, (0.042, 0, 0), (rights[0], RIGHT, INDEX_TIP))
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm/interhand_all_42"] == pytest.approx(1.0, abs=1e-4)
    assert metrics["mpjpe_mm"] == pytest.approx(42 / (160 - len(rights) + 1), abs=1e-4)


def test_unannotated_joints_and_hands_without_wrist_do_not_count(records: Records) -> None:
    shift(records, (1.0, 0, 0), (0, RIGHT, INDEX_TIP))
    records["joint_annotated"][0, RIGHT, INDEX_TIP] = False
    assert compute_metrics([records], SETTING)["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    shift(records, (1.0, 0, 0), np.s_[1, LEFT, :WRIST])
    records["joint_annotated"][1, LEFT, WRIST] = False
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert metrics["mpjpe_mm/interhand_single_42"] == pytest.approx(0, abs=1e-3)


def test_missed_hands_still_count(records: Records) -> None:
    shift(records, (0.01, 0, 0), np.s_[:, :, :WRIST])
    records["predicted_hand_probability"] = 1 - records["predicted_hand_probability"]
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm"] == pytest.approx(10, abs=1e-3)
    assert metrics["handedness_accuracy"] == 0


def test_split_by_what_hides_a_joint(records: Records) -> None:
    records["visibility"][:] = VISIBILITY.index("visible")
    for finger, reason in (("thumb", "own_hand"), ("ring", "object"), ("middle", "other_hand"), ("pinky", "outside")):
        joints = [i for i, name in enumerate(INTERHAND) if name.startswith(finger)]
        records["visibility"][:, :, joints] = VISIBILITY.index(reason)
        shift(records, (0.001 * len(finger), 0, 0), np.s_[:, :, joints])
    metrics = compute_metrics([records], SETTING)
    assert metrics["mpjpe_mm/own_hand"] == pytest.approx(5, abs=1e-3)
    assert metrics["mpjpe_mm/object"] == pytest.approx(4, abs=1e-3)
    assert metrics["mpjpe_mm/other_hand"] == pytest.approx(6, abs=1e-3)
    assert metrics["mpjpe_mm/occluded"] == pytest.approx(5, abs=1e-3)
    assert metrics["mpjpe_mm/visible"] == pytest.approx(0, abs=1e-3)
    assert metrics["num_joints/occluded"] == 96
    records["visibility"][records["visibility"] == VISIBILITY.index("other_hand")] = VISIBILITY.index("unknown")
    metrics = compute_metrics([records], SETTING)
    assert "mpjpe_mm/other_hand" not in metrics
    assert "num_joints/other_hand" not in metrics


def test_mean_pose_is_scored_like_a_prediction(records: Records) -> None:
    records |= {
        "predicted_joints_rel_m": records["predicted_joints_rel_m"]
        + 0.01 * np.random.default_rng(0).normal(size=(6, 2, 21, 3))
    }
    guess = records["predicted_joints_rel_m"][0]
    metrics = compute_metrics([records], Setting(SIZE_PX, guess))
    always = records | {"predicted_joints_rel_m": np.broadcast_to(guess, (6, 2, 21, 3))}
    expected = compute_metrics([always], SETTING)
    for name in ("mpjpe_mm", "pa_mpjpe_mm"):
        assert metrics[f"{name}/mean_pose"] == pytest.approx(expected[name])
        assert metrics[f"{name}/mean_pose/thumb"] == pytest.approx(expected[f"{name}/thumb"])
        assert metrics[name] != pytest.approx(expected[name])


def test_relative_and_absolute_roots(records: Records) -> None:
    records["predicted_relative_translation_m"] = records["predicted_relative_translation_m"] + np.array(
        [0.003, 0, 0.004]
    )
    records["predicted_root_cam_m"] = records["predicted_root_cam_m"] + np.array([0, 0, 0.02])
    metrics = compute_metrics([records], SETTING)
    assert metrics["mrrpe_mm"] == pytest.approx(5, abs=1e-3)
    assert metrics["mrrpe_mm/from_absolute_roots"] == pytest.approx(0, abs=1e-3)
    assert metrics["root_error_mm"] == pytest.approx(20, abs=1e-3)
    assert metrics["root_depth_error_mm"] == pytest.approx(20, abs=1e-3)


def test_token_recall_by_hand(records: Records) -> None:
    """A radius of 3/128 of 64 px is 1.5 px; the wrist's token of example 0 leaves it, its thumb tip's is not valid."""
    records["predicted_keypoints_px"] = records["predicted_keypoints_px"].copy()
    records["predicted_keypoint_valid"] = records["predicted_keypoint_valid"].copy()
    single = perfect_records(1)
    for part in (records, single):
        part["joints_px"] = np.broadcast_to(
            6.0 * np.stack(np.meshgrid(range(7), range(6)), -1).reshape(2, 21, 2), (len(part["key"]), 2, 21, 2)
        ).copy()
        part["predicted_keypoints_px"][:, :42] = part["joints_px"].reshape(-1, 42, 2)
    single["joint_in_crop"][:] = [[True], [False]]
    single["predicted_keypoint_valid"][:, :21] = True
    assert compute_metrics([single], SETTING)["token_recall"] == 1
    single["predicted_keypoints_px"][0, INDEX_TIP] += (1.4, 0)
    assert compute_metrics([single], SETTING)["token_recall"] == 1
    single["predicted_keypoints_px"][0, WRIST] += (1.6, 0)
    single["predicted_keypoint_valid"][0, 0] = False
    metrics = compute_metrics([single], SETTING)
    assert metrics["token_recall"] == pytest.approx(19 / 21)
    assert metrics["token_precision"] == pytest.approx(19 / 20)
    assert metrics["token_recall/thumb"] == pytest.approx(3 / 4)
    assert metrics["tokens_per_image"] == 20
    single["predicted_keypoint_class"] = single["predicted_keypoint_class"] + np.where(np.arange(50) < 5, 21, 0)
    assert compute_metrics([single], SETTING)["hand_identity_accuracy"] == pytest.approx(15 / 19)


def test_precision_needs_complete_annotation(records: Records) -> None:
    for mask in ("joint_annotated", "joint_in_crop"):  # in 3D, and in 2D
        records[mask][:, :, INDEX_TIP] = False
    assert "token_precision" not in compute_metrics([records], SETTING)


def test_2d_error_is_that_of_joints_in_the_crop(records: Records) -> None:
    records["joint_in_crop"][0, RIGHT, :10] = False
    records["predicted_joints_px"] = records["predicted_joints_px"] + np.array([3.0, 4.0])
    records["predicted_joints_px"][0, RIGHT, :10] += 1000
    assert compute_metrics([records], SETTING)["error_2d_px"] == pytest.approx(5, abs=1e-3)


def test_visibility(records: Records) -> None:
    visibility = np.zeros_like(records["visibility"])
    visibility[0, 0, :5] = [1, 1, 1, 2, 4]
    probability = np.full(visibility.shape, 0.9)
    probability[0, 0, :5] = [0.9, 0.8, 0.3, 0.7, 0.1]
    records |= {"visibility": visibility, "predicted_visibility_probability": probability}
    metrics = compute_metrics([records], SETTING)
    assert metrics["visibility_accuracy"] == pytest.approx(3 / 5)
    assert metrics["visibility_auc"] == pytest.approx(5 / 6)


def test_area_under_roc_agrees_with_counting_pairs() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 10, 200) / 10, rng.random(200) < 0.3
    pairs = scores[positive][:, None] - scores[~positive]
    assert area_under_roc(scores[positive], scores[~positive]) == pytest.approx(
        ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    )


def test_what_has_no_label_or_no_head_is_left_out(records: Records) -> None:
    for name in ("joint_annotated", "joint_in_crop", "hand_present_known", "root_known", "object_known"):
        records[name] = np.zeros_like(records[name])
    records["visibility"][:] = 0
    metrics = compute_metrics([records], Setting(SIZE_PX, np.zeros((2, 21, 3))))
    assert set(metrics) == {"num_examples", "tokens_per_image"}
    for name in ("predicted_object_rotation", "predicted_object_translation_m", "predicted_visibility_probability"):
        records[name] = np.full_like(records[name], np.nan)
    metrics = compute_metrics(
        [perfect_records() | {name: records[name] for name in records if "predicted" in name}], SETTING
    )
    assert not any(name.startswith(("object", "visibility")) for name in metrics)
    assert all(math.isfinite(value) for value in metrics.values())


def test_divergence_is_an_error(records: Records) -> None:
    records["predicted_joints_rel_m"][3, 0, 0, 0] = np.nan
    with pytest.raises(FloatingPointError, match="first at row 3"):
        compute_metrics([records], SETTING)


def test_halves_together_are_the_whole_and_survive_the_file(records: Records, tmp_path) -> None:
    records["predicted_joints_rel_m"] = records["predicted_joints_rel_m"] + np.random.default_rng(0).normal(
        scale=0.01, size=(6, 2, 21, 3)
    )
    setting = Setting(SIZE_PX, np.random.default_rng(1).normal(scale=0.05, size=(2, 21, 3)))
    expected = compute_metrics([records], setting)
    halves = [records_of.select(records, rows) for rows in (slice(0, 3), slice(3, 6))]
    assert compute_metrics([records_of.concatenate(halves)], setting) == expected
    parts = [compute_metrics([half], setting) for half in halves]
    counts = [part["num_joints"] for part in parts]
    assert np.average([part["mpjpe_mm"] for part in parts], weights=counts) == pytest.approx(expected["mpjpe_mm"])
    records_file.save(tmp_path / "predictions.npz", [records], setting)
    file = records_file.open_records(tmp_path / "predictions.npz")
    assert compute_metrics(file.chunks(), file.setting) == expected


def test_other_files_are_refused(tmp_path) -> None:
    path = tmp_path / "predictions.npz"
    np.savez(path, joints_px=np.zeros(3))
    with pytest.raises(ValueError, match="lacks"):
        records_file.load(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="not a predictions file"):
        records_file.load(path)
