"""Microbatches one after another give what the whole batch does at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.experiment import Experiment, LossConfig
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.state import TrainState, leaves_by_path
from occrobnet_jax.training import accumulation
from occrobnet_jax.training.setup import build
from occrobnet_jax.training.step import make_train_step
from occrobnet_jax.types import Batch
from tests.support.fake_batches import fake_batch
from tests.support.fake_runs import drawn_variables
from tests.support.tiny import INPUT_SIZE_PX, LEAN_MODEL

BATCH, STEPS = 32, 4


@pytest.fixture(scope="module")
def experiment(shallow_resnet18: None) -> Experiment:
    return Experiment(
        model=dataclasses.replace(LEAN_MODEL, batch_norm="all_frozen", ciet="off", dropout=0.0),
        data=DataConfig(input_size_px=INPUT_SIZE_PX),
        loss=LossConfig(normalise="valid"),
        global_batch_size=BATCH,
        teacher_forced_steps=1,
        teacher_fading_steps=9,
    )


@pytest.fixture(scope="module")
def batch(experiment: Experiment) -> Batch:
    """Examples of which the first quarter of each microbatch's neighbours teach less and less."""
    batch = fake_batch(experiment.model, INPUT_SIZE_PX, BATCH)
    labeled = jnp.arange(BATCH) % STEPS < 1 + jnp.arange(BATCH) // 8  # by microbatch 4, 3, 2 and 1 of each 4 x 8
    return batch.replace(
        joint_annotated=batch.joint_annotated & labeled[:, None, None],
        is_real=jnp.arange(BATCH) != 2,
        segmentation_known=batch.segmentation_known & labeled,
    )


def step_of(experiment: Experiment, batch: Batch) -> tuple[TrainState, dict]:
    """State and metrics after a step of gradient descent with rate 1: the change of a weight is its gradient."""
    descent = optax.sgd(1.0)
    variables = drawn_variables(experiment)
    state = TrainState(jnp.int32(5), averaged=None, opt_state=descent.init(variables["params"]), **variables)
    state, metrics = jax.jit(make_train_step(experiment, make_model(experiment), descent))(state, batch)
    return state, metrics.numbers()


@pytest.mark.long
def test_four_times_eight_is_thirty_two(experiment, batch):
    (at_once, whole), (in_parts, parts) = (
        step_of(dataclasses.replace(experiment, accumulation_steps=steps), batch) for steps in (1, STEPS)
    )
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        np.testing.assert_allclose(parts[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    before = leaves_by_path(drawn_variables(experiment)["params"])
    gradients = [
        {path: np.asarray(before[path] - leaf) for path, leaf in leaves_by_path(state.params).items()}
        for state in (at_once, in_parts)
    ]
    length = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients[0].values()))
    assert length > 0.1
    for path, gradient in gradients[0].items():
        np.testing.assert_allclose(gradients[1][path], gradient, rtol=1e-5, atol=1e-5 * length, err_msg=path)


def test_counts_are_those_of_the_whole_batch():
    """On a loss whose masks differ between microbatches: the mean of their means is another number."""
    x, mask = jnp.arange(8.0), jnp.array([1, 0, 1, 0, 1, 0, 1, 1.0])

    def loss_of(params, stats, inputs, key, counts):
        x, mask = inputs
        terms = {"term": (jnp.sum(params * x * mask), mask.sum())}
        count = terms["term"][1] if counts is None else counts["term"]
        return terms["term"][0] / count, accumulation.Outcome(terms, {"mean": x.mean()}, stats + 1)

    run = [
        accumulation.gradient_and_outcome(
            loss_of, jnp.float32(2.0), jnp.float32(0.0), (x, mask), jax.random.key(0), steps
        )
        for steps in (1, 2)
    ]
    assert float(run[1][0]) == pytest.approx(float((x * mask).sum() / mask.sum()))
    assert float(run[0][0]) == pytest.approx(float(run[1][0]))
    for part in ("terms", "activity"):
        whole, parts = (jax.tree.map(float, getattr(outcome, part)) for _, outcome in run)
        assert parts == pytest.approx(whole) if part == "activity" else parts == whole
    assert [float(outcome.batch_stats) for _, outcome in run] == [1, 2]


def test_each_microbatch_has_a_key_of_its_own():
    seen = []

    def loss_of(params, stats, inputs, key, counts):
        drawn = jax.random.uniform(key)
        return params * inputs.sum(), accumulation.Outcome({"drawn": (drawn**2, jnp.ones(()))}, {"drawn": drawn}, stats)

    for steps in (2, 4):
        _, outcome = accumulation.gradient_and_outcome(
            loss_of, jnp.ones(()), jnp.zeros(()), jnp.ones(8), jax.random.key(1), steps
        )
        mean_square, mean = float(outcome.terms["drawn"][0]) / steps, float(outcome.activity["drawn"])
        seen.append(mean_square - mean**2)
    assert min(seen) > 1e-4  # a spread, so not all the same


def test_microbatches_are_strided_so_that_devices_keep_their_examples():
    parts = accumulation.split({"x": jnp.arange(12).reshape(12, 1)}, 3)["x"]
    assert parts.shape == (3, 4, 1)
    np.testing.assert_array_equal(parts[:, :, 0], np.arange(12).reshape(4, 3).T)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"multiple of the 8 devices x accumulation_steps=4; try 64"):
        build(Experiment(global_batch_size=48, accumulation_steps=4))
    with pytest.raises(ValueError, match=r"accumulation_steps=0 must be at least 1"):
        experiment_from({"accumulation_steps": 0})
