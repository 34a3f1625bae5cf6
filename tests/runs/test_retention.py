from types import SimpleNamespace

import pytest

from occrobnet_jax.runs.retention import Retention

METRICS = {3: {"mpjpe_mm": 20.0}, 6: {"mpjpe_mm": 9.0}, 9: {"mpjpe_mm": 11.0}, 12: {"auc": 0.5}}
STEPS = [1, 3, 6, 8, 9, 12]


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({}, {9, 12}),
        ({"every_steps": 4}, {8, 9, 12}),
        ({"best": "mpjpe_mm"}, {6, 9, 12}),
        ({"best": "mpjpe_mm", "best_is": "highest"}, {3, 9, 12}),
        ({"best": "auc"}, {9, 12}),
        ({"best": "never_measured"}, {9, 12}),
        ({"best": "mpjpe_mm", "every_steps": 1}, set(STEPS)),
    ],
)
def test_the_newest_the_periodic_and_the_best_stay(rule, kept):
    retention = Retention(2, metrics_of=lambda step: METRICS.get(step, {}), **rule)
    assert retention.kept(STEPS) == kept
    answer = retention.should_preserve([SimpleNamespace(step=step) for step in STEPS], context=None)
    assert {step for step, stays in zip(STEPS, answer, strict=True) if stays} == kept
