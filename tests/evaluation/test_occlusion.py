import json

import pytest

from occrobnet_jax.evaluation.formats.records import Setting
from occrobnet_jax.evaluation.metrics.metrics import compute_metrics
from occrobnet_jax.evaluation.occlusion import main
from occrobnet_jax.evaluation.report import AREA_CURVES, HIDDEN_AREA, _by_area, _sections
from tests.support.fake_records import SIZE_PX, arm_records, perfect_records, spoiled

PA_AND_MRRPE = (
    *(f"pa_mpjpe_mm/occluded_minus_free/{part}" for part in ("hidden", "visible")),
    "mrrpe_mm/occluded_minus_free",
)


def numbers(records):
    return compute_metrics([records], Setting(SIZE_PX), seed=None)


def test_the_tables_hold_each_number_of_metrics_json(tmp_path, capsys):
    metrics = numbers(spoiled(arm_records(8)))
    metrics |= {"mpjpe_mm/occluded_minus_free/hidden/ci95_low": 17.0, "recovered_fraction/hand_prior": 0.25}
    metrics |= {"mpjpe_mm/occluded_minus_free/hidden/ci95_high": 19.5}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert main([str(tmp_path)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "occluded 30.00 11.00" in lines
    assert "occluded 18.00 [17.00, 19.50] 1.00 17.00" in lines
    assert "hand_prior 0.25 -" in lines
    figures = [f"{metrics[name]:.2f}" for name in PA_AND_MRRPE]
    assert f"occluded minus free {' '.join(figures)}" in lines
    assert any(line.startswith("10 to 20 %") and line.endswith("30.00 12.00") for line in lines)


def test_metrics_of_other_data_are_refused_in_a_sentence(tmp_path, capsys):
    (tmp_path / "metrics.json").write_text(json.dumps(numbers(perfect_records(4))))
    assert main([str(tmp_path)]) == 1
    assert "without matched arms; evaluate on synthetic_occlusion" in capsys.readouterr().err


def test_the_report_has_the_curve_against_hidden_area_and_a_row_of_each_arm():
    metrics = numbers(spoiled(arm_records(8)))
    curve = [line for line in _by_area(metrics) if len(line) > 1]
    assert [line[HIDDEN_AREA] for line in curve] == [15, 35, 55, 75]
    assert {name for panel in AREA_CURVES for name in panel.names} == curve[0].keys() - {HIDDEN_AREA}
    assert curve[0]["hidden, behind the occluder"] > curve[0]["hidden, without it"] == pytest.approx(12)
    (section,) = (each for each in _sections(metrics) if each["title"] == "joints behind the occluder")
    assert [row["name"] for row in section["rows"]][2] == "without the occluder"
