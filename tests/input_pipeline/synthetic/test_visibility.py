import numpy as np
import pytest

from input_pipeline.synthetic.raycast import RayCaster
from input_pipeline.synthetic.skin import vertex_normals
from input_pipeline.synthetic.visibility import Skin, inside_image, joint_visibility
from occrobnet_jax.hands.embedded_hand import Pose, load_hand, resting
from occrobnet_jax.skeleton import INTERHAND, LEFT, RIGHT, VISIBILITY

FACING_CAMERA = np.diag([1.0, -1.0, -1.0])
INTRINSICS = np.array([[400.0, 0, 127.5], [0, 400.0, 127.5], [0, 0, 1]], np.float32)
VISIBLE, OWN, OTHER, OBJECT, OUTSIDE = (VISIBILITY.index(name) for name in VISIBILITY[1:6])
TIPS = [INTERHAND.index(f"{finger}4") for finger in ("index", "middle", "ring")]


def _flat_hand(side=RIGHT):
    pose = Pose(side, np.zeros((5, 4)), np.zeros(10, np.float32), np.zeros(3))
    return resting(pose).moved(FACING_CAMERA, np.array([0, 0.08, 0.5]))


def _plate(low, high, depth):
    corners = np.array([[low[0], low[1]], [high[0], low[1]], [high[0], high[1]], [low[0], high[1]]])
    return np.column_stack([corners, np.full(4, depth)]), np.array([[0, 1, 2], [0, 2, 3]])


def _seen(hand, plate=None, plate_owner=2, intrinsics=INTRINSICS):
    model = load_hand().models[hand.side]
    verts, faces, owner = hand.verts_m, model.faces, np.full(len(model.faces), hand.side)
    if plate is not None:
        faces = np.concatenate([faces, plate[1] + len(verts)])
        owner = np.concatenate([owner, np.full(len(plate[1]), plate_owner)])
    caster = RayCaster(verts if plate is None else np.concatenate([verts, plate[0]]), faces)
    normals = vertex_normals(verts, model.faces)
    skin = Skin(verts, model.faces, normals, load_hand().joint_verts)
    inside = inside_image(hand.joints_m, intrinsics, (256, 256))
    return joint_visibility(caster, owner, hand.side, skin, inside, intrinsics, (256, 256))


def test_a_flat_open_hand_is_wholly_visible():
    classes, share = _seen(_flat_hand())
    assert (classes == VISIBLE).all()
    assert share.mean() > 0.9


@pytest.mark.parametrize(("owner", "name"), [(2, OBJECT), (LEFT, OTHER)])
def test_a_plate_in_front_of_the_fingertips_hides_them_and_only_them(owner, name):
    hand = _flat_hand()
    top = hand.joints_m[TIPS, 1].max() + 0.008
    in_front = _plate([-0.3, -0.3], [0.3, top * 0.8], 0.4)  # half way: perspective scales by 0.4 / 0.5
    classes, share = _seen(hand, in_front, owner)
    assert (classes[TIPS] == name).all()
    assert share[TIPS].max() < 0.2
    palm = [INTERHAND.index(n) for n in ("wrist", "index1", "thumb1")]
    assert (classes[palm] == VISIBLE).all()


def test_a_plate_behind_the_hand_hides_nothing():
    hand = _flat_hand()
    classes, share = _seen(hand, _plate([-0.3, -0.3], [0.3, 0.3], 0.8))
    np.testing.assert_array_equal(classes, _seen(hand)[0])
    np.testing.assert_allclose(share, _seen(hand)[1])


def test_half_a_plate_gives_half_a_share():
    hand = _flat_hand()
    tip = hand.joints_m[TIPS[1]]
    low = tip[1] - 0.05
    shares = []
    for edge in np.linspace(low, tip[1] + 0.05, 30):
        shares.append(_seen(hand, _plate([-0.3, -0.3], [0.3, edge * 0.8], 0.4))[1][TIPS[1]])
    assert shares[0] > 0.9
    assert shares[-1] < 0.05
    assert (np.diff(shares) <= 1e-9).all()
    assert any(0.2 < share < 0.8 for share in shares)


def test_fingers_bent_behind_the_palm_are_hidden_by_the_own_hand():
    angles = np.deg2rad([[0, 0, 0, 0]] + [[0, 75, 90, 50]] * 4)
    pose = Pose(RIGHT, angles, np.zeros(10, np.float32), np.zeros(3))
    from_behind = np.diag([-1.0, -1.0, 1.0])  # the back of the hand towards the camera
    hand = resting(pose).moved(from_behind, np.array([0, 0.05, 0.5]))
    classes, _ = _seen(hand)
    assert (classes[TIPS] == OWN).all()


def test_joints_out_of_the_image_are_outside():
    shifted = INTRINSICS.copy()
    shifted[1, 2] -= 170  # fingertips leave the image above
    classes, share = _seen(_flat_hand(), intrinsics=shifted)
    assert (classes[TIPS] == OUTSIDE).all()
    assert share[TIPS].max() < 0.2
    assert classes[INTERHAND.index("wrist")] == VISIBLE
