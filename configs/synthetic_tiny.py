"""The demo: a small network on small synthetic hands, trained from scratch on two CPU cores in minutes.

    make demo

Seen (Python 3.11.7, two cores, validation split of 300 scenes, wrist-relative per hand): mpjpe_mm 40.4 where the mean
pose has 60.1 (0.672 of it), pa_mpjpe_mm 14.7 where it has 26.6 (commit 0535b9d). Another rounding of the same sums, at
4218b54: 40.5 (0.674) and 14.9, and at 423ec86: 40.4 (0.672) and 15.3; there 7 minutes 13 seconds in all, installation
with packages near included.
Much depends on when the network learns to tell right from left. The maps of each hand teach that: at a third of their
weight the moment came between steps 600 and 800, as the rounding of the first steps had it, and the same batches ended
at 0.679 (d75f23c), 0.684 (67b22bc) and 0.716 (189336e) after 1,180 steps.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the same code as the paper's network, narrower."""
    config = default.get_config()
    config.total_steps = 1320
    config.global_batch_size = 24
    config.teacher_forced_steps = 350
    config.teacher_fading_steps = 880
    config.log_every_steps = 25
    config.eval_every_steps = 0
    config.checkpoint_every_steps = 660
    config.data.input_size_px = 96
    config.data.box_scale = 1.1  # small pictures have no pixels to spare
    # The demo sees its pictures about six times and is far from knowing them by heart: little augmentation is needed.
    # Mirrored ones are a lesson of their own, in what tells a right hand from a left one.
    config.data.shift_share = 0.05
    config.data.scale_share = 0.1
    config.data.rotation_probability = 0.0
    config.data.flip_probability = 0.5
    _shrink(config.model)
    _balance(config.loss)
    _hurry(config.optimizer)
    config.wandb.mode = "disabled"
    return config


def _shrink(model: ConfigDict) -> None:
    """Choose a narrow network with coarse heatmaps."""
    model.backbone = "resnet18"
    model.backbone_width = 32
    model.stem = "3x3"
    model.neck_channels = 48
    model.heatmap_channels = 24
    model.heatmap_stride = 4
    model.heatmap_gain = 255.0
    model.hand_maps_head = True
    model.ciet_stride = 16
    model.ciet_gate = "mean"
    model.ciet_heads = 2
    model.width = 128
    model.position_width = 64  # half of a token: early in training, where it is says more than what is seen there
    model.token_mlp = (256, 128)
    model.object_token_mlp = (128,)
    model.feed_forward = 256
    model.heads = 4
    model.encoder_layers = 3
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


def _balance(loss: ConfigDict) -> None:
    """Set weights under which a network that starts from nothing learns all of its tasks at once."""
    loss.heatmap = 0.002
    loss.object_map = 0.0003
    loss.hand_maps = 0.006
    # Beside pose losses in millimetres a weight near KypT's 1 hardly taught the classes within a demo's length.
    loss.keypoint_class = 20.0
    loss.hand_type = 20.0
    loss.joints_2d = 1.0
    loss.object_corners = 0.02
    loss.object_translation = 20.0
    loss.heatmap_overlap = "max"
    loss.heatmap_sigma_hm = 1.0
    loss.match_radius_hm = 1.25
    loss.normalise = "valid"


def _hurry(optimizer: ConfigDict) -> None:
    """Take few steps, so large ones."""
    optimizer.preconditioner = "muon"
    optimizer.muon_rms = 2.0
    optimizer.muon_most_elements = 250_000
    optimizer.learning_rate = 1e-3
    optimizer.backbone_learning_rate = 1e-3
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = 40
    optimizer.clip_norm = 1.0
    optimizer.average_decay = 0.99
