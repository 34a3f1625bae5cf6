"""Which joints of a prediction are drawn, and how."""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.drawing.overlay import Figure
from occrobnet_jax.skeleton import LEFT, NUM_JOINTS, RIGHT


def predicted_hands(hand_probability: Float[np.ndarray, "2"]) -> Bool[np.ndarray, "2"]:
    """The hands that are drawn: those more probable than not, or the more probable one."""
    likely = hand_probability > 0.5
    return likely if likely.any() else np.arange(2) == hand_probability.argmax()


def reference_hand(present: Bool[np.ndarray, "2"]) -> int:
    """The hand whose wrist the object's translation starts from: the right one unless the left is alone."""
    return RIGHT if present[RIGHT] else LEFT


def predicted_figure(
    joints_px: Float[np.ndarray, "2 21 2"],
    hand_probability: Float[np.ndarray, "2"],
    visibility_probability: Float[np.ndarray, "2 21"],
    corners_px: Float[np.ndarray, "8 2"] | None = None,
) -> Figure:
    """What a network says, for drawing; joints that it takes for hidden are hollow (none without that head)."""
    shown = np.repeat(predicted_hands(hand_probability)[:, None], NUM_JOINTS, axis=1)
    return Figure(joints_px, shown, visibility_probability < 0.5, corners_px)  # NaN is not below 0.5
