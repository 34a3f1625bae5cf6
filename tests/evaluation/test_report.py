"""The report's tables: names, digits and bars, on numbers made up for them."""

from occrobnet_jax.evaluation.metrics.metrics import HIGH, LOW
from occrobnet_jax.evaluation.report import _figure, _sections

METRICS = {
    "num_joints": 12_345,
    "mpjpe_mm": 20.04,
    "mpjpe_mm/mean_pose": 30.06,
    "pa_mpjpe_mm": 9.96,
    "error_2d_px": 3.25,
    "token_recall": 0.5126,
    "mpjpe_mm/object": 40.08,
    "num_joints/object": 7,
    "mpjpe_mm/two_hands_object": 10.02,
}


def test_each_row_has_its_name_its_digits_and_a_bar_beside_the_longest():
    assert _sections(METRICS) == [
        {
            "title": "",
            "rows": [
                {"name": "all joints", "cells": ["12,345", "20.0", "30.1", "10.0", "3.2", "0.513"], "share": 50.0},
            ],
        },
        {
            "title": "what hides the joint",
            "rows": [{"name": "hidden by the object", "cells": ["7", "40.1", "", "", "", ""], "share": 100.0}],
        },
        {
            "title": "scene",
            "rows": [{"name": "two hands and object", "cells": ["", "10.0", "", "", "", ""], "share": 25.0}],
        },
    ]


def test_a_table_without_errors_has_no_bars_and_one_without_numbers_no_rows():
    assert _sections({"mpjpe_mm": 0.0})[0]["rows"][0]["share"] == 0.0
    assert _sections({}) == []


def test_a_figure_stands_with_its_interval_where_there_is_one():
    metrics = {"mpjpe_mm": 20.1234, f"mpjpe_mm{LOW}": 19.5, f"mpjpe_mm{HIGH}": 1234.5, "num_joints": 42}
    assert _figure(metrics, "mpjpe_mm") == "20.12 [19.5, 1,234]"
    assert _figure(metrics, "num_joints") == "42"
