"""A second start takes what the first has traced, and only that."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from occrobnet_jax.parallel.mesh import MeshConfig, make_mesh
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.kept_programs import FOLDER
from occrobnet_jax.runs.state import TrainState, create_state, leaves_by_path, state_sha256
from occrobnet_jax.training import setup, step
from occrobnet_jax.training.blank_batch import blank_batch
from occrobnet_jax.training.kept_programs import can_be_kept, kept_step, kept_variables
from occrobnet_jax.training.metric_window import StepMetrics
from occrobnet_jax.training.setup import build
from occrobnet_jax.types import Batch
from tests.support.tiny import INPUT_SIZE_PX, LEAN_MODEL

pytestmark = pytest.mark.usefixtures("shallow_resnet18")

OPTIMIZER = optax.adam(0.1)


def seed_of(made: Experiment) -> np.ndarray:
    return np.array(made.seed).astype(np.int32)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / FOLDER
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What of a run has been traced, in its order."""
    names: list[str] = []

    def noted(module: Any, name: str) -> None:
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, **named: (names.append(name), function(*given, **named))[1])

    noted(setup, "initial_variables")
    noted(step, "_forward")
    return names


def experiment(**changes: Any) -> Experiment:
    tiny = Experiment(model=LEAN_MODEL, global_batch_size=2, compilation_cache_dir="")
    tiny = dataclasses.replace(tiny, data=dataclasses.replace(tiny.data, input_size_px=INPUT_SIZE_PX))
    return dataclasses.replace(tiny, **changes)


def lowered(run: setup.Run) -> str:
    return run.train_step.trace(run.carrier.carried(run.state), blank_batch(run.experiment)).lower().as_text()


def kept_run() -> setup.Run:
    return build(experiment(), jax.devices()[:1], keeps_programs=True)


def test_a_second_start_traces_nothing_and_has_the_first_ones_programs(folder, traced):
    first = kept_run()
    program = lowered(first)
    assert set(traced) == {"initial_variables", "_forward"}
    traced.clear()
    second = kept_run()
    assert lowered(second) == program
    assert traced == []
    assert leaves_by_path(second.state) == leaves_by_path(first.state)
    plain = build(experiment(), jax.devices()[:1])
    assert leaves_by_path(plain.state) == leaves_by_path(first.state)
    assert traced == ["initial_variables"]


def toy_state() -> TrainState:
    return create_state({"params": {"w": jnp.arange(3.0)}, "batch_stats": {}}, OPTIMIZER, average=False)


def toy_step(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
    gradient = {"w": state.params["w"] + batch.image.mean()}
    updates, opt_state = OPTIMIZER.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return TrainState(state.step + 1, params, {}, None, opt_state), StepMetrics.of({"loss": gradient["w"].sum()})


def test_a_kept_step_computes_what_the_step_does(folder):
    batch, expected = blank_batch(experiment()), toy_step(toy_state(), blank_batch(experiment()))
    for _ in range(2):  # traced, and kept
        after, metrics = jax.jit(kept_step(toy_step, experiment(), toy_state(), batch))(toy_state(), batch)
        assert state_sha256(after) == state_sha256(jax.jit(toy_step)(toy_state(), batch)[0])
        assert jax.tree.structure(after) == jax.tree.structure(expected[0])
        assert (metrics.names, int(after.step)) == (("loss",), 1)
        np.testing.assert_allclose(metrics.values, expected[1].values, rtol=1e-6)
    assert len(list(folder.iterdir())) == 1


def test_a_kept_step_gives_the_old_state_s_memory_to_the_new_one(folder):
    batch = blank_batch(experiment())
    for _ in range(2):
        state = toy_state()
        jax.jit(kept_step(toy_step, experiment(), state, batch), donate_argnums=0)(state, batch)
        assert state.params["w"].is_deleted()


@pytest.mark.parametrize(
    "changes",
    [{"total_steps": 3}, {"compute_dtype": "bfloat16"}, {"global_batch_size": 4}, {"seed": 1}],
    ids=["schedule", "type", "batch", "seed"],
)
def test_another_experiment_has_a_step_of_its_own(folder, changes):
    for made in (experiment(), experiment(**changes), experiment()):
        kept_step(toy_step, made, toy_state(), blank_batch(made))
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("seed", [7, 2**31 + 5, 2**40 + 1])
def test_seeds_share_the_program_that_draws_the_parameters_and_draw_their_own(folder, seed):
    def draw(seed: Any) -> dict[str, Any]:
        return {"params": {"w": jax.random.normal(jax.random.key(seed), (3,))}}

    drawn = []
    for made in (experiment(), experiment(seed=seed)):
        program = kept_variables(draw, made, seed_of(made))
        drawn.append(jax.jit(program)(seed_of(made))["params"]["w"])
        np.testing.assert_array_equal(drawn[-1], jax.jit(lambda made=made: draw(made.seed))()["params"]["w"])
    assert (drawn[0] != drawn[1]).all()
    assert len(list(folder.iterdir())) == 1


def test_only_programs_of_one_device_and_none_of_the_users_files_are_kept():
    one, two = (make_mesh(MeshConfig(), jax.devices()[:count]) for count in (1, 2))
    mano = dataclasses.replace(experiment(), model=dataclasses.replace(LEAN_MODEL, hand_model="mano"))
    assert can_be_kept(experiment(), one)
    assert not can_be_kept(experiment(), two)
    assert not can_be_kept(mano, one)


def test_without_a_folder_the_functions_stay_as_they_are(folder):
    jax.config.update("jax_compilation_cache_dir", None)
    assert kept_step(toy_step, experiment(), toy_state(), blank_batch(experiment())) is toy_step
    assert kept_variables(toy_state, experiment(), seed_of(experiment())) is toy_state
