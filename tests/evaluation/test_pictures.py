"""Pictures of an evaluation: what is predicted without error is drawn as the truth is."""

import dataclasses

import numpy as np
import pytest

from occrobnet_jax.drawing.overlay import class_color, enlarged
from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.pictures import PANEL_PX, _predicted_figure, _true_figure, caption, panels, scene
from tests.support.fake_records import SIZE_PX, perfect_records

FACTOR = PANEL_PX // SIZE_PX
CROP = np.full((SIZE_PX, SIZE_PX, 3), 90, np.uint8)


@pytest.fixture(scope="module")
def records() -> Records:
    """Right, left and both hands, each with an object and without, whose joints are hidden by all that can hide one."""
    perfect = perfect_records(6)
    visibility = np.random.default_rng(0).integers(1, 5, perfect["visibility"].shape)
    return perfect | {
        "visibility": visibility,
        "predicted_visibility_probability": (visibility == 1).astype(np.float32),
    }


@pytest.mark.parametrize("row", range(6))
def test_a_perfect_prediction_is_the_true_figure(records: Records, row: int) -> None:
    true, predicted = (dataclasses.asdict(make(records, row)) for make in (_true_figure, _predicted_figure))
    np.testing.assert_array_equal(predicted["shown"], true["shown"])
    for name in ("joints_px", "hidden"):
        np.testing.assert_allclose(predicted[name][true["shown"]], true[name][true["shown"]])
    assert (true["corners_px"] is None) == (not records["object_known"][row])
    if true["corners_px"] is not None:
        np.testing.assert_allclose(predicted["corners_px"], true["corners_px"], atol=1e-3)


@pytest.mark.parametrize("row", range(6))
def test_a_perfect_prediction_is_the_true_scene(records: Records, row: int) -> None:
    predicted, true = scene(records, row)
    assert [(group["name"], group["dashed"]) for group in (predicted, true)] == [("prediction", False), ("truth", True)]
    assert [line[-1] for line in predicted["lines"]] == [line[-1] for line in true["lines"]]
    np.testing.assert_allclose(
        [line[:-1] for line in predicted["lines"]], [line[:-1] for line in true["lines"]], atol=0.11
    )


def test_a_joint_known_in_the_photo_only_is_drawn_and_one_that_is_unknown_is_not(records: Records) -> None:
    annotated, in_crop = records["joint_annotated"].copy(), records["joint_in_crop"].copy()
    annotated[2, 0, 3:5], in_crop[2, 0, 3:5] = False, [True, False]
    shown = _true_figure(records | {"joint_annotated": annotated, "joint_in_crop": in_crop}, 2).shown
    assert np.argwhere(~shown).tolist() == [[0, 4]]


def test_an_object_is_drawn_where_truth_and_prediction_have_one(records: Records) -> None:
    unknown = records | {"object_known": np.zeros(6, bool)}
    unpredicted = records | {"predicted_object_translation_m": np.full((6, 3), np.nan, np.float32)}
    assert _predicted_figure(unknown, 1).corners_px is None
    assert _predicted_figure(unpredicted, 1).corners_px is None
    assert _true_figure(unpredicted, 1).corners_px is not None
    assert len(scene(unpredicted, 1)[0]["lines"]) < len(scene(unpredicted, 1)[1]["lines"])


def test_keypoints_stand_in_the_first_panel_as_far_as_they_are_valid(records: Records) -> None:
    one = np.zeros_like(records["predicted_keypoint_valid"])
    one[1, 30] = True
    place = np.array([20.0, 40.0])
    keypoints = records["predicted_keypoints_px"].copy()
    keypoints[1, 30] = place
    said = records | {"predicted_keypoint_valid": one, "predicted_keypoints_px": keypoints}
    first = panels(CROP, said, 1)[:, : FACTOR * SIZE_PX]
    changed = np.argwhere((first != enlarged(CROP, FACTOR)).any(-1))[:, ::-1]
    np.testing.assert_allclose(changed.mean(0), FACTOR * (place + 0.5) - 0.5, atol=0.6)
    x, y = changed.mean(0).round().astype(int)
    assert tuple(first[y, x]) == class_color(int(said["predicted_keypoint_class"][1, 30]))


def test_a_caption_has_key_error_and_hands(records: Records) -> None:
    rel_m = records["predicted_joints_rel_m"].copy()
    rel_m[1, :, :20, 0] += 0.0123
    said = records | {"predicted_joints_rel_m": rel_m, "predicted_hand_probability": np.full((6, 2), [0.25, 0.875])}
    assert caption(said, 1) == f"{records['key'][1].decode()}: MPJPE 12.3 mm, right hand 0.25, left hand 0.88"
