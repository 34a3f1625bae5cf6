"""A stronger sibling of `configs/synthetic_tiny.py`: each joint has a map, a token where its map has it, and a query
that starts from that token; half the batch and twice the steps, the same number of examples.

Not measured: whether it is stronger is what these commands would tell, against the demo's mpjpe_mm 40.4 at 0.672 of the
mean pose's error.

    python train.py --config=configs/synthetic_plus.py --workdir=runs/plus --config.data.data_dir=runs/demo_data
    python eval.py --config=configs/workdir.py:runs/plus --workdir=runs/plus --config.data.data_dir=runs/demo_data
"""

from ml_collections import ConfigDict

from configs import synthetic_tiny

FEWER = 2
"""Examples in a batch of the demo, for one here."""


def get_config() -> ConfigDict:
    """Return the demo's network with a map, a token and a query for each joint."""
    config = synthetic_tiny.get_config()
    config.global_batch_size //= FEWER
    for name in ("total_steps", "teacher_forced_steps", "teacher_fading_steps", "checkpoint_every_steps"):
        config[name] *= FEWER
    config.optimizer.warmup_steps *= FEWER
    config.optimizer.average_decay = 0.995  # over the same number of examples
    config.model.joint_maps_head = True
    config.model.ciet_qk_norm = True
    config.model.keypoints = "joints"
    config.model.decoder_start = "tokens"
    config.loss.joint_maps = 4.0  # as in configs/photo.py
    return config
