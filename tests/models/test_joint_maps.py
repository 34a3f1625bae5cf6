"""Where maps of single joints have their joints, and tokens there that know which joint they are."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models import decode
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.finder import HandFinder
from occrobnet_jax.models.heads import PoseHeads
from occrobnet_jax.models.joint_maps import locate
from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.models.queries import QueryLayout
from occrobnet_jax.models.tokens import Tokens
from occrobnet_jax.models.transformer import Decoder
from occrobnet_jax.types import Keypoints, Predictions
from tests.support.fake_runs import drawn_for
from tests.support.tiny import LEAN_MODEL

pytestmark = pytest.mark.usefixtures("shallow_resnet18")

JOINTS = dataclasses.replace(LEAN_MODEL, joint_maps_head=True, keypoints="joints", finder_head=True, ciet="off")
SIZE_PX = 64
IMAGE = jnp.asarray(np.random.default_rng(1).integers(0, 255, (2, SIZE_PX, SIZE_PX, 3), np.uint8))


def logits(xy: tuple[float, float], sigma: float = 0.8, size: tuple[int, int] = (12, 16)) -> jax.Array:
    y, x = np.mgrid[: size[0], : size[1]]
    return jnp.asarray(-((x - xy[0]) ** 2 + (y - xy[1]) ** 2) / (2 * sigma**2))[None, :, :, None]


@pytest.mark.parametrize("xy", [(3.0, 4.0), (7.3, 5.8), (12.45, 2.2)])
def test_a_place_between_pixels_is_found(xy):
    located = locate(logits(xy))
    np.testing.assert_allclose(located.xy_hm[0, 0], xy, atol=0.06)
    assert located.share[0, 0] > 0.95


def test_of_two_places_the_likelier_is_taken_and_its_share_said():
    both = jnp.logaddexp(logits((3.0, 3.0)) + jnp.log(0.7), logits((11.0, 8.0)) + jnp.log(0.3))
    located = locate(both)
    np.testing.assert_allclose(located.xy_hm[0, 0], (3.0, 3.0), atol=0.02)
    np.testing.assert_allclose(located.share[0, 0], 0.7, atol=0.02)


def test_a_map_that_says_nothing_is_unsure():
    assert locate(jnp.zeros((1, 16, 16, 1))).share[0, 0] < 0.05


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """Of the network with drawn weights, on two pictures of noise."""
    model = OccRobNet(JOINTS)
    return jax.jit(functools.partial(model.apply, train=False))(drawn_for(model), IMAGE)


def test_tokens_stand_where_the_maps_have_the_joints(predictions):
    np.testing.assert_allclose(predictions.keypoints.xy_hm, locate(predictions.joint_maps).xy_hm, atol=1e-4)
    assert predictions.keypoints.valid.all()


def test_2d_joints_are_corrections_of_where_the_maps_have_them():
    """The same queries, and joints located one tenth of the crop further on."""
    queries = jnp.asarray(np.random.default_rng(2).normal(size=(1, 2, QueryLayout.of(JOINTS).size, JOINTS.width)))
    heads, located = PoseHeads(JOINTS), jnp.full((2, 42, 2), 0.3)
    variables = heads.init(jax.random.key(0), queries, located)
    here, there = (heads.apply(variables, queries, place)["joints_crop"] for place in (located, located + 0.1))
    np.testing.assert_allclose(there - here, 0.1, atol=1e-6)
    np.testing.assert_allclose(here, 0.3, atol=0.1)  # a new network hardly corrects


def test_a_token_knows_which_joint_it_is():
    """All joints at one place, and still each token differs."""
    at_one_place = Keypoints(jnp.full((1, 42, 2), 5.0), jnp.ones((1, 42), bool), jnp.zeros((1, 42), bool))
    levels = tuple(jnp.ones((1, 16 // 2**i, 16 // 2**i, 8)) for i in range(3))
    for config, differ in ((JOINTS, True), (LEAN_MODEL, False)):
        tokens, _ = Tokens(config).init_with_output(jax.random.key(0), levels, at_one_place, (16, 16))
        assert (jnp.abs(tokens[0, 0] - tokens[0, 1]).max() > 0.1) == differ


@pytest.mark.parametrize("representation", ["vectors", "2.5d"])
def test_the_query_of_a_joint_starts_from_the_token_of_that_joint(representation):
    """Tokens are numbered by hand and joint; wrists have no query where bones are predicted."""
    layout = QueryLayout.of(dataclasses.replace(JOINTS, representation=representation))
    tokens = jnp.arange(42.0)[None, :, None] + jnp.zeros((2, 1, 3))
    start = np.asarray(layout.start(jnp.concatenate([tokens, jnp.full((2, 8, 3), 99.0)], 1)))[:, :, 0]
    right = np.arange(20 if representation == "vectors" else 21)
    np.testing.assert_array_equal(start[0], [*right, *right + 21, *[0] * (layout.size - 2 * len(right))])


def test_the_pose_follows_the_tokens_that_queries_start_from():
    """Without any layer of the decoder's doing, so that nothing else can carry them there."""
    config = dataclasses.replace(JOINTS, decoder_start="tokens")
    args = jnp.ones((1, 5, config.width)), jnp.ones((4, 4), bool), jnp.ones((1, 4, 5), bool)
    starts = jax.random.normal(jax.random.key(3), (2, 1, 4, config.width))
    variables = Decoder(config).init(jax.random.key(0), *args, starts[0], train=False)
    one, other = (Decoder(config).apply(variables, *args, start, train=False) for start in starts)
    assert jnp.abs(one - other).max() > 0.1


def test_a_hand_whose_maps_are_surer_is_the_likelier_one(predictions):
    """The head can't tell; maps of one hand agree on a place, and the other's don't."""
    size = predictions.joint_maps.shape[1:3]
    peaked = jnp.repeat(logits((5.0, 5.0), size=size), 21, -1)
    flat = jnp.zeros_like(peaked)

    def presence(right: jax.Array, left: jax.Array, what: str = "maps") -> np.ndarray:
        maps = jnp.repeat(jnp.concatenate((right, left), -1), 2, 0)
        said = predictions.replace(joint_maps=maps, hand_logits=jnp.zeros((2, 2)))
        return np.asarray(decode._hand_probability(said, dataclasses.replace(JOINTS, hand_presence=what)))[0]

    for hands, likelier in (((peaked, flat), 0), ((flat, peaked), 1)):
        assert presence(*hands)[likelier] > 0.9
        assert presence(*hands).sum() == pytest.approx(1.0, abs=1e-5)
    np.testing.assert_allclose(presence(peaked, peaked), 0.5, atol=1e-6)
    np.testing.assert_allclose(presence(flat, peaked, "head"), 0.5, atol=1e-6)


def test_the_finder_alone_says_what_it_says_in_the_network(predictions):
    alone = jax.jit(HandFinder(JOINTS).apply)(drawn_for(OccRobNet(JOINTS)), IMAGE)
    for ours, theirs in zip(jax.tree.leaves(alone), jax.tree.leaves(predictions.hand_cells), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_keypoints_of_joints_need_their_maps():
    with pytest.raises(ValueError, match="joint_maps_head=True"):
        ModelConfig(keypoints="joints", max_joint_keypoints=42)
    with pytest.raises(ValueError, match="must be 42"):
        ModelConfig(keypoints="joints", joint_maps_head=True, max_joint_keypoints=50)
    with pytest.raises(ValueError, match="decoder_start='tokens' needs a token"):
        ModelConfig(decoder_start="tokens")
