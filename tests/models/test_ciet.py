"""What CIET's map splits into, and which part teaches which."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.ciet import Ciet, InjectionBlock
from occrobnet_jax.runs.state import leaves_by_path
from tests.support.tiny import tiny_model

CHANNELS = 8
EVERYTHING, NOTHING = 30.0, -30.0  # offsets of the gate's normalization, at which all or nothing is evidence


def ciet(gate: float, *, reads: str):
    """CIET as a function of its map; its last layer returns the evidence alone, or the taught context alone."""
    model = Ciet(tiny_model(ciet="softmax", ciet_init_std=0.5, neck_channels=CHANNELS))
    maps = features(0)
    variables = jax.tree.map(jnp.asarray, model.init(jax.random.key(0), maps, train=False))
    params = variables["params"]
    for name in ("merge_conv2", "merge_shortcut"):
        params[name] = jax.tree.map(jnp.zeros_like, params[name])
    identity = jnp.eye(CHANNELS)[None, None]
    halves = (identity, 0 * identity) if reads == "evidence" else (0 * identity, identity)
    params["merge_shortcut"]["kernel"] = jnp.concatenate(halves, 2)
    (norm,) = [path for path in leaves_by_path(params["spatial_gate"]) if path.endswith("bias")]
    *nodes, leaf = norm.split("/")
    place = params["spatial_gate"]
    for node in nodes:
        place = place[node]
    place[leaf] = jnp.full_like(place[leaf], gate)
    return jax.jit(lambda maps: model.apply(variables, maps, train=False).features)


def features(seed: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (1, 4, 4, CHANNELS))


@pytest.mark.parametrize(("gate", "share"), [(EVERYTHING, 1.0), (NOTHING, 0.0)])
def test_the_mask_s_share_of_the_map_is_evidence(gate, share):
    np.testing.assert_allclose(ciet(gate, reads="evidence")(features(1)), share * features(1), atol=1e-5)


def test_context_is_taught_by_evidence_and_not_the_other_way_round():
    """Where all is evidence, what is taught changes with it; where nothing is, there is nothing to learn from."""
    changes = {
        gate: jnp.abs(taught(features(1)) - taught(features(2))).max()
        for gate in (EVERYTHING, NOTHING)
        for taught in [ciet(gate, reads="context")]
    }
    assert changes[EVERYTHING] > 100 * changes[NOTHING]


def loud(gate: str, *, qk_norm: bool):
    """A block whose projections have become large, as Muon makes them, as a function of queries and keys."""
    model = InjectionBlock(tiny_model(ciet_gate=gate, ciet_qk_norm=qk_norm), "dual", has_positions=False)
    tokens = jnp.ones((1, 16, CHANNELS))
    drawn = model.init(jax.random.key(0), tokens, tokens, train=False)
    keys = iter(jax.random.split(jax.random.key(1), 100))
    variables = jax.tree.map(lambda leaf: 5.0 * jax.random.normal(next(keys), leaf.shape), drawn)
    return jax.jit(lambda tokens, source: model.apply(variables, tokens, source, train=False))


@pytest.mark.parametrize("gate", ["mean", "elementwise"])
def test_gates_never_saturate_where_queries_and_keys_have_one_length(gate):
    tokens, source = (features(seed).reshape(1, 16, CHANNELS) for seed in (1, 2))
    assert loud(gate, qk_norm=False)(tokens, source)[1] > 0.5
    assert loud(gate, qk_norm=True)(tokens, source)[1] == 0


def test_among_equal_keys_the_gate_of_their_mean_is_that_of_each():
    tokens, key = features(1).reshape(1, 16, CHANNELS), features(2).reshape(1, 16, CHANNELS)[:, :1]
    source = jnp.tile(key, (1, 16, 1))
    of_mean, of_each = (loud(gate, qk_norm=True)(tokens, source)[0] for gate in ("mean", "elementwise"))
    np.testing.assert_allclose(of_mean, of_each, rtol=2e-4, atol=2e-4)


def test_lengths_are_no_parameters():
    like = [
        jax.tree.map(
            jnp.shape,
            InjectionBlock(tiny_model(ciet_gate="mean", ciet_qk_norm=norm), "dual").init(
                jax.random.key(0), jnp.ones((1, 4, CHANNELS)), jnp.ones((1, 4, CHANNELS)), train=False
            ),
        )
        for norm in (False, True)
    ]
    assert like[0] == like[1]


def test_a_sum_over_keys_has_no_bound():
    with pytest.raises(ValueError, match=r"set model\.ciet_gate to 'mean' or 'elementwise'"):
        tiny_model(ciet_gate="sum", ciet_qk_norm=True)
