"""CIET on tokens against a plain NumPy form, and what empty slots and the order of tokens may change: nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from occrobnet_jax.models.ciet import TokenCiet
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.occrobnet import OccRobNet
from tests.support.tiny import INPUT_SIZE_PX, tiny_model

BATCH, TOKENS, WIDTH = 2, 9, 32
VALID = np.array([[True] * 6 + [False] * 3, [True] * 9])


@pytest.fixture(scope="module")
def tokens() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1, (BATCH, TOKENS, WIDTH)).astype(np.float32)


def with_large_weights(config: ModelConfig, tokens: np.ndarray) -> dict:
    """Variables under which every part matters: CIET's own initial projections are near 0."""
    variables = TokenCiet(config).init(jax.random.key(0), jnp.asarray(tokens), jnp.asarray(VALID), train=False)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape).astype(np.float32)), variables)


def applied(config: ModelConfig, variables: dict, tokens: np.ndarray, valid: np.ndarray = VALID) -> np.ndarray:
    return np.asarray(TokenCiet(config).apply(variables, jnp.asarray(tokens), jnp.asarray(valid), train=False)[0])


def linear(x: np.ndarray, layer: dict) -> np.ndarray:
    kernel, bias = np.asarray(layer["kernel"], np.float64), np.asarray(layer["bias"], np.float64)
    return np.tensordot(x, kernel, axes=1) + bias


def by_hand(config: ModelConfig, parameters: dict, tokens: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """One example, of its valid tokens alone: evidence teaches, context is taught."""
    x = tokens[valid].astype(np.float64)
    evidence = special.expit(linear(np.stack([x.max(-1), x.mean(-1)], -1), parameters["evidence_gate"]))
    source, context = x * evidence, x * (1 - evidence)
    block = parameters["block0"]
    q, k, v = (linear(y, block[name]) for y, name in ((context, "query"), (source, "key"), (source, "value")))
    scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(q.shape[-1])
    weights = special.softmax(scores, axis=-1)
    if config.ciet == "sigmoid":
        weights = special.expit(scores) / len(x)
    if config.ciet == "dual":
        gate_q, gate_k = linear(context, block["gate_query"]), linear(source, block["gate_key"])
        logits = np.einsum("ihd,jhd->hij", gate_q, gate_k) / np.sqrt(q.shape[-1])
        weights = weights * special.expit(logits.sum(-1, keepdims=True))
    y = np.einsum("hij,jhd->ihd", weights, v).reshape(x.shape)
    normed = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-5)
    normed = normed * np.asarray(block["norm"]["scale"]) + np.asarray(block["norm"]["bias"])
    hidden = linear(normed, block["mlp_in"])
    y = y + linear(hidden * special.ndtr(hidden), block["mlp_out"])
    merged = np.concatenate([source, y], -1)
    deep = linear(np.maximum(linear(merged, parameters["merge1"]), 0), parameters["merge2"])
    return deep + linear(merged, parameters["merge_shortcut"])


@pytest.mark.parametrize("ciet", ["dual", "softmax", "sigmoid"])
def test_it_is_what_numpy_makes_of_the_valid_tokens(ciet, tokens):
    config = tiny_model(ciet=ciet, ciet_on="tokens")
    variables = with_large_weights(config, tokens)
    result = applied(config, variables, tokens)
    for example in range(BATCH):
        expected = by_hand(config, variables["params"], tokens[example], VALID[example])
        np.testing.assert_allclose(result[example][VALID[example]], expected, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("change", [{}, {"ciet_gate": "mean"}, {"ciet_gate": "elementwise"}, {"ciet": "sigmoid"}])
def test_empty_slots_give_nothing_and_the_order_does_not_matter(change, tokens):
    config = tiny_model(ciet_on="tokens", **change)
    variables = with_large_weights(config, tokens)
    result = applied(config, variables, tokens)
    others = np.where(VALID[..., None], tokens, 100.0)
    np.testing.assert_allclose(applied(config, variables, others)[VALID], result[VALID], rtol=1e-5, atol=1e-5)
    order = np.random.default_rng(2).permutation(TOKENS)
    shuffled = applied(config, variables, tokens[:, order], VALID[:, order])
    np.testing.assert_allclose(shuffled, result[:, order], rtol=1e-4, atol=1e-4)


def test_off_returns_the_tokens(tokens):
    config = tiny_model(ciet="off", ciet_on="tokens")
    np.testing.assert_array_equal(applied(config, {}, tokens), tokens)


@pytest.mark.parametrize(("ciet_on", "parameters"), [("tokens", {"merge1"}), ("map", {"merge_conv1"})])
def test_the_network_has_one_ciet_where_the_config_wants_it(ciet_on, parameters):
    network = OccRobNet(tiny_model(ciet_on=ciet_on))
    image = jax.ShapeDtypeStruct((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), jnp.uint8)
    made = jax.eval_shape(functools.partial(network.init, train=False), jax.random.key(0), image)
    assert {"merge1", "merge_conv1"} & made["params"]["ciet"].keys() == parameters


def test_maps_can_not_be_localized_from_ciet_on_tokens():
    with pytest.raises(ValueError, match=r"model\.localise_from='ciet' needs the enhanced map"):
        tiny_model(ciet_on="tokens", localise_from="ciet")
