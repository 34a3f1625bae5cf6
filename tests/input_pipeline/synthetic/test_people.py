import numpy as np

from input_pipeline.synthetic.appearance import skin_atlas, skin_names
from input_pipeline.synthetic.gestures import gesture_angles
from input_pipeline.synthetic.patches import CLOTH, FACE, PRINT, with_patches
from input_pipeline.synthetic.people import body, body_before, body_behind, ring, sleeve, watch
from input_pipeline.synthetic.skin import vertex_normals
from occrobnet_jax.hands.embedded_hand import Pose, load_hand, resting
from occrobnet_jax.skeleton import LEFT

AT_M = np.array([0, 0, 0.5])


def _hand():
    pose = Pose(LEFT, gesture_angles("fist"), np.zeros(10, np.float32), np.array([0.2, 0, 0.1]))
    return resting(pose).moved(np.eye(3), AT_M)


def test_a_sleeve_lies_around_the_arm_and_leaves_the_hand_bare():
    hand, start_m = _hand(), -0.06
    prop = sleeve(hand, start_m, np.random.default_rng(0))
    covered = np.unique(prop.faces)
    rest = load_hand().models[LEFT].skin.rest_m
    assert (rest[covered, 1] < start_m).all()
    assert (rest[rest[:, 1] < start_m - 0.03][:, 1].size) <= len(covered)
    normals = vertex_normals(hand.verts_m, load_hand().models[LEFT].faces)
    outwards = ((prop.verts_m - hand.verts_m) * normals).sum(-1)[covered]
    assert outwards.min() > 0.0005
    assert outwards.max() < 0.02
    assert prop.owner == LEFT


def test_bodies_stand_behind_the_hand_or_not_at_all():
    arm_away, arm_near = (_hand().moved(turn, np.zeros(3)) for turn in (_about_x(np.pi / 2), _about_x(-np.pi / 2)))
    arm_away = arm_away.moved(np.eye(3), -arm_away.wrist_m + AT_M)
    arm_near = arm_near.moved(np.eye(3), -arm_near.wrist_m + AT_M)
    found = [body_behind(hand, np.random.default_rng(0)) for hand in (arm_away, arm_near)]
    assert sorted(map(len, found)) == [0, 2]
    (props,) = (each for each in found if each)
    assert min(prop.verts_m[:, 2].min() for prop in props) > AT_M[2]


def _about_x(angle):
    return np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])


def test_surfaces_look_outwards_and_wear_their_patch():
    center = np.array([0.1, 0.2, 1.5])
    for prop, patch in zip(body(center, np.random.default_rng(1)), (CLOTH, FACE), strict=True):
        middle = prop.verts_m.mean(0)
        assert ((prop.verts_m - middle) * prop.normals).sum(-1).min() > 0
        corners = prop.verts_m[prop.faces]
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert ((corners.mean(1) - middle) * flat).sum(-1).min() > -1e-9
        assert (prop.skin[:, :2].min(0) >= patch[0]).all()
        assert (prop.skin[:, :2].max(0) <= patch[1]).all()


def test_patches_stand_beside_the_skin_and_apart():
    atlas = skin_atlas(skin_names()[0])
    wide, other = (with_patches(atlas, np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_array_equal(wide[:, : atlas.shape[1]], atlas)
    for patch in (PRINT, CLOTH, FACE):
        (left, top), (right, bottom) = patch.astype(int)
        assert left > atlas.shape[1]
        assert right < wide.shape[1]
        assert bottom < wide.shape[0]
        part = (slice(top, bottom + 1), slice(left, right + 1))
        assert (wide[part] != other[part]).mean() > 0.1
    assert PRINT[1, 1] < CLOTH[0, 1] < CLOTH[1, 1] < FACE[0, 1]


def test_rings_lie_around_their_finger_and_watches_around_the_wrist():
    hand = _hand()
    for seed in range(6):
        worn = ring(hand, np.random.default_rng(seed))
        size_m = np.sort(np.ptp(worn.verts_m, axis=0))
        assert 0.01 < size_m[-1] < 0.03
        assert np.linalg.norm(hand.joints_m - worn.verts_m.mean(0), axis=-1).min() < 0.03
        band, dial = watch(hand, np.random.default_rng(seed))
        assert np.linalg.norm(band.verts_m.mean(0) - hand.wrist_m) < 0.1
        assert (dial.verts_m.mean(0) - band.verts_m.mean(0)) @ hand.rotation[:, 2] < -0.01
        assert {band.owner, dial.owner, worn.owner} == {LEFT}


def test_somebody_stands_behind_a_hand_before_a_body():
    hand = _hand()
    for seed in range(6):
        nearest_m = min(part.verts_m[:, 2].min() for part in body_before(hand, np.random.default_rng(seed)))
        assert hand.joints_m[:, 2].max() - 0.06 < nearest_m < hand.joints_m[:, 2].max() + 0.8
