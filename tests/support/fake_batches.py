"""A Batch of stick-hand examples, and the Predictions of a network that knows its labels."""

import jax
import jax.numpy as jnp
import numpy as np

from input_pipeline.config import DataConfig
from input_pipeline.schema import Example
from input_pipeline.transforms import crop_example
from occrobnet_jax.geometry.kinematics import bone_vectors
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.keypoints import teacher_keypoints
from occrobnet_jax.runs.experiment import LossConfig
from occrobnet_jax.training import targets
from occrobnet_jax.training.losses import GRID_PX
from occrobnet_jax.types import Batch, Predictions
from tests.support.fake_datasets import fake_example
from tests.support.rotations import matrix_to_rotation_6d


def fake_batch(config: ModelConfig, size_px: int, count: int = 6) -> Batch:
    """Examples with a right, a left and both hands in turn; every second one with an object."""
    return batch_of([fake_example(i) for i in range(count)], config, size_px)


def batch_of(examples: list[Example], config: ModelConfig, size_px: int) -> Batch:
    """The crops of examples."""
    data = DataConfig(input_size_px=size_px)
    rows = [crop_example(example, data, config.heatmap_stride) for example in examples]
    fields = {name: np.stack([row[name] for row in rows]) for name in rows[0] if name != "key"}
    return Batch(**jax.tree.map(jnp.asarray, fields))


def perfect_predictions(batch: Batch, config: ModelConfig, loss: LossConfig) -> Predictions:
    """What makes every regression loss zero, and every classification nearly so."""
    stride, layers = config.heatmap_stride, 2
    size = (batch.image.shape[1] // stride,) * 2
    keypoints = teacher_keypoints(batch, config)
    classes, _ = targets.token_classes(keypoints, batch, stride, loss.match_radius_hm)
    axis_maps, _ = targets.axis_targets(batch, config, loss.axis_sigma_bins)
    camera, _ = targets.weak_camera(batch, GRID_PX)
    translations, _ = targets.object_translations(batch, 1 + config.left_object_translation)

    def layered(x: jax.Array) -> jax.Array:
        return jnp.broadcast_to(x, (layers, *x.shape))

    def confident(x: jax.Array) -> jax.Array:
        return 50.0 * (2.0 * x - 1.0)

    return Predictions(
        heatmap=targets.joint_heatmap(batch, stride, size, loss.heatmap_sigma_hm, loss.heatmap_overlap),
        object_map=targets.PEAK * (batch.segmentation == targets.OBJECT_LABEL),
        hand_maps=targets.PEAK * jnp.stack([batch.segmentation == label for label in targets.HAND_LABELS], -1),
        keypoints=keypoints,
        class_logits=layered(50.0 * jax.nn.one_hot(classes, config.num_classes)),
        bone_vectors_m=layered(bone_vectors(batch.joints_cam_m)),
        axis_heatmaps=layered(axis_maps),
        joints_crop=layered(batch.joints_px / batch.image.shape[1]),
        weak_camera=layered(camera),
        relative_translation_m=layered(targets.relative_translation(batch)[0]),
        object_rotation_6d=layered(matrix_to_rotation_6d(batch.object_rotation)),
        object_translation_m=layered(translations),
        visibility_logits=layered(confident(batch.visibility == 1)),
        hand_logits=confident(batch.hand_present),
        saturated_gates=jnp.zeros(()),
    )
