import numpy as np
from scipy.spatial import KDTree

from input_pipeline.synthetic import clasp
from input_pipeline.synthetic.clasp import clasped, holding
from input_pipeline.synthetic.contact import finger_penetration_m, penetration_m
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.skeleton import LEFT, RIGHT

SHAPE = np.zeros(10, np.float32)


def _pairs(make, count):
    found = (make(SHAPE, np.random.default_rng(seed)) for seed in range(8 * count))
    return [pair for _, pair in zip(range(count), (pair for pair in found if pair), strict=False)]


def test_a_hand_holds_the_other_with_several_fingers():
    pairs = _pairs(holding, 3)
    assert len(pairs) == 3
    for right, left in pairs:
        assert (right.side, left.side) == (RIGHT, LEFT)
        assert penetration_m(right.joints_m, left.joints_m) < 0.006
        near = [_fingers_near(hand, other) for hand, other in ((right, left), (left, right))]
        assert max(near) >= 3


def _fingers_near(hand, other):
    """Return how many fingers come near the other's skin, forearm included."""
    tree = KDTree(other.verts_m)
    return sum(tree.query(hand.verts_m[skin])[0].min() < 0.015 for skin in load_hand().finger_verts)


def test_clasped_hands_touch_and_do_not_pass_through_each_other(monkeypatch):
    pairs = _pairs(clasped, 4)
    assert len(pairs) == 4
    depth_m = [float(penetration_m(right.joints_m, left.joints_m)) for right, left in pairs]
    assert max(depth_m) < 0.008
    assert min(depth_m) > -0.001
    monkeypatch.setattr(clasp, "_closed_onto", lambda hand, other: hand)
    pairs_of_hands = zip(pairs, _pairs(clasped, 4), strict=True)
    bent = np.stack(
        [
            hand.pose.angles - open_hand.pose.angles
            for pair in pairs_of_hands
            for hand, open_hand in zip(*pair, strict=True)
        ]
    )
    assert bent.min() > -1e-9
    assert (bent[:, :, 1] > np.deg2rad(8)).sum() >= 4


def test_fingers_are_measured_one_by_one():
    apart = np.zeros((21, 3))
    apart[:, 0] = np.arange(21)
    touching = apart + [0, 0.005, 0]
    far = apart + [0, 5.0, 0]
    assert (finger_penetration_m(apart, touching) > 0).all()
    assert (finger_penetration_m(apart, far) < -4).all()
    tip = far.copy()
    tip[0] = apart[0] + [0, 0.001, 0]  # the thumb's tip alone comes near
    assert finger_penetration_m(apart, tip).argmax() == 0
