"""Which hand an object is seen from."""

from typing import Any

from jaxtyping import Bool, Shaped

from occrobnet_jax.skeleton import LEFT, RIGHT


def is_left_alone(hand_probability: Shaped[Any, "*b n"]) -> Bool[Any, "*b"]:
    """Return whether an object is seen from the left wrist: where no right hand is.

    Where neither hand is more probable than not, the more probable one is taken to be there.
    """
    right, left = hand_probability[..., RIGHT], hand_probability[..., LEFT]
    return (right <= 0.5) & (left > right)
