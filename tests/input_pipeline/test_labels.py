"""Labels of a batch: each example's are those that it has alone, whatever stands beside it."""

import dataclasses

import numpy as np
import pytest

from input_pipeline.augment import Augmentation, draw
from input_pipeline.config import DataConfig
from input_pipeline.transforms import LABEL_MASKS, assemble, augment_example, crop_example, training_cut
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.skeleton import VISIBILITY, WRIST
from tests.support.fake_datasets import fake_example

DATA = DataConfig(input_size_px=64)
STRIDE = 2


def some_cuts():
    augmentations = [draw(np.random.default_rng(i), DATA) for i in range(12)] + [Augmentation(flip=True)]
    examples = [fake_example(i, size=128) for i in range(len(augmentations))]
    cuts = [training_cut(example, DATA, STRIDE, drawn) for example, drawn in zip(examples, augmentations, strict=True)]
    rows = [
        augment_example(example, DATA, STRIDE, drawn) for example, drawn in zip(examples, augmentations, strict=True)
    ]
    assert {cut.geometry.is_mirrored for cut in cuts} == {True, False}
    return cuts, rows


def test_a_batch_holds_what_its_examples_are_alone():
    cuts, rows = some_cuts()
    batch = assemble(cuts)
    assert set(batch) == set(rows[0])
    for name, values in batch.items():
        np.testing.assert_array_equal(values, np.stack([row[name] for row in rows]), err_msg=name)
        assert values.dtype == rows[0][name].dtype, name


def test_labels_that_do_not_count_take_none_of_their_neighbors_with_them():
    cuts, _ = some_cuts()
    whole = assemble(cuts[:3])
    uncounted = [cuts[0], dataclasses.replace(cuts[1], is_real=False), cuts[2]]
    batch = assemble(uncounted)
    for name in LABEL_MASKS:
        assert not batch[name][1].any(), name
        np.testing.assert_array_equal(batch[name][[0, 2]], whole[name][[0, 2]], err_msg=name)
    assert batch["is_real"].tolist() == [True, False, True]


def test_a_joint_outside_the_photo_is_not_in_the_crop_though_its_place_is():
    example = fake_example(2, size=128)
    example["joints_in_image"] = np.zeros((2, 21), np.uint8)
    row = crop_example(example, DATA, STRIDE)
    shown = crop_example(fake_example(2, size=128), DATA, STRIDE)
    assert shown["joint_in_crop"].any()
    assert not row["joint_in_crop"].any()
    assert (row["visibility"][row["joint_px_annotated"]] == VISIBILITY.index("outside")).all()


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("rotation_rad", [0.0, 0.7])
def test_a_hand_model_in_the_turned_pose_has_the_turned_joints(flip, rotation_rad):
    rng, models, origin = np.random.default_rng(4), load_hand().models, np.zeros(3)
    example = fake_example(2, size=128)
    pose, shape = rng.normal(0, 0.3, (2, 48)), rng.normal(0, 1, (2, 10))
    joints_m = [models[hand].joints_m(pose[hand], shape[hand], np.array([0, 0, 0.6])) for hand in range(2)]
    example |= {"hand_pose": pose.astype(np.float32), "hand_shape": shape.astype(np.float32)}
    example |= {"hand_pose_known": np.ones(2, np.uint8), "joints_cam_m": np.stack(joints_m).astype(np.float32)}
    row = augment_example(example, DATA, STRIDE, Augmentation(flip=flip, rotation_rad=rotation_rad))
    for hand, model in enumerate(models):
        posed_m = model.joints_m(*(row[name][hand].astype(np.float64) for name in ("hand_pose", "hand_shape")), origin)
        cam_m = row["joints_cam_m"][hand]
        np.testing.assert_allclose(posed_m - posed_m[WRIST], cam_m - cam_m[WRIST], atol=1e-5)
