"""From keypoints to tokens, as `occrobnet_jax.models.tokens`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_mirror.layers import Mlp
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.tokens import COARSE_LEVELS, POSITION_TEMPERATURE


class Tokens(nn.Module):
    """Token = [features at the keypoint, all levels, through an MLP | position code]."""

    def __init__(self, config: ModelConfig, widths: list[int]) -> None:
        super().__init__()
        self.config = config
        made = config.width - config.position_width
        self.joint_mlp = Mlp([sum(widths), *config.token_mlp, made], final_relu=True)
        if config.with_object:
            given = sum(widths[-COARSE_LEVELS:])
            self.object_mlp = Mlp([given, *config.object_token_mlp, made], final_relu=True)

    def forward(self, levels: list[Tensor], xy_hm: Tensor, map_size: int) -> Tensor:
        """Return the tokens, b t width."""
        grid = (2 * xy_hm / (map_size - 1) - 1)[:, None]
        split = self.config.max_joint_keypoints
        tokens = self.joint_mlp(torch.cat([sample(level, grid[:, :, :split]) for level in levels], -1))
        if self.config.with_object:
            things = torch.cat([sample(level, grid[:, :, split:]) for level in levels[-COARSE_LEVELS:]], -1)
            tokens = torch.cat([tokens, self.object_mlp(things)], 1)
        return torch.cat([tokens, position_code(xy_hm, map_size, self.config.position_width)], -1)


def sample(level: Tensor, grid: Tensor) -> Tensor:
    """Return the bilinear samples, b t c."""
    return F.grid_sample(level, grid, align_corners=True)[:, :, 0].transpose(1, 2)


def position_code(xy_hm: Tensor, map_size: int, width: int) -> Tensor:
    """Return the sine code of the nearest heatmap pixel: half the values for y, half for x."""
    index = torch.arange(width // 2, device=xy_hm.device)
    period = POSITION_TEMPERATURE ** (2 * torch.div(index, 2, rounding_mode="floor") / (width // 2))
    angle = (2 * math.pi * (xy_hm.round() + 1) / map_size).flip(-1)[..., None] / period
    return torch.where(index % 2 == 0, angle.sin(), angle.cos()).flatten(-2)
