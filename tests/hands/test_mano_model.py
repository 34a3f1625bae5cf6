import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.convert.ho3d.h2o3d import H2O3D
from occrobnet_jax.hands.mano_model import REGRESSOR_FILE, TIP_VERTS, load_mano
from occrobnet_jax.skeleton import FINGERS, HAND_NAMES, INTERHAND, LEFT, RIGHT
from tests.official_ho3d import write_h2o3d
from tests.support.fake_mano import mano_record, write_mano
from tests.support.mano_by_hand import mano_by_hand
from tests.support.mano_hand import write_mano_hands

HANDS = pytest.mark.parametrize("hand", [RIGHT, LEFT], ids=HAND_NAMES)


@pytest.fixture(scope="module")
def records():
    rng = np.random.default_rng(0)
    pair = mano_record(rng), mano_record(rng)
    for record in pair:
        record["kintree_table"] = np.where(record["kintree_table"] < 0, 2**32 - 1, record["kintree_table"])
    return pair


def written(folder, records, **replaced):
    write_mano(folder / "MANO_RIGHT.pkl", records[RIGHT])
    write_mano(folder / "MANO_LEFT.pkl", records[LEFT], **replaced)
    return folder


@pytest.fixture(scope="module")
def folder(records, tmp_path_factory):
    return written(tmp_path_factory.mktemp("mano"), records)


@pytest.fixture(scope="module")
def mano(folder):
    return load_mano(folder)


def _parameters(batch=3):
    rng = np.random.default_rng(1)
    return rng.normal(0, 0.6, (batch, 48)), rng.normal(0, 1, (batch, 10)), rng.normal(0, 0.3, (batch, 3))


@HANDS
def test_a_batch_of_poses_agrees_with_mano_in_plain_loops(mano, records, hand):
    pose, shape, translation_m = _parameters()
    verts_m = mano.models[hand].verts_m(pose, shape, translation_m)
    joints_m = mano.models[hand].joints_m(pose, shape, translation_m)
    assert verts_m.shape == (3, 778, 3)
    assert joints_m.shape == (3, 21, 3)
    for row in range(3):
        verts, joints = mano_by_hand(records[hand], pose[row], shape[row], translation_m[row])
        tips = dict(zip((f"{finger}4" for finger in FINGERS), verts[list(TIP_VERTS["manopth"][hand])], strict=True))
        np.testing.assert_allclose(verts_m[row], verts, atol=1e-9)
        np.testing.assert_allclose(joints_m[row], [(joints | tips)[name] for name in INTERHAND], atol=1e-9)


@HANDS
def test_on_the_device_too(mano, hand):
    parameters = [value.astype(np.float32) for value in _parameters()]
    model = mano.models[hand]
    np.testing.assert_allclose(jax.jit(model.verts_m)(*parameters), model.verts_m(*_parameters()), atol=2e-6)
    np.testing.assert_allclose(jax.jit(model.joints_m)(*parameters), model.joints_m(*_parameters()), atol=2e-6)
    at_rest = jax.grad(lambda pose: model.joints_m(pose, jnp.zeros(10), jnp.zeros(3)).sum())(jnp.zeros(48))
    assert np.isfinite(at_rest).all()
    assert np.abs(at_rest).max() > 0


def test_the_published_left_hands_shape_is_mended(records, tmp_path):
    """Its first axis equals the right hand's, though a mirrored hand's must be the opposite."""
    right, left = records
    published = left["shapedirs"].copy()
    published[:, 0] = right["shapedirs"][:, 0] + 1e-5
    mended = load_mano(written(tmp_path, records, shapedirs=published)).models[LEFT]
    np.testing.assert_allclose(mended.skin.shape_m[..., 0], -published[:, 0].T)
    np.testing.assert_allclose(mended.skin.shape_m[..., 1:], np.moveaxis(published[:, 1:], -1, 0))
    expected = left["J_regressor"] @ -published[:, 0]
    np.testing.assert_allclose(mended.shape_pivots_m[..., 0], expected.T)
    shape = np.arange(10.0)
    verts, joints = mano_by_hand(
        left | {"shapedirs": published * np.array([-1.0, 1, 1])[:, None]}, np.zeros(48), shape, np.zeros(3)
    )
    np.testing.assert_allclose(mended.verts_m(np.zeros(48), shape, np.zeros(3)), verts, atol=1e-9)
    rest = mended.joints_m(np.zeros(48), shape, np.zeros(3))
    np.testing.assert_allclose(rest[INTERHAND.index("ring2")], joints["ring2"], atol=1e-9)


def test_a_left_hand_that_is_right_already_stays(mano, records):
    np.testing.assert_array_equal(mano.models[LEFT].skin.shape_m, np.moveaxis(records[LEFT]["shapedirs"], -1, 0))


def test_other_fingertips_are_a_choice(folder, mano):
    still = np.zeros(48), np.zeros(10), np.zeros(3)
    other = load_mano(folder, joints="smplx").models[LEFT]
    verts_m, joints_m = other.verts_m(*still), other.joints_m(*still)
    np.testing.assert_allclose(joints_m[INTERHAND.index("ring4")], verts_m[554])
    moved = np.abs(joints_m - mano.models[LEFT].joints_m(*still)).max(-1) > 0
    assert [name for name, it in zip(INTERHAND, moved, strict=True) if it] == [f"{finger}4" for finger in FINGERS]
    with pytest.raises(ValueError, match="joints='nails' is none of manopth, smplx, interhand"):
        load_mano(folder, joints="nails")


def test_joints_can_be_means_of_skin(records, tmp_path):
    """As InterHand2.6M's regressor describes them, in its order."""
    folder, rng = written(tmp_path, records), np.random.default_rng(3)
    regressor = np.where(rng.random((21, 778)) < 0.05, rng.random((21, 778)), 0)
    regressor /= regressor.sum(1, keepdims=True)
    np.save(folder / REGRESSOR_FILE, regressor.astype(np.float32))
    model, parameters = load_mano(folder, joints="interhand").models[LEFT], _parameters()
    np.testing.assert_allclose(model.joints_m(*parameters), regressor @ model.verts_m(*parameters), atol=1e-6)
    assert len(model.joints.rest_m) < 778
    np.save(folder / REGRESSOR_FILE, 2 * regressor)
    with pytest.raises(ValueError, match=r"J_regressor_mano_ih26m.npy: a row does not sum to 1"):
        load_mano(folder, joints="interhand")
    np.save(folder / REGRESSOR_FILE, np.array([{}]))
    with pytest.raises(ValueError, match=r"J_regressor_mano_ih26m.npy is not a NumPy file"):
        load_mano(folder, joints="interhand")
    (folder / REGRESSOR_FILE).unlink()
    with pytest.raises(ValueError, match=r"J_regressor_mano_ih26m.npy can't be read"):
        load_mano(folder, joints="interhand")


@pytest.mark.parametrize(
    ("key", "change", "message"),
    [
        ("kintree_table", lambda table: table[:, ::-1], "kintree_table has the parents"),
        ("weights", lambda weights: 2 * weights, "a row of weights does not sum to 1"),
        ("J_regressor", lambda regressor: regressor * 0, "a row of J_regressor does not sum to 1"),
        ("f", lambda faces: faces + 700, "f has the vertex numbers 7"),
        ("posedirs", lambda basis: basis[..., :-1], r"posedirs is float64(778, 3, 134) where numbers of shape"),
    ],
)
def test_files_that_are_no_hand_are_named(records, tmp_path, key, change, message):
    folder = written(tmp_path, records, **{key: np.ascontiguousarray(change(records[LEFT][key]))})
    with pytest.raises(ValueError, match=rf"MANO_LEFT.pkl is not a MANO file: {re.escape(message)}"):
        load_mano(folder)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"MANO_RIGHT.pkl can't be read"):
        load_mano(tmp_path)


def test_converted_fits_pose_the_annotated_joints(tmp_path):
    """An H2O-3D whose joints are MANO's, in HO-3D's axes and order: what is stored poses them in ours."""
    mano = load_mano(write_mano_hands(tmp_path / "mano"))
    source = H2O3D(write_h2o3d(tmp_path / "h2o3d", frames=1, mano=mano))
    for index in range(source.splits["train"]):
        example = source.example("train", index)
        assert example["hand_pose_known"].all()
        for hand in (RIGHT, LEFT):
            fit = (example[name][hand].astype(float) for name in ("hand_pose", "hand_shape", "hand_translation_m"))
            known = example["joints_annotated"][hand] > 0
            posed = mano.models[hand].joints_m(*fit)
            np.testing.assert_allclose(posed[known], example["joints_cam_m"][hand][known], atol=1e-6)


def test_fingertips_are_the_published_vertices():
    """Of manopth's ManoLayer, whose left middle tip is another vertex, and of smplx's vertex ids; thumb first."""
    assert TIP_VERTS["manopth"] == {RIGHT: (745, 317, 444, 556, 673), LEFT: (745, 317, 445, 556, 673)}
    assert TIP_VERTS["smplx"] == dict.fromkeys((RIGHT, LEFT), (744, 320, 443, 554, 671))


@pytest.mark.parametrize("hand", [RIGHT, LEFT])
@pytest.mark.parametrize("joints", ["manopth", "smplx"])
def test_each_fingertip_is_its_vertex(folder, hand, joints):
    model = load_mano(folder, joints=joints).models[hand]
    still = np.zeros(48), np.zeros(10), np.zeros(3)
    tips = [INTERHAND.index(f"{finger}4") for finger in FINGERS]
    np.testing.assert_allclose(model.joints_m(*still)[tips], model.verts_m(*still)[list(TIP_VERTS[joints][hand])])
