"""What turns a picture into feature maps, and the form in which it wants the pixels."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, UInt8

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.efficientnet_lite import STAGES, EfficientNetLite
from occrobnet_jax.models.resnet import ResNet

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LITE_MEAN, LITE_SCALE = 127.0, 128.0  # of values from 0 to 255


def make_backbone(config: ModelConfig, dtype: Any) -> nn.Module:
    """Return the backbone of a config, under the name that every module has for it."""
    kind = EfficientNetLite if config.backbone == "efficientnet_lite0" else ResNet
    return kind(config, dtype, name="backbone")


def is_frozen(module: str, config: ModelConfig) -> bool:
    """Tell whether `model.frozen_stages` keeps a module of the backbone, such as "layer3_1", as it is."""
    tapped = [number for number, stage in enumerate(STAGES, 1) if stage.is_tapped]
    last = [-1, *(tapped if config.backbone == "efficientnet_lite0" else range(4))][config.frozen_stages]
    stage = int(module.removeprefix("layer").split("_")[0]) if module.startswith("layer") else 0
    return stage <= last


def normalized(image: UInt8[Array, "b h w 3"], config: ModelConfig, dtype: Any) -> Float[Array, "b h w 3"]:
    """Return the pixels as the backbone's weights were trained on them (`model.input_normalisation`)."""
    x = image.astype(jnp.float32)
    match config.input_normalisation:
        case "imagenet":
            mean, std = (jnp.array(v)[None, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
            x = (x / 255 - mean) / std
        case "unit":
            x = x / 255
        case "lite":
            x = (x - LITE_MEAN) / LITE_SCALE
    return x.astype(dtype)
