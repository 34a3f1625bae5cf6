"""The demo's network made for speed: crops of 64 px, batches of 64, and a map of each joint beside the tokens.

    python train.py --config=configs/synthetic_plus.py --workdir=runs/plus --config.data.data_dir=data

What it gives beside the demo's preset, and what it costs, stands in docs/results.md.
"""

from ml_collections import ConfigDict

from configs import synthetic_tiny


def get_config() -> ConfigDict:
    """Return the demo's preset with nearly twice as many pictures a second."""
    config = synthetic_tiny.get_config()
    config.total_steps = 4000
    config.global_batch_size = 64
    config.teacher_forced_steps = 400
    config.teacher_fading_steps = 1600
    config.checkpoint_every_steps = 200
    config.data.input_size_px = 64
    config.data.rotation_deg = 30.0
    config.data.rotation_probability = 0.5
    config.data.scale_share = 0.15
    _shrink(config.model)
    config.loss.joint_maps = 4.0
    return config


def _shrink(model: ConfigDict) -> None:
    """Choose a narrow transformer: at this size of crop it costs more than the backbone."""
    model.ciet_qk_norm = True  # Muon saturates the gates otherwise
    model.joint_maps_head = True
    model.width = 96
    model.position_width = 32
    model.feed_forward = 192
    model.token_mlp = (96,)
    model.object_token_mlp = (96,)
    model.class_mlp = (96,)
    model.head_mlp = (96,)
    model.encoder_layers = 2
