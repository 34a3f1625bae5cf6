"""One map a joint: where each joint is, seen or hidden, and how sure its map is of that [ours]."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

REACH_HM = 2  # px to either side of a map's peak that a position averages over


class Located(NamedTuple):
    """What the maps say of each joint."""

    xy_hm: Float[Array, "b nj 2"]  # heatmap px
    share: Float[Array, "b nj"]  # of the map's probability that lies around that place: 1 is sure


def locate(maps: Float[Array, "b hh ww nj"]) -> Located:
    """Find each joint: the mean place around the peak of its map, taken as a probability over the pixels.

    Args:
        maps: logits. A softmax over a map's pixels is the probability of the joint being there.
    """
    b, height, width, joints = maps.shape
    probability = jax.nn.softmax(maps.reshape(b, -1, joints).astype(jnp.float32), axis=1)
    peak = probability.argmax(1)[:, None]
    index = jnp.arange(height * width)[None, :, None]
    x, y = index % width, index // width
    near = (jnp.abs(x - peak % width) <= REACH_HM) & (jnp.abs(y - peak // width) <= REACH_HM)
    around = jnp.where(near, probability, 0.0)
    share = around.sum(1)
    return Located(jnp.stack([(around * x).sum(1), (around * y).sum(1)], -1) / share[..., None], share)
