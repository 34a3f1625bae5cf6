"""Everything that training changes, as one pytree."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from jax.typing import ArrayLike
from jaxtyping import Int, PyTree

from occrobnet_jax.parallel import hosts

Variables = dict[str, Any]
"""What the network is applied with: "params" and "batch_stats"."""


@struct.dataclass
class TrainState:
    """What a step takes and returns, and a checkpoint keeps: arrays, or in their places their shapes or layouts."""

    step: Any  # int32, finished steps
    params: Any
    batch_stats: Any
    averaged: Any  # moving average of params, or None where it is off
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """What the model is evaluated with: the averaged weights where there are any."""
        return {"params": self.params if self.averaged is None else self.averaged, "batch_stats": self.batch_stats}


def create_state(variables: Variables, optimizer: optax.GradientTransformation, *, average: bool) -> TrainState:
    """Return the state before the first step of a network with these variables, as `initial_variables` draws them."""
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        averaged=jax.tree.map(jnp.copy, params) if average else None,
        opt_state=optimizer.init(params),
    )


def initial_variables(model: nn.Module, seed: Int[ArrayLike, ""], input_size_px: int) -> Variables:
    """Draw a network's parameters, and return its batch statistics before any batch; to be jitted."""
    image = jnp.zeros((1, input_size_px, input_size_px, 3), jnp.uint8)
    return dict(model.init(jax.random.key(seed), image, train=False))


def abstract_variables(model: nn.Module, input_size_px: int) -> dict[str, Any]:
    """Return the shapes of a network's parameters and batch statistics."""
    image = jnp.zeros((1, input_size_px, input_size_px, 3), jnp.uint8)
    return dict(jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False)))


def state_sha256(state: TrainState) -> str:
    """Digest of the weights, batch statistics, averaged weights and optimiser state, bit for bit.

    It covers path, dtype, shape and bytes of every leaf, in the order of the paths. All hosts must call it.
    """
    digest = hashlib.sha256()
    for path, leaf in sorted(leaves_by_path(state).items()):
        if path == "step":
            continue
        array = np.ascontiguousarray(hosts.fetch(leaf))
        digest.update(f"{path} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def leaves_by_path(tree: PyTree[Any]) -> dict[str, Any]:
    """Leave of a tree under names such as "params/backbone/conv1/kernel"."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}
