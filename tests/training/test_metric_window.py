import time

import jax.numpy as jnp
import pytest

from occrobnet_jax.training.metric_window import MetricWindow, StepMetrics, check_finite


def test_a_window_averages_its_steps_and_begins_anew():
    window = MetricWindow(global_batch_size=4)
    for step, loss in ((1, 2.0), (2, 4.0), (3, 9.0)):
        window.add(step, StepMetrics.of({"loss": jnp.float32(loss)}))
    assert len(window) == 3
    assert window.read()["loss"] == 5.0
    assert len(window) == 0
    window.add(4, StepMetrics.of({"loss": jnp.float32(1.0)}))
    assert window.read()["loss"] == 1.0


def test_the_speed_leaves_out_the_first_step_and_what_restarts_the_clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    window = MetricWindow(global_batch_size=6)

    def take_step(step: int, waits_s: float, works_s: float) -> None:
        with window.waiting():
            now[0] += waits_s
        now[0] += works_s
        window.add(step, StepMetrics.of({"loss": jnp.float32(1.0)}))

    take_step(1, 3.0, 50.0)  # compilation
    take_step(2, 0.5, 1.5)
    take_step(3, 0.5, 1.5)
    read = window.read()
    assert read["images_per_s"] == pytest.approx(3.0)
    assert read["step_time_s"] == pytest.approx(2.0)
    assert "mfu_share" not in read
    assert read["data_wait_share"] == pytest.approx(0.25)
    now[0] += 1000  # an evaluation
    window.restart_clock()
    take_step(4, 0.0, 3.0)
    read = window.read()
    assert (read["images_per_s"], read["data_wait_share"]) == pytest.approx((2.0, 0.0))


def test_utilization_is_the_time_at_the_peak_over_the_time_taken(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    window = MetricWindow(global_batch_size=6, step_at_peak_s=0.5)
    for step in (1, 2, 3):
        now[0] += 2.0
        window.add(step, StepMetrics.of({"loss": jnp.float32(1.0)}))
    assert window.read()["mfu_share"] == pytest.approx(0.25)


def test_the_first_bad_step_is_named_with_what_is_bad_in_it():
    window = MetricWindow(global_batch_size=4)
    good = {"loss": 1.0, "loss/heatmap": 1.0, "gradient_norm": 1.0, "gradient_norm/neck": 1.0}
    bad = good | {"loss": float("nan"), "loss/heatmap": float("nan")}
    for step, metrics in ((5, good), (6, bad), (7, bad | {"gradient_norm/neck": float("inf")})):
        window.add(step, StepMetrics.of({name: jnp.float32(value) for name, value in metrics.items()}))
    with pytest.raises(FloatingPointError, match="step 6: loss/heatmap not finite"):
        window.read()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["loss", "loss/heatmap", "gradient_norm", "gradient_norm/backbone"])
def test_losses_and_gradients_must_be_finite(name, value):
    check_finite(3, {name: 1.0, "keypoints_per_image": float("nan")})
    with pytest.raises(FloatingPointError, match=f"step 3: {name} not finite"):
        check_finite(3, {name: value})
