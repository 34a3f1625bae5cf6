"""What the losses weigh."""

import dataclasses
from typing import Literal

from occrobnet_jax.choices import check_choices


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Fields of `config.loss`: weights of the terms, and the shapes of their targets."""

    heatmap: float = 0.01
    object_map: float = 0.001
    hand_maps: float = 0.001  # [ours]
    keypoint_class: float = 1.0
    axis_heatmaps: float = 1000.0  # 2.5D
    bone_vectors: float = 1.0  # per mm
    root_relative_joints: float = 0.1  # per mm
    hand_pose: float = 0.07  # angles; per radian, summed over the three numbers of a rotation
    hand_shape: float = 5.0  # angles
    weak_joints_2d: float = 0.01  # per px of 128 across the crop
    weak_camera_scale: float = 0.005
    weak_camera_translation: float = 0.05
    joints_2d: float = 0.1  # of the 2D head, per px of 128 across the crop [ours]
    relative_translation: float = 100.0  # per m
    hand_type: float = 1.0  # KypT has 0, which leaves this head untrained [ours]
    object_corners: float = 0.1  # per mm
    object_translation: float = 100.0  # per m
    visibility: float = 1.0  # [ours]
    object_corner_factors: tuple[tuple[int, float], ...] = ()  # (object id, factor); KypT: 4 for YCB 10 and 24
    normalise: Literal["all", "valid"] = "all"
    heatmap_overlap: Literal["sum", "max"] = "sum"  # of near joints; "max" suits coarse heatmaps [ours]
    heatmap_sigma_hm: float = 1.25
    axis_sigma_bins: float = 1.25
    match_radius_hm: float = 3.0  # within which a token is a joint's

    def __post_init__(self) -> None:
        check_choices(self, "loss")
