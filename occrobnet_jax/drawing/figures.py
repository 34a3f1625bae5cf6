"""Which joints of a prediction are drawn, and how."""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.drawing.overlay import Figure
from occrobnet_jax.hands.reference import is_left_alone
from occrobnet_jax.skeleton import LEFT, NUM_JOINTS, RIGHT


def predicted_hands(hand_probability: Float[np.ndarray, "2"]) -> Bool[np.ndarray, "2"]:
    """Return the hands that are drawn: those more probable than not, or the more probable one."""
    likely = hand_probability > 0.5
    return likely if likely.any() else np.arange(2) == hand_probability.argmax()


def reference_hand(present: Bool[np.ndarray, "2"] | Float[np.ndarray, "2"]) -> int:
    """Return the hand whose wrist the object's translation starts from: the right one unless the left is alone.

    Args:
        present: which hands are there, or their probabilities.
    """
    return LEFT if is_left_alone(present) else RIGHT


def placed_joints_m(
    joints_rel_m: Float[np.ndarray, "2 21 3"],
    relative_translation_m: Float[np.ndarray, "3"],
    present: Bool[np.ndarray, "2"],
) -> Float[np.ndarray, "2 21 3"]:
    """Return both hands from the reference wrist; the other hand is placed by the relative translation, left minus
    right.
    """
    step = relative_translation_m if reference_hand(present) == RIGHT else -relative_translation_m
    other = LEFT if reference_hand(present) == RIGHT else RIGHT
    placed = joints_rel_m.copy()
    placed[other] += step
    return placed


def predicted_figure(
    joints_px: Float[np.ndarray, "2 21 2"],
    hand_probability: Float[np.ndarray, "2"],
    visibility_probability: Float[np.ndarray, "2 21"],
    corners_px: Float[np.ndarray, "8 2"] | None = None,
) -> Figure:
    """Return what a network says, for drawing; joints that it takes for hidden are hollow (none without that head)."""
    shown = np.repeat(predicted_hands(hand_probability)[:, None], NUM_JOINTS, axis=1)
    return Figure(joints_px, shown, visibility_probability < 0.5, corners_px)  # NaN is not below 0.5
