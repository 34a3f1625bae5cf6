"""The same training on one device and on eight, laid out in three ways."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from input_pipeline.config import DataConfig
from input_pipeline.pipeline import train_batches
from occrobnet_jax.parallel.fsdp import gather_over
from occrobnet_jax.parallel.mesh import MeshConfig, make_mesh, place_batch, state_sharding
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.state import TrainState
from occrobnet_jax.training.setup import build
from occrobnet_jax.training.step import compile_for, make_train_step
from occrobnet_jax.types import Batch, Keypoints
from tests.support.fake_datasets import write_fake_dataset
from tests.support.fake_runs import drawn_variables
from tests.support.tiny import INPUT_SIZE_PX, LEAN_MODEL
from tools.tpu.collectives import Collective, collectives, on_activations

EACH = ["mixed", *(pytest.param(name, marks=pytest.mark.long) for name in ("data", "fsdp"))]
STEPS = 5
ALONE = MeshConfig(1, 1)
TOPOLOGIES = {"data": MeshConfig(8, 1), "fsdp": MeshConfig(1, 8, 64), "mixed": MeshConfig(4, 2, 64)}


class Outcome(NamedTuple):
    losses: list[float]
    heatmap: np.ndarray
    keypoints: list[set[tuple[float, ...]]]
    collectives: list[Collective]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, shallow_resnet18: None) -> Experiment:
    data_dir = write_fake_dataset(tmp_path_factory.mktemp("data"), 16, INPUT_SIZE_PX)
    return Experiment(
        model=LEAN_MODEL,
        data=DataConfig(data_dir=str(data_dir), input_size_px=INPUT_SIZE_PX),
        global_batch_size=8,
        teacher_forced_steps=STEPS,
        total_steps=STEPS,
    )


@pytest.fixture(scope="module")
def outcomes(experiment: Experiment) -> Callable[[str], Outcome]:
    """What some steps on one batch come to on each topology; traced once, compiled for each.

    The optimiser is gradient descent: Adam turns the rounding errors of gradients that should be zero into steps.
    """
    batches = train_batches(experiment.data, heatmap_stride=4, global_batch_size=8, seed=0)
    batch = Batch.of(next(batches))
    batches.close()  # type: ignore[attr-defined]
    model = make_model(experiment)
    descent = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.01))
    variables = drawn_variables(experiment)
    first = jax.device_get(
        TrainState(jnp.int32(0), averaged=None, opt_state=descent.init(variables["params"]), **variables)
    )

    @jax.jit
    def look(variables: dict[str, Any], image: jax.Array) -> tuple[jax.Array, Keypoints]:
        predictions = model.apply(variables, image, train=False)
        return predictions.heatmap, predictions.keypoints

    def outcome(config: MeshConfig, devices: list[jax.Device]) -> Outcome:
        mesh = make_mesh(config, devices)
        layout = state_sharding(first, mesh, config.fsdp_min_elements)
        state, losses = jax.device_put(first, layout), []
        step = make_train_step(experiment, model, descent, gather_over(mesh, layout.params, jnp.float32))
        train_step = compile_for(mesh, step, layout)
        program = train_step.trace(state, batch).lower().compile().as_text()
        for _ in range(STEPS):
            state, metrics = train_step(state, batch)
            losses.append(metrics.numbers()["loss"])
        heatmap, keypoints = look(state.variables, place_batch(batch.image, mesh))
        return Outcome(losses, np.asarray(heatmap), keypoint_sets(keypoints), collectives(program))

    @functools.cache
    def of(name: str) -> Outcome:
        return outcome(ALONE, jax.devices()[:1]) if name == "alone" else outcome(TOPOLOGIES[name], jax.devices())

    return of


def keypoint_sets(keypoints: Keypoints) -> list[set[tuple[float, ...]]]:
    """Locations and kinds of each image's keypoints."""
    xy, valid, is_object = (np.asarray(part) for part in (keypoints.xy_hm, keypoints.valid, keypoints.is_object))
    return [{(*map(float, xy[i, t]), float(is_object[i, t])) for t in np.flatnonzero(valid[i])} for i in range(len(xy))]


@pytest.mark.parametrize("name", EACH)
def test_losses_agree_with_those_of_one_device(outcomes, name):
    np.testing.assert_allclose(outcomes(name).losses, outcomes("alone").losses, rtol=1e-5)
    assert outcomes("alone").losses[-1] < 0.999 * outcomes("alone").losses[0]  # there was something to agree on


@pytest.mark.parametrize("name", EACH)
def test_detected_keypoints_are_the_same_sets(outcomes, name):
    assert outcomes(name).keypoints == outcomes("alone").keypoints
    assert min(len(found) for found in outcomes(name).keypoints) >= 8
    np.testing.assert_allclose(outcomes(name).heatmap, outcomes("alone").heatmap, atol=0.01)  # of 255


@pytest.mark.long
def test_data_parallelism_sends_gradients_and_statistics_only(outcomes, experiment):
    params = drawn_variables(experiment)["params"]
    found, size = outcomes("data").collectives, sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert {one.kind for one in found} == {"all-reduce"}
    assert on_activations(found, params) == []
    assert size <= sum(one.num_bytes for one in found) <= 1.1 * size
    assert outcomes("alone").collectives == []


@pytest.mark.parametrize("name", [EACH[0], EACH[2]])
def test_fsdp_gathers_parameters_and_no_activation(outcomes, experiment, name):
    found = outcomes(name).collectives
    assert "all-gather" in {one.kind for one in found}
    assert on_activations(found, drawn_variables(experiment)["params"]) == []


@pytest.fixture(scope="module")
def papers_state() -> TrainState:
    """Shapes of the paper's network and its optimiser, laid out by `build` for fsdp with the default threshold."""
    return build(Experiment(mesh=default_threshold("fsdp"))).state


def default_threshold(name: str) -> MeshConfig:
    return dataclasses.replace(TOPOLOGIES[name], fsdp_min_elements=MeshConfig().fsdp_min_elements)


@pytest.mark.parametrize(("name", "parts"), [("data", 1), ("fsdp", 8), ("mixed", 2)])
def test_fsdp_divides_the_memory_of_parameters_and_optimizer(papers_state, name, parts):
    config = default_threshold(name)
    layout = state_sharding(papers_state, make_mesh(config, jax.devices()), config.fsdp_min_elements)
    shapes = [(leaf.shape, one.shard_shape(leaf.shape)) for leaf, one in leaves_with(papers_state, layout)]
    whole, per_device = (sum(math.prod(pair[i]) for pair in shapes) for i in (0, 1))
    assert whole / parts <= per_device < 1.1 * whole / parts
    if name == "fsdp":
        assert all(leaf.sharding == one for leaf, one in leaves_with(papers_state, layout))


def leaves_with(state: TrainState, layout: TrainState) -> list[tuple[Any, Any]]:
    return list(zip(jax.tree.leaves(state), jax.tree.leaves(layout), strict=True))
