import numpy as np

from occrobnet_jax.geometry.kinematics import accumulate_bones, accumulate_depths, bone_depths, bone_vectors
from occrobnet_jax.skeleton import INTERHAND, WRIST


def test_bones_and_joints_are_inverse() -> None:
    joints = np.random.default_rng(0).normal(size=(2, 3, 21, 3))
    np.testing.assert_allclose(accumulate_bones(bone_vectors(joints)), joints - joints[..., WRIST:, :], atol=1e-12)
    depths = joints[..., 2]
    np.testing.assert_allclose(accumulate_depths(bone_depths(depths)), depths - depths[..., WRIST:], atol=1e-12)


def test_one_bone_moves_what_is_further_out_on_its_finger() -> None:
    vectors = np.zeros((20, 3))
    vectors[INTERHAND.index("ring2")] = (1.0, 2.0, 3.0)
    joints = accumulate_bones(vectors)
    moved = {name for name, joint in zip(INTERHAND, joints, strict=True) if joint.any()}
    assert moved == {"ring2", "ring3", "ring4"}
    np.testing.assert_array_equal(joints[INTERHAND.index("ring4")], (1.0, 2.0, 3.0))
