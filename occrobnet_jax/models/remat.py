"""Rematerialisation: which results of the forward pass are kept for the backward pass, and which are computed again.

Activations are most of a training step's memory. A block that is computed again costs its forward pass once more.
"""

from typing import Any, Literal

import jax
from flax import linen as nn

Remat = Literal["off", "elementwise", "blocks"]
"""What is computed again. "elementwise": all but convolutions and products with weights, which costs little arithmetic;
"blocks": all but the inputs of blocks (residual, attention and transformer ones), which costs a forward pass."""

_REDUCTIONS = (
    "reduce_sum",
    "reduce_max",
)  # small; those of BatchNorm are summed over devices, which nobody wants twice


def apply_block(remat: Remat, block: nn.Module, *inputs: Any, train: bool) -> Any:
    """Return `block(*inputs, train=train)`, with what the setting says kept for the backward pass.

    Gradients are the same, but for the rounding of what is computed in another order.
    """
    if remat == "off":
        return block(*inputs, train=train)
    policy = _keep_products if remat == "elementwise" else _keep_reductions
    return nn.remat(lambda module, *arrays: module(*arrays, train=train), policy=policy)(block, *inputs)


def _keep_reductions(primitive: Any, *_: Any, **__: Any) -> bool:
    return primitive.name in _REDUCTIONS


def _keep_products(primitive: Any, *args: Any, **params: Any) -> bool:
    """Keep convolutions and products with weights."""
    # Attention's products are among features: their results are large and cheap to have again.
    with_weights = jax.checkpoint_policies.dots_with_no_batch_dims_saveable(primitive, *args, **params)
    return primitive.name in ("conv_general_dilated", *_REDUCTIONS) or bool(with_weights)
