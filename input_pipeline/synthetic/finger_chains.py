"""Fast posing of the skin samples that contacts are searched with: all fingers and many angles at once.

The same linear blend skinning as HandModel's, with two simplifications that closing a hand can afford (the grasp is
checked with the full model afterwards): only right hands, and of each sample's weights only those of the palm and of
its own finger.
"""

import numpy as np
from jaxtyping import Float

from occrobnet_jax.hands.embedded_hand import BONE_FINGERS, load_hand
from occrobnet_jax.skeleton import FINGERS


class FingerChains:
    """Skin samples of the fingers of a right hand of one shape, in the hand's frame with the wrist at the origin."""

    def __init__(self, shape: Float[np.ndarray, " 10"]) -> None:
        """Bring the samples into the shape."""
        asset = load_hand()
        model = asset.models[0]
        bones = np.array([[3 * BONE_FINGERS.index(finger) + k for k in (1, 2, 3)] for finger in FINGERS])
        pivots = model.pivots_m + np.tensordot(shape, model.shape_pivots_m, axes=1)
        samples = model.skin[asset.finger_samples.ravel()]
        weights = np.stack([samples.weights.reshape(5, -1, 17)[f][:, [0, *bones[f]]] for f in range(5)])
        weights /= weights.sum(-1, keepdims=True)  # (5, k, 4): palm, base, middle, end
        rest = samples.shaped(shape).reshape(5, -1, 3) - pivots[0]
        homogeneous = np.concatenate([rest, np.ones_like(rest[..., :1])], -1)
        self._weighted = (weights[..., None] * homogeneous[..., None, :]).reshape(5, -1, 16)
        self._pivots = pivots[bones] - pivots[0]  # (5, 3, 3)
        self._hinge = [_skew(asset.hinge[bones[:, k] - 1]) for k in range(3)]
        self._spread = _skew(asset.spread[bones[:, 0] - 1])

        palm = model.skin[asset.palm_samples]
        self.palm_m = palm.shaped(shape) - pivots[0]  # as if it were stiff

    def points_m(self, angles: Float[np.ndarray, "t 5 4"]) -> Float[np.ndarray, "t 5 k 3"]:
        """Return the samples for each set of finger angles (radians)."""
        angles = angles.astype(np.float32)
        turn = _turn(self._spread, angles[..., 0]) @ _turn(self._hinge[0], angles[..., 1])
        shift = self._pivots[:, 0] - _apply(turn, self._pivots[:, 0])
        turns, shifts = [np.broadcast_to(np.eye(3, dtype=np.float32), turn.shape), turn], [np.zeros_like(shift), shift]
        for k in (1, 2):
            origin = _apply(turn, self._pivots[:, k]) + shift
            turn = turn @ _turn(self._hinge[k], angles[..., k + 1])
            shift = origin - _apply(turn, self._pivots[:, k])
            turns.append(turn)
            shifts.append(shift)
        bones = np.concatenate([np.stack(turns, -3), np.stack(shifts, -2)[..., None]], -1)  # (t, 5, 4, 3, 4)
        return self._weighted @ np.swapaxes(bones, -1, -2).reshape(*angles.shape[:-1], 16, 3)


def _skew(axes: np.ndarray) -> np.ndarray:
    matrix = np.zeros((len(axes), 3, 3), np.float32)
    matrix[:, [2, 0, 1], [1, 2, 0]] = axes
    return matrix - np.swapaxes(matrix, -1, -2)


def _turn(skew: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Return rotations (t, 5, 3, 3) by an angle (t, 5) about each finger's axis."""
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.eye(3, dtype=np.float32) + sine * skew + (1 - cosine) * (skew @ skew)


def _apply(turn: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (turn @ points[..., None])[..., 0]
