import numpy as np
import pytest

from input_pipeline.synthetic.contact import penetration_m, self_penetration_m
from input_pipeline.synthetic.finger_chains import FingerChains
from input_pipeline.synthetic.grasp import MAX_PENETRATION_M, MAX_SELF_PENETRATION_M, TOUCH_M, grasp, release
from input_pipeline.synthetic.objects import FAMILIES, make_solid
from occrobnet_jax.hands.embedded_hand import LIMITS_DEG, Pose, PosedHand, load_hand, resting
from occrobnet_jax.skeleton import LEFT, RIGHT

FLAT = np.zeros((5, 4))


def _pose(side=RIGHT, angles=FLAT, shape=None):
    return Pose(side, angles, np.zeros(10, np.float32) if shape is None else shape, np.zeros(3))


def _held(family, side, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(10):
        solid = make_solid(family, rng)
        held = grasp(solid, _pose(side), rng)
        if held is not None:
            return solid, held
    raise AssertionError(f"no grasp of a {family} in ten attempts")


@pytest.mark.parametrize(("family", "side"), [(family, i % 2) for i, family in enumerate(FAMILIES)])
def test_fingers_touch_and_nothing_enters_by_more_than_the_bound(family, side):
    solid, held = _held(family, side)
    distance = solid.signed_distance_m(held.hand.verts_m)
    assert distance.min() >= -MAX_PENETRATION_M
    assert held.depth_m == pytest.approx(-distance.min())
    touching = [distance[skin].min() < TOUCH_M for skin in load_hand().finger_verts]
    assert sum(touching) == held.touching >= 3
    assert self_penetration_m(held.hand.joints_m) <= MAX_SELF_PENETRATION_M
    lowest, highest = np.moveaxis(np.deg2rad(LIMITS_DEG), -1, 0)
    assert (held.hand.pose.angles >= lowest - 1e-6).all()
    assert (held.hand.pose.angles <= highest + 1e-6).all()


def test_a_second_hand_takes_the_other_side():
    rng = np.random.default_rng(3)
    solid = make_solid("cylinder", np.random.default_rng(1), two_hands=True)
    first = next(found for found in (grasp(solid, _pose(RIGHT), rng) for _ in range(20)) if found is not None)
    tries = (grasp(solid, _pose(LEFT), rng, first.hand) for _ in range(20))
    palms = [first.hand.rotation[:, 2] @ second.hand.rotation[:, 2] for second in tries if second is not None]
    assert palms
    assert np.mean(palms) < -0.5


def test_released_fingers_move_and_the_others_stay():
    solid, held = _held("sphere", RIGHT)
    rng = np.random.default_rng(5)
    released = next(found for found in (release(solid, held, rng) for _ in range(20)) if found is not None)
    moved = (released.hand.pose.angles != held.hand.pose.angles).any(-1)
    assert 0 < moved.sum() < 5
    assert released.depth_m <= MAX_PENETRATION_M


def test_fast_finger_chains_agree_with_the_model():
    rng = np.random.default_rng(0)
    angles, shape = rng.uniform(-0.2, 0.9, (5, 4)), rng.uniform(0, 0.2, 10).astype(np.float32)
    fast = FingerChains(shape).points_m(angles[None])[0]
    exact = resting(_pose(RIGHT, angles, shape)).verts_m[load_hand().finger_samples]
    error = np.linalg.norm(fast - exact, axis=-1)
    assert np.median(error) < 1e-4
    assert np.quantile(error, 0.95) < 2e-3  # skin that a neighbouring finger pulls along


def test_hands_penetrate_when_pushed_into_each_other():
    right = resting(_pose(RIGHT))
    for gap, expected in ((0.2, -0.1), (0.0, 0.02)):
        left = PosedHand(_pose(LEFT), np.eye(3), np.array([0, 0, gap]))
        depth = penetration_m(right.joints_m, left.joints_m)
        assert depth < expected if gap else depth > expected


def test_a_fist_through_the_palm_is_noticed_and_a_flat_hand_is_not():
    assert self_penetration_m(resting(_pose()).joints_m) < 0
    fist = np.deg2rad([[0, 0, 0, 0]] + [[0, 100, 120, 100]] * 4)
    assert self_penetration_m(resting(_pose(RIGHT, fist)).joints_m) > MAX_SELF_PENETRATION_M


def test_bending_moves_the_fingertips_towards_the_palm_and_spreading_towards_the_thumb():
    flat = resting(_pose()).joints_m
    for finger in range(1, 5):
        bent, spread = FLAT.copy(), FLAT.copy()
        bent[finger, 1], spread[finger, 0] = 0.5, 0.2
        tip = 4 * finger
        assert resting(_pose(RIGHT, bent)).joints_m[tip, 2] > flat[tip, 2] + 0.02
        assert resting(_pose(RIGHT, spread)).joints_m[tip, 0] > flat[tip, 0] + 0.01
