"""Hands as joint angles: from labels through the network's parts to joints, losses and what is written."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from input_pipeline.augment import NONE, Augmentation
from input_pipeline.config import DataConfig
from input_pipeline.transforms import augment_example
from occrobnet_jax.evaluation.evaluate import columns
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.geometry.kinematics import accumulate_bones, bone_vectors
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.hands.mano_model import load_mano
from occrobnet_jax.inference.predictor import Photo, Predictor
from occrobnet_jax.inference.results import prediction_json
from occrobnet_jax.models import hand as hands
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.decode import decode
from occrobnet_jax.models.heads import PoseHeads
from occrobnet_jax.models.queries import QueryLayout
from occrobnet_jax.runs.experiment import Experiment, LossConfig
from occrobnet_jax.skeleton import INTERHAND, NUM_JOINTS, POSED_JOINTS
from occrobnet_jax.training import losses, targets
from occrobnet_jax.types import Batch, Predictions
from tests.support.fake_batches import batch_of, perfect_predictions
from tests.support.fake_datasets import fake_example
from tests.support.mano_hand import write_mano_hands
from tests.support.posed_hands import random_parameters
from tests.support.rotations import matrix_to_rotation_6d
from tests.support.tiny import INPUT_SIZE_PX, tiny_model

SOME = (
    NONE,
    Augmentation(flip=True),
    Augmentation((0.05, -0.08), 1.1, 0.7),
    Augmentation(rotation_rad=-0.9, flip=True),
)
FORMS = ("6d", "axis_angle", "axis_angle_from_mean")
ANGLES = tiny_model(representation="angles")
LOSS = LossConfig()


@pytest.fixture(scope="module")
def mano(tmp_path_factory) -> Path:
    return write_mano_hands(tmp_path_factory.mktemp("mano"))


def posed_example(index: int, models: Any) -> dict[str, Any]:
    """A fake example whose joints are those of posed hands, and whose fits say so."""
    example = fake_example(index)
    for hand, parameters in enumerate(random_parameters(np.random.default_rng(index), models, 0.3)):
        if example["hand_present"][hand]:
            joints = models[hand].joints_m(*parameters)
            example["joints_cam_m"][hand], example["root_cam_m"][hand] = joints, joints[-1]
            example["hand_pose"][hand], example["hand_shape"][hand], example["hand_translation_m"][hand] = parameters
            example["hand_pose_known"][hand] = 1
    return example


@functools.cache
def posed_batch() -> Batch:
    return batch_of([posed_example(index, load_hand().models) for index in range(6)], ANGLES, INPUT_SIZE_PX)


def config_of(form: str, mano: Path) -> ModelConfig:
    return tiny_model(representation="angles", rotation_form=form, hand_model=str(mano) if "mean" in form else "")


def rotations_of(pose: jax.Array, config: ModelConfig) -> jax.Array:
    """What a network of the config would say for a flat pose (..., 2, 48)."""
    vectors = pose.reshape(*pose.shape[:-1], 16, 3)
    if config.rotation_form == "6d":
        return matrix_to_rotation_6d(axis_angle_to_matrix(vectors)) - jnp.array(hands.IDENTITY_6D)[None, None, None]
    if config.rotation_form == "axis_angle":
        return vectors
    mean = load_mano(Path(config.hand_model)).mean_pose.reshape(2, 15, 3)
    return vectors - jnp.asarray(np.pad(mean, ((0, 0), (1, 0), (0, 0))))[None]


@functools.partial(jax.jit, static_argnames="config")
def posed(rotations: jax.Array, shape: jax.Array, config: ModelConfig) -> jax.Array:
    """Of one layer, beside another."""
    both = hands.posed_joints_rel_m(jnp.stack([0 * rotations, rotations]), jnp.stack([0 * shape, shape]), config)
    return both[1]


@pytest.mark.parametrize("form", FORMS)
def test_the_labels_rotations_pose_the_labels_joints(form: str, mano: Path) -> None:
    config = config_of(form, mano)
    models = load_mano(mano).models if config.hand_model else load_hand().models
    rng = np.random.default_rng(5)
    both = [random_parameters(rng, models, 0.3) for _ in range(3)]
    pose = jnp.asarray([[hand[0] for hand in pair] for pair in both], jnp.float32)
    shape = jnp.asarray([pair[0][1] for pair in both], jnp.float32)
    joints = posed(rotations_of(pose, config), shape, config)
    for row, pair in enumerate(both):
        for hand in range(2):
            expected = root_relative(models[hand].joints_m(*pair[hand]))
            np.testing.assert_allclose(joints[row, hand], expected, atol=2e-6)
    vectors = hands.flat_axis_angle(rotations_of(pose, config), config)
    np.testing.assert_allclose(vectors.reshape(3, 2, 48), pose, atol=1e-5)


def test_a_network_that_says_nothing_shows_the_hand_at_rest() -> None:
    joints = posed(jnp.zeros((3, 2, 16, 6)), jnp.zeros((3, 10)), ANGLES)
    for hand, model in enumerate(load_hand().models):
        np.testing.assert_allclose(joints[0, hand], root_relative(model.joints.rest_m), atol=1e-6)


def test_missing_mano_files_are_named_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model.hand_model='.*nowhere': .*MANO_RIGHT.pkl can't be read"):
        hands.load_hands(str(tmp_path / "nowhere"), "manopth")
    with pytest.raises(ValueError, match=r"of MANO's mean pose; set model.hand_model"):
        tiny_model(rotation_form="axis_angle_from_mean")


@pytest.mark.parametrize("augmentation", SOME)
@pytest.mark.parametrize("model", ["embedded", "MANO's format"])
def test_augmented_parameters_pose_the_augmented_joints(augmentation: Any, model: str, mano: Path) -> None:
    models = load_hand().models if model == "embedded" else load_mano(mano).models
    for index in (0, 1, 2):  # right, left, both
        example = posed_example(index, models)
        fields = augment_example(example, DataConfig(input_size_px=64), 2, augmentation)
        present = example["hand_present"][::-1] if augmentation.flip else example["hand_present"]
        np.testing.assert_array_equal(fields["hand_pose_known"], present > 0)
        for hand in np.flatnonzero(fields["hand_pose_known"]):
            pose, shape = (fields[name][hand].astype(np.float64) for name in ("hand_pose", "hand_shape"))
            joints = root_relative(models[hand].joints_m(pose, shape, np.zeros(3)))
            atol = 1e-6 if model == "embedded" or not augmentation.flip else 3e-3  # its pose corrections are noise
            np.testing.assert_allclose(joints, root_relative(fields["joints_cam_m"][hand]), atol=atol)
        unknown = ~fields["hand_pose_known"]
        assert not fields["hand_pose"][unknown].any()


@functools.cache
def perfect_angles() -> Predictions:
    batch = posed_batch()
    shape, _ = targets.hand_shape(batch)
    predictions = perfect_predictions(batch, ANGLES, LOSS)
    layers = len(predictions.relative_translation_m)
    rotations = rotations_of(batch.hand_pose, ANGLES)
    return predictions.replace(
        axis_heatmaps=None,
        hand_rotations=jnp.broadcast_to(rotations, (layers, *rotations.shape)),
        hand_shape=jnp.broadcast_to(shape, (layers, *shape.shape)),
    )


def means(predictions: Predictions, batch: Batch, config: ModelConfig = ANGLES) -> dict[str, float]:
    return {
        name: float(value / jnp.maximum(count, 1)) for name, (value, count) in terms(predictions, batch, config).items()
    }


@functools.partial(jax.jit, static_argnames=("config", "loss"))
def terms(
    predictions: Predictions, batch: Batch, config: ModelConfig, loss: LossConfig = LOSS
) -> dict[str, losses.Term]:
    return losses.losses(predictions, batch, config, loss)


def test_true_angles_cost_nothing_and_wrong_ones_their_own_terms() -> None:
    batch, perfect = posed_batch(), perfect_angles()
    before = means(perfect, batch)
    assert before["hand_pose"] < 1e-5
    assert before["hand_shape"] == 0
    turned = perfect.replace(hand_rotations=perfect.hand_rotations.at[-1, :, :, 4, 1].add(0.3))
    larger = perfect.replace(hand_shape=perfect.hand_shape + 0.1)
    assert {name for name, cost in means(turned, batch).items() if cost > before[name] + 1e-4} == {"hand_pose"}
    after = means(larger, batch)
    assert {name for name, cost in after.items() if cost > before[name] + 1e-4} == {"hand_shape"}
    np.testing.assert_allclose(after["hand_shape"], 5.0 * 0.1, rtol=1e-5)


@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.48, -0.6, 0.64)])
def test_an_error_of_6d_rotations_costs_more_up_to_half_a_turn(axis: tuple[float, ...]) -> None:
    """Otherwise fingers would stay folded the wrong way."""
    batch, perfect = posed_batch(), perfect_angles()
    wanted = axis_angle_to_matrix(batch.hand_pose.reshape(6, 2, 16, 3))
    angles = np.linspace(0.02, np.pi, 25)
    costs = []
    for angle in angles:
        said = wanted @ axis_angle_to_matrix(angle * jnp.asarray(axis, jnp.float32))
        rotations = matrix_to_rotation_6d(said) - np.broadcast_to(hands.IDENTITY_6D, (*said.shape[:-2], 6))
        costs.append(means(perfect.replace(hand_rotations=rotations[None]), batch)["hand_pose"])
    shares = np.array(costs) / costs[0] * angles[0]
    np.testing.assert_allclose(shares, 2 * np.sin(angles / 2), rtol=2e-3)


def test_a_frame_without_a_fit_teaches_no_angles() -> None:
    """Whatever stands in its fields."""
    batch, perfect = posed_batch(), perfect_angles()
    wrong = perfect.replace(hand_rotations=perfect.hand_rotations + 0.2, hand_shape=perfect.hand_shape + 1)
    blind = batch.replace(
        hand_pose_known=jnp.zeros_like(batch.hand_pose_known),
        hand_pose=jnp.full_like(batch.hand_pose, jnp.nan),
        hand_shape=jnp.full_like(batch.hand_shape, jnp.nan),
    )
    costs = means(wrong, blind)
    assert costs["hand_pose"] == costs["hand_shape"] == 0
    one = batch.replace(hand_pose_known=batch.hand_pose_known.at[2, 1].set(False))
    some, all_ = (terms(wrong, each, ANGLES, dataclasses.replace(LOSS, normalise="valid")) for each in (one, batch))
    layers, joints = len(wrong.hand_rotations), 16
    assert all_["hand_pose"][1] - some["hand_pose"][1] == layers * joints


@pytest.mark.parametrize("form", FORMS[1:])
def test_the_angle_loss_of_keypoint_transformer(form: str, mano: Path) -> None:
    """Absolute differences of a hand's 48 numbers, each hand's masked, over 32 rotations; in plain loops."""
    config, batch = config_of(form, mano), posed_batch()
    rotations = np.random.default_rng(0).normal(0, 0.4, (1, 6, 2, 16, 3))
    total = 0.0
    for row in range(6):
        for hand in range(2):
            if batch.hand_pose_known[row, hand]:
                mean = load_mano(mano).mean_pose[hand] if "mean" in form else np.zeros(45)
                said = rotations[0, row, hand].ravel() + np.pad(mean, (3, 0))
                total += np.abs(said - np.asarray(batch.hand_pose[row, hand])).sum() / 32
    predictions = perfect_angles().replace(hand_rotations=jnp.asarray(rotations, jnp.float32))
    np.testing.assert_allclose(means(predictions, batch, config)["hand_pose"], 0.07 * total / 6, rtol=1e-4)


def test_the_shape_that_is_taught_is_the_mean_of_the_known_hands() -> None:
    batch = posed_batch()
    shapes = jnp.asarray(np.random.default_rng(0).random((6, 2, 10)), jnp.float32)
    known = jnp.array([[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [1, 1]], bool)
    wanted, taught = targets.hand_shape(batch.replace(hand_shape=shapes, hand_pose_known=known))
    np.testing.assert_allclose(wanted[2], (shapes[2, 0] + shapes[2, 1]) / 2)
    np.testing.assert_allclose(wanted[1], shapes[1, 1])
    assert taught.tolist() == [True, True, True, False, True, True]


def test_angle_labels_count_only_where_they_are_of_the_hand_that_is_posed() -> None:
    def taught(name: str, hand_model: str) -> bool:
        model = tiny_model(representation="angles", hand_model=hand_model)
        return Experiment(model=model, data=DataConfig(name=name)).loss_in_use.hand_pose > 0

    assert taught("synthetic_hands", "")
    assert not taught("synthetic_hands", "mano")
    assert taught("h2o3d+ho3d_v2", "mano")
    assert not taught("h2o3d+ho3d_v2", "")
    assert not taught("h2o3d+synthetic_hands", "mano")
    assert not taught("h2o3d+synthetic_hands", "")


@pytest.mark.parametrize("with_object", [False, True])
def test_query_masks(with_object: bool) -> None:
    layout = QueryLayout.of(tiny_model(representation="angles", with_object=with_object))
    mask = layout.query_mask()
    assert layout.size == (35 if with_object else 33)
    seen = [33, 34] if with_object else []
    assert mask[0].nonzero()[0].tolist() == [0, *seen]  # the whole hand's rotation sees itself
    assert mask[2].nonzero()[0].tolist() == [1, 2, 3, *seen]
    assert mask[16].nonzero()[0].tolist() == [16, *seen]
    assert mask[31].nonzero()[0].tolist() == [29, 30, 31, *seen]
    assert mask[layout.camera].nonzero()[0].tolist() == [32, *seen]
    if with_object:
        assert mask[layout.object_rotation].all()
        assert mask[layout.object_translation].all()


def test_each_joint_in_2d_is_said_by_its_own_query() -> None:
    """A tip by that of its finger's last joint."""
    heads = PoseHeads(ANGLES)
    decoded = jax.random.normal(jax.random.key(0), (1, 1, 35, 32))
    variables = jax.jit(heads.init)(jax.random.key(1), decoded)

    @jax.jit
    def joints_crop(decoded: jax.Array) -> jax.Array:
        return heads.apply(variables, decoded)["joints_crop"][0, 0]

    before = joints_crop(decoded)
    assert before.shape == (2, NUM_JOINTS, 2)
    for name, moved in (("wrist", {"wrist"}), ("ring3", {"ring3", "ring4"}), ("thumb1", {"thumb1"})):
        after = joints_crop(decoded.at[:, :, 16 + POSED_JOINTS.index(name)].add(1.0))
        changed = jnp.abs(after - before).max(-1) > 0
        assert not changed[0].any()
        assert {joint for joint, it in zip(INTERHAND, changed[1].tolist(), strict=True) if it} == moved


def test_what_is_decoded_can_be_posed_again_and_is_written() -> None:
    batch, perfect = posed_batch(), perfect_angles()
    pose = jax.jit(decode, static_argnums=(2, 3))(perfect, batch.intrinsics, INPUT_SIZE_PX, ANGLES)
    known = np.asarray(batch.hand_pose_known)
    for row, hand in zip(*known.nonzero(), strict=True):
        numbers = (np.asarray(pose.hand_pose[row, hand]), np.asarray(pose.hand_shape[row]), np.zeros(3, np.float32))
        joints = load_hand().models[hand].joints_m(*numbers)
        np.testing.assert_allclose(root_relative(joints), pose.joints_rel_m[row, hand], atol=3e-6)
    said = columns(pose)
    assert said["predicted_hand_pose"].shape == (6, 2, 48)
    assert said["predicted_hand_shape"].shape == (6, 10)
    assert not any("hand_pose" in name for name in columns(pose.replace(hand_pose=None)))

    experiment = Experiment(model=ANGLES, data=DataConfig(input_size_px=INPUT_SIZE_PX))
    predictor = Predictor(experiment, 7, lambda image, intrinsics: jax.tree.map(lambda field: field[:1], pose))
    photo = Photo.of(posed_example(0, load_hand().models)["image"], "a.png")
    (crop,) = json.loads(prediction_json([predictor.predict(photo)], photo, "runs/x", 7))["crops"]
    written = crop["hands"][0]
    np.testing.assert_allclose(written["pose"], pose.hand_pose[0, 0], atol=1e-6)
    np.testing.assert_allclose(written["shape"], pose.hand_shape[0], atol=1e-6)


def test_bones_of_the_posed_hand_are_those_that_the_rest_of_the_network_sees() -> None:
    heads = PoseHeads(ANGLES)
    decoded = 30 * jax.random.normal(jax.random.key(0), (1, 1, 35, 32))
    outputs = jax.jit(lambda x: heads.init_with_output(jax.random.key(1), x)[0])(decoded)
    joints = posed(outputs["hand_rotations"][0], outputs["hand_shape"][0], ANGLES)[None]
    np.testing.assert_allclose(outputs["bone_vectors_m"], bone_vectors(joints), atol=1e-6)
    np.testing.assert_allclose(accumulate_bones(outputs["bone_vectors_m"]), joints, atol=1e-6)
    assert outputs["axis_heatmaps"] is None
