"""Rematerialisation keeps less and changes nothing."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.ciet import InjectionBlock
from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.models.remat import apply_block
from occrobnet_jax.models.resnet import Bottleneck
from occrobnet_jax.models.transformer import EncoderLayer
from tests.support.tiny import INPUT_SIZE_PX, TINY_MODEL

RNG = np.random.default_rng(0)
DROPPING = dataclasses.replace(TINY_MODEL, dropout=0.3, ciet_heads=4)


def drawn(*shape: int) -> jax.Array:
    return jnp.asarray(RNG.normal(size=shape), jnp.float32)


REMATS = ("off", "elementwise", "blocks")
BLOCKS = {
    "residual": (Bottleneck(8, 1, 0.9, jnp.float32), (drawn(4, 8, 8, 32),)),
    "transformer": (EncoderLayer(DROPPING, jnp.float32), (drawn(4, 12, 32), jnp.ones((4, 1, 1, 12), bool))),
    "injection": (InjectionBlock(DROPPING, "dual"), (drawn(4, 64, 16), drawn(4, 64, 16))),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_gradients_are_the_same_and_less_is_kept(name):
    block, inputs = BLOCKS[name]
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), *inputs, train=False))
    variables = jax.tree.map(lambda leaf: drawn(*leaf.shape) / 4, shapes)

    def output(remat, params, x):
        rngs = {"dropout": jax.random.key(1)}
        applied = block.apply(
            {**variables, "params": params},
            x,
            *inputs[1:],
            method=lambda module, *arrays: apply_block(remat, module, *arrays, train=True),
            rngs=rngs,
            mutable=["batch_stats"],
        )
        return jax.tree.leaves(applied[0])[0]

    def backward(remat, params, x):
        return jax.vjp(lambda *at: output(remat, *at), params, x)

    def gradient(remat, params, x):
        value, back = backward(remat, params, x)
        return back(jnp.cos(value))

    at = variables["params"], inputs[0]
    gradients = [jax.tree.leaves(jax.jit(gradient, static_argnums=0)(remat, *at)) for remat in REMATS]
    for others in gradients[1:]:
        for other, plain in zip(others, gradients[0], strict=True):
            np.testing.assert_allclose(other, plain, rtol=1e-4, atol=1e-5)
    kept = [jax.eval_shape(functools.partial(backward, remat), *at)[1] for remat in REMATS]
    off, elementwise, blocks = (sum(leaf.size for leaf in jax.tree.leaves(back)) for back in kept)
    assert blocks < elementwise < off


@pytest.mark.long
def test_the_setting_reaches_every_block(shallow_resnet18):
    image = jnp.zeros((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), jnp.uint8)
    config = dataclasses.replace(TINY_MODEL, ciet_self_enhancing_blocks=1, encoder_layers=2)
    variables = jax.eval_shape(lambda: OccRobNet(config).init(jax.random.key(0), image, train=False))

    def blocks(remat: str) -> int:
        network = OccRobNet(dataclasses.replace(config, remat=remat))
        program = jax.make_jaxpr(lambda variables: network.apply(variables, image, train=False))(variables)
        return sum(equation.primitive.name in ("checkpoint", "remat2", "remat") for equation in program.eqns)

    assert blocks("off") == 0
    assert blocks("blocks") == 4 + 1 + 1 + 1 + 2 + 1  # residual, injection, self-enhancing, finest, encoder, decoder
