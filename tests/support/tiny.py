"""The smallest configuration that still goes through every part of the network."""

import dataclasses
from typing import Any

from occrobnet_jax.models.config import ModelConfig

INPUT_SIZE_PX = 64

TINY_MODEL = ModelConfig(
    backbone="resnet18",
    backbone_width=8,
    stem="3x3",
    neck_channels=16,
    heatmap_channels=8,
    heatmap_stride=4,
    heatmap_gain=255.0,
    ciet_blocks=1,
    ciet_heads=2,
    ciet_mlp_ratio=2,
    ciet_stride=16,
    max_joint_keypoints=42,
    max_object_keypoints=4,
    suppression_radius_hm=2.0,
    min_keypoints=8,
    width=32,
    position_width=8,
    token_mlp=(32,),
    object_token_mlp=(32,),
    heads=2,
    feed_forward=32,
    dropout=0.0,
    encoder_layers=1,
    decoder_layers=1,
    class_mlp=(32,),
    head_mlp=(32,),
)


def tiny_model(**changes: Any) -> ModelConfig:
    """TINY_MODEL with some fields changed."""
    return dataclasses.replace(TINY_MODEL, **changes)


LEAN_MODEL = tiny_model(with_object=False, visibility_head=False, weak_camera_head=False)
"""For tests that compile whole training steps: what they look at doesn't depend on the heads that are missing."""
