"""The demo's problem for a network that begins with eyes: backbone, pyramid and maps of the network in the box, which
has seen photos and synthetic hands; a map, a token and a query for each joint. What stands behind the maps begins anew.

    python train.py --config=configs/synthetic_plus.py --workdir=runs/plus --config.data.data_dir=runs/demo_data
    python eval.py --config=configs/workdir.py:runs/plus --workdir=runs/plus --config.data.data_dir=runs/demo_data

What it gave beside the demo is in docs/results.md.
"""

from ml_collections import ConfigDict

from configs import photo, synthetic_tiny

BEFORE_CIET = ("backbone", "fpn", "finest", "heatmap_head", "object_head", "joint_maps_head", "hand_head")
"""Parts that don't see what CIET makes: all variants of it can share them."""


def get_config() -> ConfigDict:
    """Return the photo network's architecture, data and length of a demo."""
    config = photo.get_config()
    config.total_steps = 700
    config.global_batch_size = 16
    config.checkpoint_every_steps = 350
    config.data = synthetic_tiny.get_config().data
    config.init_from = "occrobnet_jax/inference/photo.safetensors"
    config.init_parts = BEFORE_CIET
    config.model.finder_head = False
    config.model.frozen_stages = 4
    config.model.hand_presence = "head"
    config.optimizer.muon_rms = 2.0
    config.optimizer.backbone_learning_rate = 3e-4
    config.optimizer.warmup_steps = 40
    config.optimizer.average_decay = 0.99
    return config
