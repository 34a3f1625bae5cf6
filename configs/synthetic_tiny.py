"""The demo: a small network on small synthetic hands, trained from scratch on two CPU cores in minutes."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """The same code as the paper's network, narrower."""
    config = default.get_config()
    config.total_steps = 1500
    config.global_batch_size = 16
    config.teacher_forced_steps = 500
    config.log_every_steps = 50
    config.eval_every_steps = 0
    config.checkpoint_every_steps = 750
    config.data.input_size_px = 96
    # The demo's pictures are seen about five times: little augmentation is needed, and much would only slow it.
    config.data.shift_share = 0.05
    config.data.scale_share = 0.1
    config.data.rotation_probability = 0.0
    config.data.flip_probability = 0.0

    model = config.model
    model.backbone = "resnet18"
    model.backbone_width = 24
    model.stem = "3x3"
    model.neck_channels = 48
    model.heatmap_channels = 24
    model.heatmap_stride = 4
    model.heatmap_gain = 255.0
    model.ciet_stride = 16
    model.ciet_gate = "mean"
    model.ciet_heads = 2
    model.width = 128
    model.token_mlp = (256, 128)
    model.object_token_mlp = (128,)
    model.feed_forward = 256
    model.heads = 4
    model.encoder_layers = 2
    model.decoder_layers = 2
    model.class_mlp = (128,)
    model.head_mlp = (128,)
    model.dropout = 0.0
    model.max_joint_keypoints = 42
    model.max_object_keypoints = 12
    model.min_keypoints = 16
    model.suppression_radius_hm = 1.5
    model.weak_camera_head = False
    model.left_object_translation = True

    loss = config.loss
    loss.heatmap = 0.002
    loss.object_map = 0.0003
    # Beside pose losses in millimetres a weight near KypT's 1 hardly taught the classes within a demo's length.
    loss.keypoint_class = 20.0
    loss.joints_2d = 1.0
    loss.object_corners = 0.02
    loss.object_translation = 20.0
    loss.heatmap_overlap = "max"
    loss.heatmap_sigma_hm = 1.0
    loss.match_radius_hm = 1.25
    loss.normalise = "valid"
    optimizer = config.optimizer
    # Post-norm transformers are slow at rates that suit a convolutional network from scratch.
    optimizer.learning_rate = 5e-4
    optimizer.backbone_learning_rate = 1e-3
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = 100
    optimizer.clip_norm = 1.0
    optimizer.average_decay = 0.99
    config.wandb.mode = "disabled"
    return config
