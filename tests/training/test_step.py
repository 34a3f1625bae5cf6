"""What a step hands to the network; what comes of steps is compared in test_topologies.py and test_train.py."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.models.ops.products import row_products
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.state import leaves_by_path
from occrobnet_jax.training.setup import build
from occrobnet_jax.training.step import _draw_forced, _forward, _norms
from tests.support.tiny import INPUT_SIZE_PX, LEAN_MODEL

pytestmark = pytest.mark.usefixtures("shallow_resnet18")

EXPERIMENT = Experiment(
    model=LEAN_MODEL,
    data=DataConfig(input_size_px=INPUT_SIZE_PX),
    teacher_forced_steps=3,
    compute_dtype="bfloat16",
    seed=7,
)


def handed_to_the_network(step: int, experiment: Experiment = EXPERIMENT) -> dict[str, Any]:
    """The keywords that the network is called with at a step, counted from 0."""
    seen: dict[str, Any] = {}

    def apply(variables: dict[str, Any], image: object, **keywords: Any) -> tuple[Any, dict[str, Any]]:
        seen.update(keywords)
        return "predictions", {"batch_stats": {}}

    model: Any = SimpleNamespace(apply=apply)
    batch: Any = SimpleNamespace(image=np.zeros((1000, 1, 1, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("occrobnet_jax.training.step.teacher_keypoints", lambda batch, config: "true keypoints")
        # Past the type checks, which know the stand-ins for what they are.
        draw, forward = (getattr(function, "__wrapped__", function) for function in (_draw_forced, _forward))
        key = jax.random.fold_in(jax.random.key(experiment.seed), step)
        inputs: Any = SimpleNamespace(batch=batch, use_forced=draw(experiment, jnp.int32(step), key, 1000))
        forward(experiment, model, {}, {}, inputs, key)
    return seen


def test_the_network_is_traced_with_the_chosen_gradient_sums():
    def products_own_gradient(experiment: Experiment) -> bool:
        found: list[bool] = []

        def apply(variables: dict[str, Any], image: object, **keywords: Any) -> tuple[Any, dict[str, Any]]:
            numbers = jnp.ones((2, 2), jnp.bfloat16)
            traced = jax.make_jaxpr(lambda x: row_products(x, numbers))(numbers)  # a new function: JAX keeps traces
            found.append("custom_vjp" in str(traced))
            return "predictions", {}

        model: Any = SimpleNamespace(apply=apply)
        inputs: Any = SimpleNamespace(batch=SimpleNamespace(image=None), use_forced=None)
        forward: Any = getattr(_forward, "__wrapped__", _forward)
        forward(experiment, model, {}, {}, inputs, jax.random.key(0))
        return found[0]

    assert not products_own_gradient(EXPERIMENT)
    assert products_own_gradient(dataclasses.replace(EXPERIMENT, gradient_sums="float32"))


def test_true_keypoints_are_forced_for_the_first_steps_only():
    assert [forced_shares(EXPERIMENT, step) for step in range(5)] == [1, 1, 1, 0, 0]
    assert handed_to_the_network(4)["forced"] == "true keypoints"  # always there, so that nothing is compiled again
    assert "forced" not in handed_to_the_network(0, dataclasses.replace(EXPERIMENT, teacher_forced_steps=0))


def test_forcing_fades_over_examples_that_the_seed_and_the_step_choose():
    fading = dataclasses.replace(EXPERIMENT, teacher_forced_steps=2, teacher_fading_steps=4)
    shares = [forced_shares(fading, step) for step in range(8)]
    np.testing.assert_allclose(shares, [1, 1, 1, 0.75, 0.5, 0.25, 0, 0], atol=0.05)
    masks = [handed_to_the_network(step, fading)["use_forced"] for step in (4, 4, 5)]
    assert (masks[0] == masks[1]).all()
    assert (masks[0] | masks[2]).mean() > 0.55  # drawn anew, not the same examples again: 1 - 0.5 * 0.75 expected


def forced_shares(experiment: Experiment, step: int) -> float:
    """The share of the examples whose keypoints are forced."""
    return float(handed_to_the_network(step, experiment)["use_forced"].mean())


def test_dropout_depends_on_the_seed_and_the_step_alone():
    def key(step: int, seed: int = 7) -> tuple[int, ...]:
        rngs = handed_to_the_network(step, dataclasses.replace(EXPERIMENT, seed=seed))["rngs"]
        return tuple(np.asarray(jax.random.key_data(rngs["dropout"])).tolist())

    assert key(3) == key(3)
    assert len({key(3), key(4), key(3, seed=8)}) == 3


def test_parameters_stay_float32_whatever_is_computed_in():
    assert make_model(EXPERIMENT).dtype == jnp.bfloat16
    state = build(EXPERIMENT).state
    assert {leaf.dtype for path, leaf in leaves_by_path(state).items() if path.startswith("params")} == {
        np.dtype("float32")
    }


def test_the_gradients_length_is_that_of_its_blocks_and_of_all_together():
    shapes = {"backbone": {"kernel": (3, 3, 64, 32), "bias": (32,)}, "tokens": {"scale": (5,)}}
    keys = iter(jax.random.split(jax.random.key(0), 3))
    gradient = jax.tree.map(
        lambda shape: jax.random.normal(next(keys), shape), shapes, is_leaf=lambda x: type(x) is tuple
    )
    found = _norms(gradient)
    of_all = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient[block])]) for block in shapes]
    np.testing.assert_allclose(found["gradient_norm/backbone"], np.linalg.norm(of_all[0]), rtol=1e-5)
    np.testing.assert_allclose(found["gradient_norm/tokens"], np.linalg.norm(of_all[1]), rtol=1e-5)
    np.testing.assert_allclose(found["gradient_norm"], np.linalg.norm(np.concatenate(of_all)), rtol=1e-5)
