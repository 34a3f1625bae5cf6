"""The data and outputs of another experiment with the tiniest network: the whole way of a dataset in a minute or two.

    python train.py --config=configs/tiny.py:h2o3d --workdir=runs/try/h2o3d --config.data.data_dir=runs/try/data

After the colon stands interhand26m, ho3d, h2o3d or synthetic. Expected: every file that a real run leaves, and nothing
of its numbers.
"""

import importlib

from ml_collections import ConfigDict

EXPERIMENTS = ("interhand26m", "ho3d", "h2o3d", "synthetic")


def get_config(experiment: str = "interhand26m") -> ConfigDict:
    """Return that experiment's config, smaller in everything that takes time.

    Raises:
        ValueError: there is no such experiment.
    """
    if experiment not in EXPERIMENTS:
        raise ValueError(f"configs/tiny.py:{experiment} must end in one of {', '.join(EXPERIMENTS)}")
    config: ConfigDict = importlib.import_module(f"configs.{experiment}").get_config()
    config.recipe.update(global_batch_size=0, train_examples=0, needs_weights=False)
    config.total_steps = 20
    config.teacher_forced_steps = 0
    config.global_batch_size = 4
    config.eval_every_steps = 0
    config.compute_dtype = "float32"
    config.data.input_size_px = 64
    config.data.num_workers = 0
    config.optimizer.learning_rate = config.optimizer.backbone_learning_rate = 3e-3
    config.wandb.mode = "disabled"
    _shrink(config.model)
    return config


def _shrink(model: ConfigDict) -> None:
    model.backbone = "resnet18"
    model.backbone_width = 8
    model.stem = "3x3"
    model.neck_channels = 16
    model.heatmap_channels = 8
    model.heatmap_stride = 4
    model.heatmap_gain = 255.0
    model.ciet_blocks = 1
    model.ciet_heads = 2
    model.ciet_stride = 16
    model.max_joint_keypoints = 42
    model.max_object_keypoints = 4
    model.min_keypoints = 8
    model.width = 32
    model.position_width = 8
    model.token_mlp = (32,)
    model.object_token_mlp = (32,)
    model.heads = 2
    model.feed_forward = 32
    model.encoder_layers = model.decoder_layers = 1
    model.class_mlp = (32,)
    model.head_mlp = (32,)
