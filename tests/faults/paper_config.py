"""The paper's network at full width and at its own rates: true keypoints, no dropout, a batch that CPUs can train."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Twenty steps of two pictures at 256 px."""
    config = default.get_config()
    config.model.heatmap_gain = 255.0
    config.model.dropout = 0.0
    config.global_batch_size = 2
    config.total_steps = config.teacher_forced_steps = 20
    config.log_every_steps = 1
    config.eval_every_steps = 0
    config.wandb.mode = "disabled"
    return config
