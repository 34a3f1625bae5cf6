"""MANO parameters in another frame and with a flat mean: what it takes of the user's own MANO files.

A hand turns about its root joint, which lies beside the model's origin and moves with the shape. So the translation
in a new frame needs the root's place, and parameters that are differences to MANO's mean pose need that pose.
"""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from occrobnet_jax.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from occrobnet_jax.hands.mano_model import load_mano


@dataclasses.dataclass(frozen=True)
class ManoRoots:
    """Mean pose and root joint of both hands; hand 0 is the right one."""

    mean_pose: Float[np.ndarray, "2 45"]
    root_m: Float[np.ndarray, "2 3"]  # of the mean shape
    root_shape_m: Float[np.ndarray, "2 10 3"]  # its displacement for each shape number

    def in_camera(
        self,
        hand: int,
        pose: Float[np.ndarray, "48"],
        shape: Float[np.ndarray, "10"],
        translation_m: Float[np.ndarray, "3"],
        rotation: Float[np.ndarray, "3 3"],
        position_m: Float[np.ndarray, "3"],
    ) -> tuple[Float[np.ndarray, "48"], Float[np.ndarray, "3"]]:
        """Return the pose about a flat mean and translation of a hand of the world, as a camera sees it: X_cam = R (X -
        position).

        Args:
            hand: 0 right, 1 left.
            pose: axis-angle in the world, the fingers relative to MANO's mean pose.
            shape: MANO's shape numbers.
            translation_m: what is added to the posed hand, in the world.
            rotation: R.
            position_m: of the camera, in the world.
        """
        root_m = self.root_m[hand] + shape @ self.root_shape_m[hand]
        turned = matrix_to_axis_angle(rotation @ axis_angle_to_matrix(pose[:3]))
        moved = rotation @ (root_m + translation_m - position_m) - root_m
        return np.concatenate([turned, pose[3:] + self.mean_pose[hand]]), moved


def load_mano_roots(folder: Path) -> ManoRoots:
    """Return what is needed of MANO_RIGHT.pkl and MANO_LEFT.pkl.

    Raises:
        ValueError: a file is missing or isn't MANO's.
    """
    mano = load_mano(folder)
    return ManoRoots(
        mean_pose=mano.mean_pose,
        root_m=np.stack([model.pivots_m[0] for model in mano.models]),
        root_shape_m=np.stack([model.shape_pivots_m[:, 0] for model in mano.models]),
    )
