import contextlib

import jax
import jax.numpy as jnp
import pytest

from occrobnet_jax.training.profiler import profiled, steps_to_profile


@pytest.mark.parametrize("text", ["5", "5:", "0:3", "7:5", "a:b", "-1:3", "3:21", "1:2:3", "٣:5"])
def test_ranges_that_make_no_sense_are_refused_with_an_example(text):
    with pytest.raises(ValueError, match=f"--profile_steps={text} must be FIRST:LAST, .* which is 20, .*=10:14"):
        steps_to_profile(text, 20)


def test_more_steps_than_a_viewer_can_show_are_refused():
    assert len(steps_to_profile("1:100", 1000)) == 100
    with pytest.raises(ValueError, match="100 of them at most"):
        steps_to_profile("1:101", 1000)


def test_a_range_has_both_of_its_ends():
    assert list(steps_to_profile("3:5", 20)) == [3, 4, 5]
    assert not steps_to_profile("", 20)


@pytest.fixture
def traced(monkeypatch) -> list[str]:
    """What happens, in order."""
    events: list[str] = []

    @contextlib.contextmanager
    def trace(folder):
        events.append("start")
        yield
        events.append("stop")

    monkeypatch.setattr("jax.profiler.trace", trace)
    return events


def take(events: list[str], steps: range, start: int, end: int, folder) -> None:
    def step(state, batch):
        events.append(str(state + 1))
        return state + 1, None

    with profiled(step, steps, start, folder) as train_step:
        state = start
        while state < end:
            state, _ = train_step(state, None)


def test_the_trace_is_around_the_steps(traced, tmp_path):
    take(traced, range(3, 5), 0, 6, tmp_path)
    assert traced == ["1", "2", "start", "3", "4", "stop", "5", "6"]


def test_a_resumed_run_traces_what_is_left_and_nothing_that_is_over(traced, tmp_path):
    take(traced, range(3, 6), 3, 6, tmp_path)
    assert traced == ["start", "4", "5", "stop", "6"]
    traced.clear()
    take(traced, range(1, 3), 3, 5, tmp_path)
    assert traced == ["4", "5"]


def test_a_run_that_ends_within_the_steps_keeps_its_trace(traced, tmp_path):
    take(traced, range(2, 9), 0, 3, tmp_path)
    assert traced == ["1", "start", "2", "3", "stop"]


def test_without_steps_the_training_step_is_as_it_was(tmp_path):
    with profiled(len, range(0), 0, tmp_path) as train_step:  # type: ignore[arg-type]
        assert train_step is len


def test_jax_writes_the_trace_into_the_folder(tmp_path):
    step = jax.jit(lambda state, batch: (state + 1, jnp.sin(batch).sum()))
    with profiled(step, range(2, 3), 0, tmp_path / "host_0") as train_step:
        train_step(*train_step(jnp.zeros(()), jnp.ones(8)))
    assert list((tmp_path / "host_0").rglob("*.xplane.pb"))
