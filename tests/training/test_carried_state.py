"""What the loop of `train.py` carries from step to step."""

import re
from typing import Any

import jax
import numpy as np
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.parallel.mesh import MeshConfig
from occrobnet_jax.runs.experiment import Experiment, OptimizerConfig
from occrobnet_jax.runs.state import state_sha256
from occrobnet_jax.training import setup
from occrobnet_jax.training.blank_batch import blank_batch
from occrobnet_jax.training.setup import Run, build
from occrobnet_jax.training.step import TrainStep, compile_for
from tests.faults.stand_in import StandIn, train_step_of

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"optimizer": OptimizerConfig(average_decay=0.0)},
    "averaged weights": {"optimizer": OptimizerConfig(average_decay=0.9)},
    "muon": {"optimizer": OptimizerConfig(preconditioner="muon")},
    "fsdp": {"mesh": MeshConfig(fsdp=4, fsdp_min_elements=64)},
}
NAMES_OF_RESULTS = re.compile(r'jax\.result_info = "[^"]*"')


@pytest.fixture(params=KINDS)
def run_and_step(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, TrainStep]:
    """A small network's run, and the pure step that it is built around."""
    steps: list[TrainStep] = []

    def remembered(*arguments: Any) -> TrainStep:
        steps.append(train_step_of(*arguments))
        return steps[-1]

    monkeypatch.setattr(setup, "make_model", lambda experiment: StandIn())
    monkeypatch.setattr(setup, "make_train_step", remembered)
    run = build(Experiment(data=DataConfig(input_size_px=32), global_batch_size=8, **KINDS[request.param]))
    return run, steps[0]


def test_a_state_comes_back_with_the_same_arrays(run_and_step):
    run, _ = run_and_step
    state = run.create_state()
    back = run.carrier.state(run.carrier.carried(state))
    assert jax.tree.structure(back) == jax.tree.structure(state)
    assert all(jax.tree.leaves(jax.tree.map(lambda before, after: before is after, state, back)))


def test_states_of_another_structure_are_not_carried(run_and_step):
    run, _ = run_and_step
    with pytest.raises(ValueError, match=r"expected keys.*BatchNorm_0.*another"):
        run.carrier.carried(run.state.replace(batch_stats={"another": {}}))


def test_the_carried_step_is_the_program_that_takes_and_returns_the_state(run_and_step):
    """With the same layouts and donations; and its results are the same to the last bit."""
    run, step = run_and_step
    plain = compile_for(run.mesh, step, jax.tree.map(lambda leaf: leaf.sharding, run.state))
    batch = blank_batch(run.experiment)
    programs = [plain.trace(run.state, batch), run.train_step.trace(run.carrier.carried(run.state), batch)]
    texts = [NAMES_OF_RESULTS.sub("", program.lower().as_text()) for program in programs]
    assert "tf.aliasing_output" in texts[0] or "jax.buffer_donor" in texts[0]
    assert texts[0] == texts[1]

    state, carried = run.create_state(), run.carrier.carried(run.create_state())
    for _ in range(2):
        state, metrics = plain(state, batch)
        carried, carried_metrics = run.train_step(carried, batch)
    assert state_sha256(run.carrier.state(carried)) == state_sha256(state)
    assert np.array_equal(carried_metrics.values, metrics.values)


def test_the_loops_step_takes_a_flat_list(run_and_step):
    """Walking through nested dictionaries costs the host a third of a step's share."""
    run, _ = run_and_step
    assert jax.tree.structure(run.carrier.carried(run.state)) == jax.tree.structure(
        [0] * len(jax.tree.leaves(run.state))
    )
