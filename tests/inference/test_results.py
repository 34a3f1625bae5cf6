"""What is said of a prediction."""

import dataclasses

import numpy as np
import pytest

from occrobnet_jax.inference.results import MOST_FIT_ERROR, hand_json, is_3d_consistent
from occrobnet_jax.skeleton import LEFT
from tests.inference.test_video import HAND_PX, prediction

SIDE_PX = (HAND_PX.max(0) - HAND_PX.min(0)).max()


@pytest.mark.parametrize(("share", "is_consistent"), [(0.9, True), (1.1, False)])
def test_a_3d_hand_that_misses_its_own_2d_joints_is_not_to_be_used(share, is_consistent):
    error_px = np.array([0.0, share * MOST_FIT_ERROR * SIDE_PX])
    said = dataclasses.replace(prediction(LEFT, HAND_PX), root_fit_error_px=error_px)
    assert is_3d_consistent(said, LEFT) is is_consistent
    assert hand_json(said, LEFT)["is_3d_consistent"] is is_consistent
