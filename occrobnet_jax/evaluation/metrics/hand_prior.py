"""What is known of a hidden joint without looking: hands of the training split, and where the visible joints are."""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.metrics.mean_pose import MIRROR, MOST_EXAMPLES, Examples, equally_spaced
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.skeleton import LEFT, RIGHT, WRIST

RIDGE_M2 = 0.003**2
"""Variance that is added to each coordinate: the joints that are given are trusted to 3 mm."""


def hand_covariance(
    examples: Examples, mean_rel_m: Float[np.ndarray, "2 21 3"], most: int = MOST_EXAMPLES
) -> Float[np.ndarray, "2 60 60"]:
    """Return the covariance (m2) of the wrist-relative joints of the right and the left hand, the wrist left out.

    Hands whose joints are all annotated count; a hand that never occurs so gets the other's mirror image.

    Args:
        examples: a split, by index; only labels are read.
        mean_rel_m: mean of the same hands.
        most: of a larger split, so many examples at equal distances are read.
    """
    total, count = np.zeros((2, 60, 60)), np.zeros(2)
    for row in equally_spaced(len(examples), most):
        example = examples[int(row)]
        complete = example["joints_annotated"].astype(bool).all(axis=1)
        deviation = _deviation(root_relative(example["joints_cam_m"].astype(np.float64)), mean_rel_m)
        total += np.where(complete[:, None, None], deviation[:, :, None] * deviation[:, None, :], 0.0)
        count += complete
    covariance = total / np.maximum(count, 1)[:, None, None]
    mirror = np.tile(MIRROR, WRIST)
    for hand, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
        if not count[hand]:
            covariance[hand] = mirror[:, None] * covariance[other] * mirror
    return covariance


def completed(
    joints_rel_m: Float[np.ndarray, "n 2 21 3"],
    given: Bool[np.ndarray, "n 2 21"],
    mean_rel_m: Float[np.ndarray, "2 21 3"],
    covariance_m2: Float[np.ndarray, "2 60 60"],
) -> Float[np.ndarray, "n 2 21 3"]:
    """Return hands of which only the given joints (and the wrist) are known: the most probable ones of a normal
    distribution, which is the ridge regression of all joints on the given ones.

    Args:
        joints_rel_m: wrist-relative joints, of which those that aren't given are not looked at.
        given: which are known.
        mean_rel_m: of the distribution.
        covariance_m2: of the distribution.
    """
    mask = np.repeat(given[..., :WRIST], 3, axis=-1).astype(np.float64)
    among = mask[..., :, None] * covariance_m2 * mask[..., None, :] + RIDGE_M2 * np.eye(3 * WRIST)
    known = mask * _deviation(joints_rel_m, mean_rel_m)
    weights = mask * np.linalg.solve(among, known[..., None])[..., 0]
    guess = np.einsum("hij,nhj->nhi", covariance_m2, weights)
    return mean_rel_m + np.pad(guess.reshape(*guess.shape[:2], WRIST, 3), ((0, 0), (0, 0), (0, 1), (0, 0)))


def _deviation(joints_rel_m: Float[np.ndarray, "*n 2 21 3"], mean: Float[np.ndarray, "2 21 3"]) -> np.ndarray:
    difference = (joints_rel_m - mean)[..., :WRIST, :]
    return difference.reshape(*difference.shape[:-2], -1)
