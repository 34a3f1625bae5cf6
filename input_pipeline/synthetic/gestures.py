"""A prior of hand poses: named gestures and grips, blended and disturbed, beside wide joint limits.

Each gesture is written as the state of the thumb and of the four fingers; fists, pointing, counting, pinches and grips
cover the configurations of Feix et al., "The GRASP Taxonomy of Human Grasp Types", THMS 2016, coarsely. Of 100 poses
60 are gestures, a third of them between two; 25 have the synergies of `scene.free_angles`; 15 have independent angles
anywhere within the limits.
"""

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.contact import self_penetration_m
from input_pipeline.synthetic.scene import free_angles
from occrobnet_jax.hands.embedded_hand import LIMITS_DEG, Pose, clipped_to_limits
from occrobnet_jax.skeleton import RIGHT

_THUMBS_DEG = {
    "out": (-15, -22, -5, -5),
    "beside": (-5, 12, 10, 5),
    "across": (26, 30, 35, 40),
    "over": (30, 12, 35, 45),
    "wide": (34, -2, 12, 22),
    "opposed": (28, 21, 13, 36),  # its tip to that of an "o"
}
_FINGERS_DEG = {
    "|": (0, 0, 0, 0),  # straight
    "/": (0, 18, 25, 15),  # relaxed
    "(": (0, 45, 50, 30),  # around something
    "o": (0, 51, 46, 31),  # its tip to the thumb's
    "?": (0, 5, 95, 60),  # hook
    "-": (0, 78, 8, 5),  # bent at its base alone
    "*": (0, 77, 91, 48),  # closed
}
GESTURES = {
    "open": ("out", "||||", 9.0),
    "flat": ("beside", "||||", -2.0),
    "relaxed": ("beside", "//((", 1.0),
    "fist": ("over", "****", 0.0),
    "fist, thumb beside": ("beside", "****", 0.0),
    "thumb up": ("out", "****", 0.0),
    "pointing": ("over", "|***", 0.0),
    "gun": ("out", "|***", 0.0),
    "two": ("over", "||**", 9.0),
    "two together": ("over", "||**", -2.0),
    "three": ("across", "|||*", 6.0),
    "three with thumb": ("out", "||**", 7.0),
    "four": ("across", "||||", 6.0),
    "little finger": ("over", "***|", 0.0),
    "horns": ("over", "|**|", 0.0),
    "telephone": ("out", "***|", 0.0),
    "love": ("out", "|**|", 0.0),
    "ring": ("opposed", "o|||", 5.0),
    "pinch": ("opposed", "o(((", 0.0),
    "pinch, fingers closed": ("opposed", "o***", 0.0),
    "beak": ("opposed", "oooo", -2.0),
    "claw": ("out", "????", 7.0),
    "hook": ("beside", "????", 0.0),
    "c": ("wide", "((((", 0.0),
    "ball": ("wide", "((((", 9.0),
    "duck": ("wide", "----", -2.0),
    "tripod": ("opposed", "o(**", 0.0),
    "key": ("across", "(***", 0.0),
    "middle and ring bent": ("out", "|((|", 3.0),
    "snap": ("opposed", "|o**", 0.0),
}
_SPREAD_SHARES = np.array([0.0, 1.0, 0.2, -0.6, -1.2])
_ATTEMPTS = 12
_MAX_SELF_PENETRATION_M = 0.009
"""Of the capsules around bones: a fist presses its fingertips into the palm."""


def gesture_angles(name: str) -> Float[np.ndarray, "5 4"]:
    """Return the finger angles (radians) of a gesture of `GESTURES`."""
    thumb, fingers, spread_deg = GESTURES[name]
    angles = np.array([_THUMBS_DEG[thumb], *(_FINGERS_DEG[finger] for finger in fingers)], np.float64)
    angles[:, 0] += spread_deg * _SPREAD_SHARES
    return clipped_to_limits(np.deg2rad(angles))


def natural_angles(rng: np.random.Generator) -> Float[np.ndarray, "5 4"]:
    """Return random finger angles (radians) whose fingers stay out of each other."""
    draw = (_gesture, free_angles, _anything)[rng.choice(3, p=[0.6, 0.25, 0.15])]
    for _ in range(_ATTEMPTS):
        angles = draw(rng)
        joints_m = Pose(RIGHT, angles, np.zeros(10, np.float32), np.zeros(3)).joints_m
        if self_penetration_m(joints_m) < _MAX_SELF_PENETRATION_M:
            return angles
    return gesture_angles("open")


def _gesture(rng: np.random.Generator) -> np.ndarray:
    """Return a gesture, or what lies between two of them, as a hand of its own makes it."""
    names = list(GESTURES)
    angles = gesture_angles(names[rng.integers(len(names))])
    if rng.random() < 0.33:
        share = rng.beta(0.7, 0.7, (5, 1)) if rng.random() < 0.5 else rng.random()
        angles = angles + share * (gesture_angles(names[rng.integers(len(names))]) - angles)
    whole = rng.normal(0, 5, (5, 1)) * [0.4, 1, 1, 0.7]
    return clipped_to_limits(angles + np.deg2rad(whole + rng.normal(0, 5, (5, 4)) * [0.7, 1, 1, 1]))


def _anything(rng: np.random.Generator) -> np.ndarray:
    """Return independent angles; of the end joints those that tendons allow."""
    lowest, highest = np.deg2rad(LIMITS_DEG[..., 0]), np.deg2rad(LIMITS_DEG[..., 1])
    angles = lowest + (highest - lowest) * rng.beta(0.9, 0.9, (5, 4))
    angles[1:, 3] = 0.63 * angles[1:, 2] + np.deg2rad(rng.normal(0, 8, 4))
    return clipped_to_limits(angles)
