"""Keypoint Transformer on InterHand2.6M, as its code trained it, to compare `configs/interhand26m.py` with.

    python train.py --config=configs/kypt_interhand26m.py --workdir=runs/kypt_interhand26m \
        --config.data.data_dir=data --config.model.backbone_weights=resnet50.pth

Expected: not measured here; published 12.62 mm (its README: all, 2.5D, RootNet depth; probably of v0.0 annotations).
Batches of 90 are those of one of its GPUs; `:batch=96`, in both configs, divides among 8 devices. It was trained in
float32, so this is; the time and memory of that are not measured. What still differs: docs/choices.md.
"""

from ml_collections import ConfigDict

from configs import interhand26m
from configs.recipe import KYPT_BATCH, keypoint_transformer


def get_config(arguments: str = "") -> ConfigDict:
    """Return the config: 2.5D with one decoder layer, its small decoder."""
    return keypoint_transformer(interhand26m.get_config(arguments, KYPT_BATCH))
