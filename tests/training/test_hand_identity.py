"""The factored token classifier and the hand-identity loss, against the words of their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from occrobnet_jax.models.decode import class_probabilities
from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.runs.experiment import Experiment, LossConfig
from occrobnet_jax.training import losses, targets
from occrobnet_jax.types import Keypoints, Predictions
from tests.support.fake_batches import fake_batch, perfect_predictions
from tests.support.tiny import INPUT_SIZE_PX, tiny_model

FACTORED = tiny_model(token_classifier="joint_and_hands")
STRIDE, RADIUS = FACTORED.heatmap_stride, 3.0
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def batch():
    """Two hands of which the left one's first joint lies on the right one's."""
    batch = jax.tree.map(lambda field: field[2::3], fake_batch(FACTORED, INPUT_SIZE_PX))
    joints_px = batch.joints_px.at[:, 1, 0].set(batch.joints_px[:, 0, 0])
    return batch.replace(
        joints_px=joints_px, joint_in_crop=jnp.ones_like(batch.joint_in_crop), is_real=jnp.ones(2, bool)
    )


@pytest.fixture(scope="module")
def keypoints(batch) -> Keypoints:
    """At the shared joint, at a joint of each hand, far from all, and an empty slot."""
    joints = batch.joints_px / STRIDE
    xy = jnp.stack([joints[:, 0, 0], joints[:, 0, 5], joints[:, 1, 7], jnp.full((2, 2), -90.0), jnp.zeros((2, 2))], 1)
    valid = jnp.array([[True, True, True, True, False]] * 2)
    return Keypoints(xy, valid, jnp.zeros_like(valid))


@pytest.fixture(scope="module")
def predicted(batch, keypoints):
    """Predictions of given logits for these tokens."""
    others = perfect_predictions(batch, tiny_model(), LossConfig())

    def predictions(class_logits, token_hand_logits) -> Predictions:
        hands = None if token_hand_logits is None else jnp.asarray(token_hand_logits)
        return others.replace(
            keypoints=keypoints, class_logits=jnp.asarray(class_logits, jnp.float32), token_hand_logits=hands
        )

    return predictions


def test_a_token_under_an_overlap_belongs_to_both_hands(batch, keypoints):
    hands, taught = targets.token_hands(keypoints, batch, STRIDE, 0.01)
    np.testing.assert_array_equal(hands[0, :4], [[True, True], [True, False], [False, True], [False, False]])
    np.testing.assert_array_equal(taught[0], [True, True, True, False, False])


def test_the_factored_loss_teaches_each_hand_apart(batch, predicted):
    logits = RNG.normal(0, 2, (1, 2, 5, 2))
    tokens = predicted(np.zeros((1, 2, 5, 23)), logits)
    value, count = losses.hand_identity_loss(tokens, batch, FACTORED, LossConfig(match_radius_hm=0.01))
    wanted = np.array([[1, 1], [1, 0], [0, 1]])
    probability = special.expit(logits[0, :, :3])
    expected = -np.log(np.where(wanted[None] == 1, probability, 1 - probability)).sum()
    assert count == 2 * 3 * 2
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_of_the_common_softmax_the_hands_share_is_taught(batch, keypoints, predicted):
    logits = RNG.normal(0, 2, (1, 2, 5, 44))
    tokens = predicted(logits, None)
    config = LossConfig(match_radius_hm=0.01)
    value, count = losses.hand_identity_loss(tokens, batch, tiny_model(), config)
    classes, _ = targets.token_classes(keypoints, batch, STRIDE, 0.01)
    probability = special.softmax(logits[0], -1)
    right, left = probability[..., 1:22].sum(-1), probability[..., 22:43].sum(-1)
    own = np.where(np.asarray(classes) > 21, left, right)[:, :3] / (right + left)[:, :3]
    assert count == 2 * 3
    np.testing.assert_allclose(value, -np.log(own).sum(), rtol=1e-5)


def test_classes_are_joint_times_hand(predicted):
    joints, hands = RNG.normal(0, 2, (1, 2, 5, 23)), RNG.normal(0, 2, (1, 2, 5, 2))
    found = class_probabilities(predicted(joints, hands))
    p, h = special.softmax(joints[0], -1), special.expit(hands[0])
    assert found.shape == (2, 5, 44)
    np.testing.assert_allclose(found[1, 2, 1 + 4], p[1, 2, 1 + 4] * h[1, 2, 0], rtol=1e-5)
    np.testing.assert_allclose(found[1, 2, 22 + 4], p[1, 2, 1 + 4] * h[1, 2, 1], rtol=1e-5)
    np.testing.assert_allclose(found[..., [0, 43]], p[..., [0, 22]], rtol=1e-5)


def test_the_class_loss_of_the_factored_head_is_over_joints(batch, keypoints, predicted):
    classes, known = targets.token_classes(keypoints, batch, STRIDE, RADIUS)
    joints = RNG.normal(0, 2, (1, 2, 5, 23))
    tokens = predicted(joints, np.zeros((1, 2, 5, 2)))
    value, _ = losses.keypoint_class_loss(tokens, batch, FACTORED, LossConfig(match_radius_hm=RADIUS))
    of_joint = np.array([0, *range(1, 22), *range(1, 22), 22])[np.asarray(classes)]
    log_p = special.log_softmax(joints[0], -1)
    expected = -(np.take_along_axis(log_p, of_joint[..., None], -1)[..., 0] * np.asarray(known)).sum()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_the_network_has_the_factored_head_and_needs_its_loss():
    image = jax.ShapeDtypeStruct((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), jnp.uint8)
    shapes, _ = jax.eval_shape(lambda x: OccRobNet(FACTORED).init_with_output(jax.random.key(0), x, train=False), image)
    assert (shapes.class_logits.shape[-1], shapes.token_hand_logits.shape[-1]) == (23, 2)
    with pytest.raises(ValueError, match=r"loss\.hand_identity=0 never teaches"):
        Experiment(model=FACTORED)
