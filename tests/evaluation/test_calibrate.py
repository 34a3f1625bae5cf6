"""Calibration: its error, its fit and its file, on answers whose truth is known."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure

from occrobnet_jax.drawing.reliability import _draw_reliability, _draw_risk_coverage, reliability_svg
from occrobnet_jax.evaluation.calibrate import ece, fit
from occrobnet_jax.evaluation.metrics.calibration import Answers, Reliability, answers
from occrobnet_jax.runs.calibration import Platt, apply, calibration_from, calibration_json
from occrobnet_jax.skeleton import VISIBILITY


def drawn(slope: float, offset: float, number: int = 20_000) -> Answers:
    """Answers of something whose true probability is that map of what it says."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, number)
    truth = 1 / (1 + np.exp(-(slope * logits + offset)))
    return Answers(1 / (1 + np.exp(-logits)), rng.uniform(size=number) < truth)


def test_ece_is_the_distance_between_what_is_said_and_what_is_so():
    reliability = Reliability()
    reliability.add(Answers(np.full(10, 0.9), np.arange(10) < 6))
    reliability.add(Answers(np.full(30, 0.1), np.arange(30) < 3))
    assert reliability.ece() == pytest.approx(0.25 * 0.3)
    said, so, share = reliability.points()
    np.testing.assert_allclose([said, so, share], [[0.1, 0.9], [0.1, 0.6], [0.75, 0.25]])


def test_risk_falls_with_coverage_where_confidence_tells_errors():
    reliability = Reliability()
    reliability.add(Answers(np.array([0.95, 0.8, 0.6, 0.3]), np.array([True, True, False, False])))
    coverage, risk = reliability.risk_coverage()
    steps = np.flatnonzero(np.diff(coverage, prepend=0))
    np.testing.assert_allclose(coverage[steps], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(risk[steps], [0, 0, 1 / 3, 1 / 2])
    assert reliability.area() == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)


def test_a_fit_finds_the_map_and_mends_the_error():
    given = drawn(0.5, -0.7)
    platt = fit(given)
    assert platt.slope == pytest.approx(0.5, abs=0.02)
    assert platt.offset == pytest.approx(-0.7, abs=0.03)
    assert ece(given) > 0.1
    assert ece(given, platt) < 0.01
    with pytest.raises(ValueError, match="all 3 answers are True: nothing can be fitted"):
        fit(Answers(np.full(3, 0.5), np.ones(3, bool)))


def test_answers_that_are_quite_sure_do_not_spoil_a_fit():
    given = drawn(0.5, -0.7)
    sure = Answers(np.repeat([0.0, 1.0], 20), np.tile([True, False], 20))
    platt = fit(Answers(*(np.concatenate(both) for both in zip(given, sure, strict=True))))
    assert platt.slope == pytest.approx(0.5, abs=0.05)
    assert platt.offset == pytest.approx(-0.7, abs=0.05)


def test_maps_keep_order_ends_and_what_is_missing():
    said = np.array([0.0, 0.2, 0.5, 0.9, 1.0, np.nan], np.float32)
    mapped = np.asarray(apply(Platt(0.4, 1.0), jnp.asarray(said)))
    assert (np.diff(mapped[:5]) > 0).all()
    assert np.isfinite(mapped[:5]).all()
    assert np.isnan(mapped[5])
    np.testing.assert_allclose(apply(Platt(1.0, 0.0), jnp.asarray(said[1:4])), said[1:4], rtol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["[", "[]", "3", '{"joints_px": {"slope": 1, "offset": 0}}', '{"joint_confidence": {"slope": 1}}']
    + ['{"joint_confidence": {"slope": -1, "offset": 0}}', '{"joint_confidence": {"slope": NaN, "offset": 0}}'],
)
def test_a_file_that_is_no_calibration_is_told(text):
    with pytest.raises(ValueError, match="the calibration can't be read"):
        calibration_from(text)


def test_a_file_of_maps_is_read_as_written():
    maps = {"joint_confidence": Platt(1.25, -0.5), "visibility_probability": Platt(0.5, 0.0)}
    assert calibration_from(calibration_json(maps)) == maps


def test_answers_are_of_what_has_labels():
    joints_px = np.random.default_rng(0).uniform(0, 100, (1, 2, 21, 2))
    size = np.ptp(joints_px[0, 0], axis=0).max()
    moved = joints_px.copy()
    moved[0, 0, 3, 0] += 0.25 * size
    visibility = np.zeros((1, 2, 21), np.int32)
    visibility[0, 0, :2] = VISIBILITY.index("visible"), VISIBILITY.index("object")
    in_crop = np.zeros((1, 2, 21), bool)
    in_crop[:, 0] = True
    records = {
        "joints_px": joints_px,
        "predicted_joints_px": moved,
        "joint_annotated": in_crop,
        "joint_in_crop": in_crop,
        "visibility": visibility,
        "hand_present": np.array([[True, False]]),
        "hand_present_known": np.array([True]),
        "predicted_joint_confidence": np.full((1, 2, 21), 0.7, np.float32),
        "predicted_hand_probability": np.array([[0.9, 0.2]], np.float32),
        "predicted_visibility_probability": np.full((1, 2, 21), 0.6, np.float32),
    }
    found = answers(records)
    assert found["joint_confidence"].is_so.tolist() == [joint != 3 for joint in range(21)]
    np.testing.assert_allclose(found["hand_probability"].probability, [0.9, 0.2], rtol=1e-6)
    assert found["hand_probability"].is_so.tolist() == [True, False]
    assert found["visibility_probability"].is_so.tolist() == [True, False]
    del records["predicted_joint_confidence"]
    records["predicted_visibility_probability"][:] = np.nan
    assert list(answers(records)) == ["hand_probability"]


def test_the_diagrams_are_drawn_and_nothing_where_nothing_is_said():
    assert reliability_svg([], None) == ""
    ends = np.array([0.2, 0.8])
    svg = reliability_svg([("hand", ends, ends, ends)], (ends, ends))
    assert svg.startswith("<svg")
    assert "hand" in svg
    assert "errors among the most confident joints" in svg


def test_a_diagram_has_what_is_said_across_and_what_is_so_upwards():
    said, so, share = np.array([0.2, 0.8]), np.array([0.1, 0.9]), np.array([0.3, 0.7])
    diagram, errors = Figure().subplots(1, 2)
    _draw_reliability(diagram, "hand", said, so, share)
    _draw_risk_coverage(errors, said, so)
    diagonal, curve = (line.get_xydata().tolist() for line in diagram.lines)
    assert diagonal == [[0, 0], [1, 1]]
    assert curve == errors.lines[0].get_xydata().tolist() == [[0.2, 0.1], [0.8, 0.9]]
    assert np.diff(diagram.collections[0].get_sizes()) > 0
