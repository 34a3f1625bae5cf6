"""The control of CIET: dual's parameters and FLOPs, in which no position sees another through the attention."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jaxtyping import Array

from occrobnet_jax.models.ciet import Ciet, InjectionBlock, TokenCiet
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.parallel.flops import product_flops
from tests.support.tiny import tiny_model

PAPER_MAP = jax.ShapeDtypeStruct((1, 32, 32, 256), jnp.float32)
PAPER_TOKENS = jax.ShapeDtypeStruct((1, 100, 256), jnp.float32)
ALL_VALID = jax.ShapeDtypeStruct((1, 100), jnp.bool_)


def parameters_and_flops(module: nn.Module, *inputs: jax.ShapeDtypeStruct) -> tuple[Any, float]:
    variables = jax.eval_shape(functools.partial(module.init, train=False), jax.random.key(0), *inputs)
    flops = product_flops(functools.partial(module.apply, train=False), variables, *inputs)
    return jax.tree.map(lambda leaf: leaf.shape, variables), flops


@pytest.mark.parametrize(
    ("module", "inputs", "most_more"), [(Ciet, (PAPER_MAP,), 0.005), (TokenCiet, (PAPER_TOKENS, ALL_VALID), 0.09)]
)
def test_it_has_the_parameters_and_flops_of_dual(
    module: Any, inputs: tuple[jax.ShapeDtypeStruct, ...], most_more: float
) -> None:
    dual, flops = parameters_and_flops(module(ModelConfig(ciet="dual")), *inputs)
    control, control_flops = parameters_and_flops(module(ModelConfig(ciet="pointwise")), *inputs)
    assert control == dual
    assert abs(control_flops / flops - 1) < most_more


def random_block(kind: str, has_positions: bool) -> tuple[InjectionBlock, dict, Array, Array]:
    """A block in which every part matters: CIET's own initial projections are near 0."""
    block = InjectionBlock(tiny_model(), kind, has_positions=has_positions)
    x, source = jax.random.normal(jax.random.key(0), (2, 1, 12, 8))
    shapes = jax.eval_shape(functools.partial(block.init, train=False), jax.random.key(0), x, source)
    rng = np.random.default_rng(1)
    return block, jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.3, leaf.shape), jnp.float32), shapes), x, source


def sees(kind: str, has_positions: bool) -> np.ndarray:
    """Return which position's result depends on which one's inputs, by exact derivatives."""
    block, variables, x, source = random_block(kind, has_positions)

    def result(inputs: Array) -> Array:
        return block.apply(variables, inputs[0], inputs[1], train=False)[0][0].sum(-1)

    by_input = jax.jit(jax.jacobian(result))(jnp.stack([x, source]))
    return np.asarray((by_input != 0).any(axis=(1, 2, 4)))


@pytest.mark.parametrize("has_positions", [True, False])
def test_no_position_reaches_another(has_positions: bool) -> None:
    np.testing.assert_array_equal(sees("pointwise", has_positions), np.eye(12, dtype=bool))
    assert sees("dual", has_positions).all()


def test_a_token_alone_stays_what_it_is_whatever_the_others_are() -> None:
    config = tiny_model(ciet="pointwise", ciet_on="tokens")
    tokens, valid = jax.random.normal(jax.random.key(0), (1, 12, 8)), jnp.ones((1, 12), bool)
    run = jax.jit(functools.partial(TokenCiet(config).apply, train=False))
    variables = jax.jit(functools.partial(TokenCiet(config).init, train=False))(jax.random.key(1), tokens, valid)
    before, after = (run(variables, each, valid)[0] for each in (tokens, tokens.at[:, 7].set(100.0)))
    others = np.arange(12) != 7
    np.testing.assert_array_equal(after[:, others], before[:, others])
    assert not np.allclose(after[:, 7], before[:, 7])


def test_every_parameter_learns() -> None:
    block, variables, x, source = random_block("pointwise", True)
    slopes = jax.jit(jax.grad(lambda tree: (block.apply(tree, x, source, train=False)[0] ** 2).sum()))(variables)
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(slopes))


def test_gates_decide_how_much_of_itself_a_position_keeps() -> None:
    block, variables, x, source = random_block("pointwise", True)
    run = jax.jit(functools.partial(block.apply, train=False))
    params = dict(variables["params"])
    params |= {name: jax.tree.map(jnp.zeros_like, params[name]) for name in ("gate_query", "mlp_out")}

    def with_bias(value: float) -> Array:
        key = {"kernel": 0 * params["gate_key"]["kernel"], "bias": 0 * params["gate_key"]["bias"] + 1}
        query = params["gate_query"] | {"bias": params["gate_query"]["bias"] + value}
        made = params | {"gate_key": key, "gate_query": query}
        return run({"params": made}, x, source)[0]

    np.testing.assert_allclose(with_bias(0.0), 0.5 * with_bias(1e3), atol=1e-5)
    np.testing.assert_allclose(with_bias(-1e3), 0.0, atol=1e-5)


def test_self_enhancement_is_attention_and_so_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.ciet='pointwise' leaves each position by itself"):
        tiny_model(ciet="pointwise", ciet_self_enhancing_blocks=1)
