"""The network in the box: hands in anybody's photos, with maps of each joint and a finder, small enough for CPUs.

It learns on synthetic hands (3D) and on photos whose labels are in 2D alone, mixed by share. Judge it by its 2D error
on real photos, never by synthetic MPJPE. docs/photo.md has the data, the commands and what was measured.

Seen after these 4,800 steps (116 minutes on one core of a busy machine), which began with the weights of 2,400 others,
boxes given: PCK@0.2 0.841 on the photos of homes_val, 0.883 on those of letters_val.

    python train.py --config=configs/photo.py --workdir=runs/photo --config.data.data_dir=data \
        --config.model.backbone_weights=efficientnet-lite0-57934424.pth
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the network, its mixture of data, and a schedule for hours on one core."""
    config = default.get_config()
    config.total_steps = 4800
    config.global_batch_size = 24
    config.log_every_steps = 25
    config.eval_every_steps = 0
    config.checkpoint_every_steps = 200
    _mix(config.data)
    _shrink(config.model)
    _balance(config.loss)
    _hurry(config.optimizer)
    config.wandb.mode = "disabled"
    return config


def _mix(data: ConfigDict) -> None:
    """Mix half synthetic hands with half photos with labels in 2D; boxes as a finder would give them."""
    data.name = "synthetic_hands_v2+custom"
    data.shares = (0.5, 0.5)
    data.eval_split = "custom/homes_val"
    data.input_size_px = 128
    data.box_scale = 1.35
    data.shift_share = 0.12
    data.scale_share = 0.35
    data.zoom_out_probability = 0.35
    data.rotation_deg = 60.0
    data.rotation_probability = 0.8
    data.flip_probability = 0.5
    data.colour_share = 0.25
    data.contrast_share = 0.3
    data.brightness_share = 0.15
    data.gamma_share = 0.3
    data.grey_probability = 0.1
    data.blur_probability = 0.15
    data.noise_probability = 0.2
    data.jpeg_probability = 0.3
    data.occluder_probability = 0.25


def _shrink(model: ConfigDict) -> None:
    """Choose a phone's backbone, a narrow neck, and one token a joint."""
    model.backbone = "efficientnet_lite0"
    model.input_normalisation = "lite"
    model.batch_norm = "frozen"
    model.frozen_stages = 2  # edges and textures, as ImageNet taught them: 1.3 times the images a second
    model.neck_channels = 64
    model.heatmap_channels = 48
    model.heatmap_stride = 4
    model.heatmap_gain = 255.0
    model.joint_maps_head = True
    model.finder_head = True
    model.keypoints = "joints"
    model.decoder_start = "tokens"
    model.hand_presence = "maps"
    model.max_joint_keypoints = 42
    model.max_object_keypoints = 8
    model.suppression_radius_hm = 2.0
    model.ciet_stride = 16
    model.ciet_gate = "mean"
    model.ciet_heads = 2
    model.width = 128
    model.position_width = 32
    model.token_mlp = (192,)
    model.object_token_mlp = (128,)
    model.feed_forward = 256
    model.heads = 4
    model.encoder_layers = 2
    model.decoder_layers = 2
    model.class_mlp = (128,)
    model.head_mlp = (128,)
    model.dropout = 0.0
    model.weak_camera_head = False
    model.left_object_translation = True


def _balance(loss: ConfigDict) -> None:
    """Put the place of each joint first: on real photos nothing else is taught."""
    loss.heatmap = 0.0005
    loss.object_map = 0.0003
    loss.joint_maps = 4.0
    loss.finder = 4.0
    loss.finder_box = 2.0
    loss.keypoint_class = 1.0
    loss.hand_type = 4.0
    loss.joints_2d = 0.5
    loss.bone_vectors = 1.0
    loss.root_relative_joints = 0.2
    loss.relative_translation = 20.0
    loss.object_corners = 0.02
    loss.object_translation = 20.0
    loss.heatmap_overlap = "max"
    loss.heatmap_sigma_hm = 1.0
    loss.match_radius_hm = 1.25
    loss.normalise = "valid"


def _hurry(optimizer: ConfigDict) -> None:
    """Give Muon the new layers' matrices; the backbone, pretrained, moves more slowly."""
    optimizer.preconditioner = "muon"
    optimizer.muon_rms = 1.2
    optimizer.muon_most_elements = 100_000
    optimizer.learning_rate = 1e-3
    optimizer.backbone_learning_rate = 1.5e-4
    optimizer.schedule = "cosine"
    optimizer.warmup_steps = 100
    optimizer.clip_norm = 1.0
    optimizer.average_decay = 0.999
