import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from occrobnet_jax.runs.state import TrainState, create_state, initial_variables, leaves_by_path, state_sha256


class Net(nn.Module):
    """One layer and one BatchNorm, with the interface of the real network."""

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> jax.Array:
        x = nn.Dense(2, name="dense")(image.astype(jnp.float32))
        return nn.BatchNorm(use_running_average=not train, name="bn")(x)


def new_state(seed: int = 0) -> TrainState:
    return create_state(initial_variables(Net(), seed, 8), optax.adam(1e-3), average=True)


def test_a_state_is_a_function_of_the_seed():
    assert state_sha256(new_state(0)) == state_sha256(new_state(0)) != state_sha256(new_state(1))


def test_a_new_average_is_the_weights_but_not_their_memory():
    state = new_state()
    for weight, mean in zip(jax.tree.leaves(state.params), jax.tree.leaves(state.averaged), strict=True):
        np.testing.assert_array_equal(weight, mean)
        assert weight is not mean  # the step donates both


def test_evaluation_takes_the_average_where_there_is_one():
    state = new_state()
    assert state.variables["params"] is state.averaged
    assert dataclasses.replace(state, averaged=None).variables["params"] is state.params


def test_the_digest_sees_every_leaf():
    state = new_state()
    leaves, structure = jax.tree.flatten(state)
    paths = list(leaves_by_path(state))
    digests = {state_sha256(state)}
    assert len(paths) == len(leaves) > 10
    for i, path in enumerate(paths):
        changed = [*leaves[:i], leaves[i] + jnp.ones((), leaves[i].dtype), *leaves[i + 1 :]]
        digest = state_sha256(jax.tree.unflatten(structure, changed))
        assert (digest in digests) == (path == "step"), path
        digests.add(digest)


@pytest.mark.parametrize(
    "other", [{"b": jnp.zeros(4)}, {"a": jnp.zeros((2, 2))}, {"a": jnp.zeros(4, jnp.int32)}, {"a": -jnp.zeros(4)}]
)
def test_the_digest_sees_names_shapes_types_and_bits(other):
    state = TrainState(jnp.int32(0), {"a": jnp.zeros(4)}, {}, None, ())
    assert state_sha256(state) != state_sha256(dataclasses.replace(state, params=other))


def test_paths_are_readable():
    paths = set(leaves_by_path(new_state()))
    assert {
        "step",
        "params/dense/kernel",
        "averaged/bn/scale",
        "batch_stats/bn/mean",
        "opt_state/0/mu/dense/bias",
    } <= paths
