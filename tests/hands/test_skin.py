"""Which skin shows a joint, on vertices at known distances from it."""

import numpy as np
import pytest

from occrobnet_jax.hands.skin import skin_around_joints

JOINT_M = np.array([0.1, -0.2, 0.7])
BACK = np.array([0.0, 0.6, 0.8])


def at(distances_m: list[float], side: int) -> np.ndarray:
    """Vertices at those distances from the joint, on the back (1) or on the palm's side (-1)."""
    directions = np.random.default_rng(len(distances_m)).normal(size=(len(distances_m), 3))
    directions *= side * np.sign(directions @ BACK)[:, None]
    return JOINT_M + np.array(distances_m)[:, None] * directions / np.linalg.norm(directions, axis=-1, keepdims=True)


@pytest.mark.parametrize(("nearest_m", "radius_m"), [(0.01, 0.01), (0.02, 0.02), (0.001, 0.005)])
@pytest.mark.parametrize("side", [1, -1])
def test_skin_counts_up_to_1_45_radii_of_its_own_side(nearest_m, radius_m, side):
    own = at([*[nearest_m] * 8, 1.44 * radius_m, 1.46 * radius_m], side)
    other = at([*[0.03] * 8, 0.043, 0.044], -side)
    joints, backs = np.tile(JOINT_M, (21, 1)), np.tile(BACK, (21, 1))
    around = skin_around_joints(np.concatenate([own, other]), joints, backs)
    assert len(around) == 21
    for skin in around:
        assert skin.tolist() == [*range(9), *range(10, 19)]
    assert skin_around_joints(own, joints, backs)[20].tolist() == list(range(9))  # none on the other side
