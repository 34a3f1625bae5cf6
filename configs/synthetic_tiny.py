"""The demo: a small network on small synthetic hands, trained from scratch on two CPU cores in minutes."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The same code as the paper's network, narrower."""
    config = default.get_config()
    config.total_steps = 900
    config.global_batch_size = 32
    config.teacher_forced_steps = 450
    config.log_every_steps = 25
    config.eval_every_steps = 0
    config.checkpoint_every_steps = 300
    config.data.input_size_px = 128
    config.data.rotation_deg = 20.0

    model = config.model
    model.backbone = "resnet18"
    model.backbone_width = 32
    model.stem = "3x3"
    model.neck_channels = 64
    model.heatmap_channels = 16
    model.heatmap_gain = 255.0
    model.ciet_stride = 16
    model.ciet_heads = 2
    model.width = 128
    model.token_mlp = (256, 128)
    model.object_token_mlp = (128,)
    model.feed_forward = 256
    model.encoder_layers = 3
    model.decoder_layers = 2
    model.class_mlp = (128,)
    model.head_mlp = (128,)
    model.dropout = 0.0
    model.max_object_keypoints = 16
    model.min_keypoints = 16
    model.suppression_radius_hm = 2.5
    model.weak_camera_head = False
    model.left_object_translation = True

    config.loss.heatmap_sigma_hm = 1.0
    config.loss.match_radius_hm = 1.5
    config.loss.normalise = "valid"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.backbone_learning_rate = 1e-3
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 50
    config.optimizer.clip_norm = 1.0
    config.wandb.mode = "disabled"
    return config
