"""The paper's network on synthetic hands, trained from scratch.

    python -m input_pipeline.prepare synthetic_hands --data_dir=data --train 200000
    python train.py --config=configs/synthetic.py --workdir=runs/synthetic --config.data.data_dir=data

Expected: not measured (no accelerator was at hand). One step of batch 32 at 256 px is about 1.5 TFLOP.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the defaults of the paper's network, with the recipe for training without pretrained weights."""
    config = default.get_config()
    config.total_steps = 100_000
    config.global_batch_size = 64
    config.teacher_forced_steps = 15_000
    config.eval_every_steps = 5_000
    config.checkpoint_every_steps = 2_500

    config.data.name = "synthetic_hands"

    config.model.heatmap_gain = 255.0
    config.model.min_keypoints = 16
    config.model.left_object_translation = True

    config.optimizer.learning_rate = 3e-4
    config.optimizer.backbone_learning_rate = 3e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 1_000
    config.optimizer.clip_norm = 1.0
    config.optimizer.average_decay = 0.999
    return config
