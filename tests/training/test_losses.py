"""Losses and targets: perfect predictions cost nothing, every error costs, what is masked teaches nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.keypoints import teacher_keypoints
from occrobnet_jax.runs.experiment import LossConfig
from occrobnet_jax.training import losses, targets
from occrobnet_jax.types import Batch, Keypoints, Predictions
from tests.support.fake_batches import fake_batch, perfect_predictions
from tests.support.rotations import matrix_to_rotation_6d
from tests.support.tiny import tiny_model

SIZE_PX = 64
CONFIG = tiny_model(left_object_translation=True, bins=64)
LOSS = LossConfig()
BATCH = fake_batch(CONFIG, SIZE_PX)
PERFECT = perfect_predictions(BATCH, CONFIG, LOSS)
# The weak camera can't reproduce perspective, so its projection alone costs something on perfect labels.
INEXACT = {"weak_joints_2d"}


@jax.jit
def all_losses(predictions: Predictions, batch: Batch) -> dict[str, losses.Term]:
    return losses.losses(predictions, batch, CONFIG, LOSS)


def means(predictions: Predictions, batch: Batch) -> dict[str, float]:
    return {name: float(value / count) for name, (value, count) in all_losses(predictions, batch).items()}


def test_perfect_predictions_cost_nothing() -> None:
    costs = means(PERFECT, BATCH)
    assert set(costs) == {field.name for field in dataclasses.fields(LossConfig) if field.type is float} - {
        "heatmap_sigma_hm",
        "axis_sigma_bins",
        "match_radius_hm",
        *("hand_pose", "hand_shape"),  # of angles, see test_angles.py
        "hand_identity",  # off by default, see test_hand_identity.py
        *("joint_maps", "finder", "finder_box"),  # of heads that are off by default, see test_localization.py
    } | {"object_triangle"}
    assert {name for name, cost in costs.items() if cost > 1e-3} <= INEXACT
    assert costs["weak_joints_2d"] < 0.05


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("heatmap", {"heatmap"}),
        ("object_map", {"object_map"}),
        ("hand_maps", {"hand_maps"}),
        ("class_logits", {"keypoint_class"}),
        ("bone_vectors_m", {"bone_vectors", "root_relative_joints", "weak_joints_2d"}),
        ("axis_heatmaps", {"axis_heatmaps"}),
        ("joints_crop", {"joints_2d"}),
        ("weak_camera", {"weak_joints_2d", "weak_camera_scale", "weak_camera_translation"}),
        ("relative_translation_m", {"relative_translation", "object_triangle", "weak_joints_2d"}),
        ("object_rotation_6d", {"object_corners"}),
        ("object_translation_m", {"object_translation", "object_corners", "object_triangle"}),
        ("visibility_logits", {"visibility"}),
        ("hand_logits", {"hand_type"}),
    ],
)
def test_an_error_in_a_prediction_costs_its_own_terms(field: str, terms: set[str]) -> None:
    value = getattr(PERFECT, field)
    noise = jax.random.normal(jax.random.key(0), value.shape)
    spoilt = PERFECT.replace(**{field: value + noise * jnp.maximum(0.1, jnp.abs(value).max())})
    before, after = means(PERFECT, BATCH), means(spoilt, BATCH)
    assert {name for name in after if after[name] > before[name] + 1e-3} == terms


def test_an_object_with_a_factor_costs_so_much_more() -> None:
    assert PERFECT.object_translation_m is not None
    spoilt = PERFECT.replace(object_translation_m=PERFECT.object_translation_m + 0.1)
    batch = BATCH.replace(object_id=jnp.full_like(BATCH.object_id, 10))

    on_corners = dataclasses.replace(LOSS, object_corner_factors=((24, 9.0), (10, 4.0)))
    on_translations = dataclasses.replace(LOSS, object_translation_factors=((10, 4.0),))

    @jax.jit
    def costs(predictions: Predictions) -> list[dict[str, jax.Array]]:
        found = [losses._object_losses(predictions, batch, config) for config in (LOSS, on_corners, on_translations)]
        return [{name: value / count for name, (value, count) in terms.items()} for terms in found]

    plain, corners, translations = costs(spoilt)
    names = ("object_corners", "object_translation", "object_triangle")
    assert [corners[name] / plain[name] for name in names] == pytest.approx([4, 1, 1])
    assert [translations[name] / plain[name] for name in names] == pytest.approx([1, 4, 4])


def test_masks_of_the_object_alone_teach_no_maps_of_hands() -> None:
    """HO-3D's and H2O-3D's authors paint the object; hands are known where MANO has drawn them."""
    assert PERFECT.hand_maps is not None
    spoilt = PERFECT.replace(hand_maps=PERFECT.hand_maps + 100.0, object_map=PERFECT.object_map + 100.0)
    object_only = BATCH.replace(segmentation=jnp.where(BATCH.segmentation == 3, 3, 0))
    assert means(spoilt, BATCH)["hand_maps"] > 1
    assert means(spoilt, object_only)["hand_maps"] == 0
    assert means(spoilt, object_only)["object_map"] > 1


def test_masked_elements_teach_nothing() -> None:
    """Labels that the masks hide may be anything, even not a number."""
    hidden = BATCH.joint_annotated.at[2, 1, 3].set(False)  # one joint of an example with both hands
    masked = BATCH.replace(
        joint_annotated=hidden,
        joint_px_annotated=hidden,
        joint_in_crop=BATCH.joint_in_crop & hidden,
        object_known=BATCH.object_known & False,
    )
    nowhere = masked.replace(
        joints_cam_m=masked.joints_cam_m.at[2, 1, 3].set(7.0),
        joints_px=masked.joints_px.at[2, 1, 3].set(7.0),
        object_translation_m=masked.object_translation_m + 7.0,
    )
    predictions = PERFECT.replace(bone_vectors_m=PERFECT.bone_vectors_m + 0.01, heatmap=PERFECT.heatmap + 10.0)
    before, after = means(predictions, masked), means(predictions, nowhere)
    # Depth heatmaps and bones of neighbours share the joint, so all terms are compared.
    for name in before:
        assert after[name] == pytest.approx(before[name], rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("visibility", [0, 5])
def test_unknown_and_outside_joints_teach_no_visibility(visibility: int) -> None:
    """Nobody knows whether they are hidden: the logits there may say anything."""
    batch = BATCH.replace(visibility=BATCH.visibility.at[:, :, 3].set(visibility))
    spoilt = PERFECT.replace(visibility_logits=PERFECT.visibility_logits.at[..., 3].multiply(-1.0))
    assert means(spoilt, batch)["visibility"] == pytest.approx(means(PERFECT, batch)["visibility"])
    assert means(spoilt, BATCH)["visibility"] > 10 * means(PERFECT, BATCH)["visibility"]


def test_hands_of_which_nothing_is_said_teach_no_presence() -> None:
    batch = BATCH.replace(hand_present_known=jnp.zeros_like(BATCH.hand_present_known))
    wrong = PERFECT.replace(hand_logits=-PERFECT.hand_logits)
    assert means(wrong, batch)["hand_type"] == 0 < means(wrong, BATCH)["hand_type"]


OF_3D = ("bone_vectors_m", "relative_translation_m", "weak_camera", "object_translation_m")


def test_2d_labels_add_nothing_to_what_3d_labels_teach() -> None:
    """A batch whose second half has 2D labels alone has the 3D gradient of its first half, and 2D gradients in both."""
    in_3d = jnp.arange(6) < 3
    known = {name: getattr(BATCH, name) & in_3d[:, None] for name in ("root_known",)}
    known |= {
        "joint_annotated": BATCH.joint_annotated & in_3d[:, None, None],
        "object_known": BATCH.object_known & in_3d,
    }
    mixed = BATCH.replace(joints_cam_m=jnp.where(in_3d[:, None, None, None], BATCH.joints_cam_m, 0.0), **known)
    config = dataclasses.replace(LOSS, normalise="valid")

    @jax.jit
    def gradient(batch: Batch) -> dict[str, jax.Array]:
        outputs = {name: getattr(PERFECT, name) + 0.01 for name in (*OF_3D, "joints_crop")}
        return jax.grad(lambda outputs: losses.total(losses.losses(PERFECT.replace(**outputs), batch, CONFIG, config)))(
            outputs
        )

    of_mixed, of_alone = gradient(mixed), gradient(BATCH.replace(is_real=in_3d))
    for name in OF_3D:
        np.testing.assert_allclose(of_mixed[name], of_alone[name], rtol=1e-4, atol=1e-6, err_msg=name)
        assert np.abs(of_mixed[name][:, :3]).max() > 0 == np.abs(of_mixed[name][:, 3:]).max(), name
    assert np.abs(of_mixed["joints_crop"][:, 3:]).max() > 0


def test_examples_that_only_fill_up_the_batch_teach_nothing() -> None:
    noise = jax.random.normal(jax.random.key(0), PERFECT.bone_vectors_m.shape)
    spoilt = PERFECT.replace(bone_vectors_m=PERFECT.bone_vectors_m + noise, heatmap=PERFECT.heatmap + 50.0)
    nobody = BATCH.replace(is_real=jnp.zeros_like(BATCH.is_real))
    assert sum(means(spoilt, nobody)[name] for name in ("heatmap", "bone_vectors")) == 0


def test_an_example_without_keypoints_teaches_no_pose() -> None:
    empty = PERFECT.replace(
        keypoints=PERFECT.keypoints.replace(valid=jnp.zeros_like(PERFECT.keypoints.valid)),
        bone_vectors_m=PERFECT.bone_vectors_m + 1.0,
    )
    assert means(empty, BATCH)["bone_vectors"] == 0


def test_halves_of_a_batch_add_up_to_the_whole() -> None:
    noise = jax.random.normal(jax.random.key(0), PERFECT.bone_vectors_m.shape)
    spoilt = PERFECT.replace(bone_vectors_m=PERFECT.bone_vectors_m + noise)

    def part(tree: Batch | Predictions, rows: slice) -> Batch | Predictions:
        size = len(BATCH.is_real)
        return jax.tree.map(lambda x: x[rows] if x.ndim and x.shape[0] == size else x[:, rows] if x.ndim else x, tree)

    config = dataclasses.replace(LOSS, normalise="valid")
    terms_of = jax.jit(lambda predictions, batch: losses.losses(predictions, batch, CONFIG, config))
    whole = terms_of(spoilt, BATCH)
    halves = [terms_of(part(spoilt, rows), part(BATCH, rows)) for rows in (slice(0, 3), slice(3, 6))]
    for name, (value, count) in whole.items():
        np.testing.assert_allclose(value, halves[0][name][0] + halves[1][name][0], rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(count, halves[0][name][1] + halves[1][name][1])


def test_the_two_ways_of_dividing() -> None:
    values, mask = jnp.arange(6.0).reshape(2, 3), jnp.array([[1, 0, 1], [0, 0, 1]])
    assert losses.masked(values, mask, "all") == (7.0, 6.0)
    assert losses.masked(values, mask, "valid") == (7.0, 3.0)


def test_heatmaps_of_near_joints_add_up() -> None:
    batch = BATCH.replace(joints_px=jnp.full_like(BATCH.joints_px, 20.0))
    heatmap = targets.joint_heatmap(batch, 2, (32, 32), 1.25, "sum")
    joints = np.asarray(batch.joint_in_crop.sum((1, 2)))
    np.testing.assert_allclose(heatmap[:, 10, 10], 255.0 * joints, rtol=1e-5)
    np.testing.assert_allclose(heatmap[:, 10, 12], 255.0 * joints * np.exp(-4 / (2 * 1.25**2)), rtol=1e-5)


def test_heatmaps_of_near_joints_can_take_the_maximum() -> None:
    batch = BATCH.replace(joints_px=jnp.full_like(BATCH.joints_px, 20.0))
    strongest = targets.joint_heatmap(batch, 2, (32, 32), 1.25, "max")
    np.testing.assert_allclose(strongest[:, 10, 10], 255.0, rtol=1e-5)
    np.testing.assert_allclose(strongest[:, 10, 12], 255.0 * np.exp(-4 / (2 * 1.25**2)), rtol=1e-5)
    summed, strongest = (targets.joint_heatmap(BATCH, 2, (32, 32), 0.3, overlap)[0] for overlap in ("sum", "max"))
    assert (summed >= strongest - 1e-3).all()


def test_a_hand_with_a_missing_joint_has_no_heatmap() -> None:
    assert targets.fully_annotated(BATCH).all()
    missing = BATCH.replace(joint_px_annotated=BATCH.joint_px_annotated.at[0, 0, 4].set(False))
    assert targets.fully_annotated(missing).tolist() == [False] + [True] * 5
    unlabeled = BATCH.replace(joint_px_annotated=jnp.zeros_like(BATCH.joint_px_annotated))
    assert not targets.fully_annotated(unlabeled).any()


def test_a_token_has_the_class_of_the_joint_nearest_to_the_camera() -> None:
    joints_px = BATCH.joints_px.at[2, 0, 5].set(jnp.array([30.0, 30.0])).at[2, 1, 7].set(jnp.array([32.0, 30.0]))
    depth = BATCH.joints_cam_m.at[2, 0, 5, 2].set(0.5).at[2, 1, 7, 2].set(0.4)
    everything = jnp.zeros_like(BATCH.joint_in_crop).at[2, 0, 5].set(True).at[2, 1, 7].set(True)
    batch = BATCH.replace(joints_px=joints_px, joints_cam_m=depth, joint_in_crop=everything)
    xy = jnp.broadcast_to(jnp.array([[15.0, 15.0], [12.5, 15.0], [5.0, 5.0]]), (6, 3, 2))
    tokens = Keypoints(xy, jnp.ones((6, 3), bool), jnp.zeros((6, 3), bool))
    classes, known = targets.token_classes(tokens, batch, 2, 3.0)
    assert classes[2].tolist() == [1 + 21 + 7, 1 + 5, 0]
    assert known[2].all()


def test_object_tokens_are_classified_by_the_mask() -> None:
    segmentation = jnp.zeros_like(BATCH.segmentation).at[:, 3, 4].set(3).at[:, 5, 5].set(1)
    batch = BATCH.replace(segmentation=segmentation)
    tokens = Keypoints(jnp.array([[[4.0, 3.0], [5.0, 5.0]]] * 6), jnp.ones((6, 2), bool), jnp.ones((6, 2), bool))
    classes, _ = targets.token_classes(tokens, batch, CONFIG.heatmap_stride, 3.0)
    assert classes[0].tolist() == [43, 0]


def test_an_object_token_at_the_edge_is_judged_by_the_cell_there() -> None:
    last = BATCH.segmentation.shape[1] - 1
    segmentation = jnp.zeros_like(BATCH.segmentation).at[:, 0, 0].set(3).at[:, last, 0].set(3).at[:, 1, 1].set(3)
    batch, beyond = BATCH.replace(segmentation=segmentation), last + 0.6
    xy = jnp.array([[[0.0, 0.0], [0.0, last], [last, 0.0], [last, last], [-0.6, -0.6], [-0.6, beyond], [beyond, -0.6]]])
    tokens = Keypoints(jnp.repeat(xy, 6, 0), jnp.ones((6, 7), bool), jnp.ones((6, 7), bool))
    classes, _ = targets.token_classes(tokens, batch, CONFIG.heatmap_stride, 3.0)
    assert classes[0].tolist() == [43, 43, 0, 0, 43, 43, 0]


def test_teacher_keypoints_are_the_joints_and_spread_over_the_object() -> None:
    keypoints = teacher_keypoints(BATCH, CONFIG)
    joints = np.asarray(keypoints.xy_hm[:, :42][np.asarray(keypoints.valid[:, :42])])
    expected = np.asarray(BATCH.joints_px[BATCH.joint_in_crop]) / CONFIG.heatmap_stride
    np.testing.assert_allclose(joints, expected, rtol=1e-6)
    for row in np.flatnonzero(np.asarray((BATCH.segmentation == 3).any((1, 2)))):
        points = np.asarray(keypoints.xy_hm[row, 42:][np.asarray(keypoints.valid[row, 42:])]).astype(int)
        assert len(points)
        assert (np.asarray(BATCH.segmentation)[row, points[:, 1], points[:, 0]] == 3).all()


def test_weak_camera_is_the_ridge_solution() -> None:
    camera, known = targets.weak_camera(BATCH, 128.0)
    assert known.all()
    for row in range(6):
        valid = np.asarray(BATCH.joint_annotated[row])
        origin = np.asarray(BATCH.root_cam_m[row, 0 if valid[0].any() else 1])
        xy = np.asarray(BATCH.joints_cam_m[row][valid])[:, :2] - origin[:2]
        px = np.asarray(BATCH.joints_px[row][valid]) * 2

        def residual(c: np.ndarray, xy: np.ndarray = xy, px: np.ndarray = px) -> np.ndarray:
            return np.concatenate([(c[0] * xy + c[1:] - px).ravel(), 1e-2 * c])

        # The regularised scale is hundreds of px per m, so that the ridge is felt in the last digits only.
        np.testing.assert_allclose(camera[row], optimize.least_squares(residual, np.ones(3)).x, rtol=2e-3)


def rotation_cost(symmetry: str, turn: np.ndarray) -> float:
    batch = BATCH.replace(object_symmetry=jnp.full(6, OBJECT_SYMMETRY.index(symmetry)))
    turned = jnp.einsum("bij,jk->bik", batch.object_rotation, jnp.asarray(turn, jnp.float32))
    predictions = PERFECT.replace(object_rotation_6d=jnp.stack([matrix_to_rotation_6d(turned)] * 2))
    return means(predictions, batch)["object_corners"]


def test_turns_that_the_symmetry_allows_cost_nothing() -> None:
    half_z, half_x = np.diag([-1, -1, 1]), np.diag([1, -1, -1])
    c, s = np.cos(0.7), np.sin(0.7)
    any_z, any_x = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    free = {
        "none": [],
        "half_turn_z": [half_z],
        "box": [half_z, half_x],
        "any_turn_z": [half_z, any_z],
        "sphere": [half_z, half_x, any_z, any_x],
    }
    for symmetry, turns in free.items():
        for turn in (half_z, half_x, any_z, any_x):
            is_free = any(turn is one for one in turns)
            assert (rotation_cost(symmetry, turn) < 1e-3) == is_free, (symmetry, turn)


def test_one_object_head_speaks_of_the_only_wrist() -> None:
    translations, known = targets.object_translations(BATCH, 1)
    np.testing.assert_array_equal(known[:, 0], BATCH.object_known)
    for row in np.flatnonzero(BATCH.object_known):
        hand = 0 if BATCH.root_known[row, 0] else 1
        expected = BATCH.object_translation_m[row] - BATCH.root_cam_m[row, hand]
        np.testing.assert_allclose(translations[row, 0], expected, atol=1e-6)


def test_axis_targets_leave_out_what_is_outside_the_cube() -> None:
    config = dataclasses.replace(CONFIG, representation="2.5d")
    _, valid = targets.axis_targets(BATCH, config, 1.25)
    assert not valid[:, :, 20, 2].any()  # the wrist has no parent
    far = BATCH.joints_cam_m.at[:, :, 4, 2].add(1.0)
    _, without = targets.axis_targets(BATCH.replace(joints_cam_m=far), config, 1.25)
    assert not without[:, :, 4].any()  # a joint beyond the depth range gives no x and y either
    assert (without[:, :, 8] == valid[:, :, 8]).all()


def test_config_of_the_papers_network_keeps_the_published_weights() -> None:
    assert (LOSS.heatmap, LOSS.object_map, LOSS.axis_heatmaps, LOSS.root_relative_joints) == (0.01, 0.001, 1000.0, 0.1)
    assert ModelConfig().joint_threshold == 20.0


def test_joints_that_nobody_annotated_teach_no_visibility() -> None:
    batch = BATCH.replace(joint_annotated=BATCH.joint_annotated.at[:, :, 3].set(False))
    spoilt = PERFECT.replace(visibility_logits=PERFECT.visibility_logits.at[..., 3].multiply(-1.0))
    assert means(spoilt, batch)["visibility"] == pytest.approx(means(PERFECT, batch)["visibility"])
