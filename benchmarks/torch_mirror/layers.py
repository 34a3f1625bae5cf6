"""The small layers of `occrobnet_jax.models.layers`."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvBnRelu(nn.Module):
    """Convolution with bias, BatchNorm, ReLU."""

    def __init__(self, given: int, made: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in turn."""
        return F.relu(self.norm(self.conv(x)))


class UpConvBnRelu(nn.ConvTranspose2d):
    """Transposed 4 x 4 convolution of stride 2, BatchNorm, ReLU: doubles the map."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__(given, made, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in turn."""
        return F.relu(self.norm(super().forward(x)))


class Mlp(nn.Module):
    """Linear layers with ReLU between them, and after the last one where `final_relu` says so."""

    def __init__(self, widths: Sequence[int], *, final_relu: bool = False) -> None:
        super().__init__()
        self.final_relu = final_relu
        self.depth = len(widths) - 1
        for i, (given, made) in enumerate(itertools.pairwise(widths)):
            self.add_module(f"dense{i}", nn.Linear(given, made))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers in turn."""
        for i in range(self.depth):
            x = getattr(self, f"dense{i}")(x)
            if self.final_relu or i < self.depth - 1:
                x = F.relu(x)
        return x


def upsample_2x(x: Tensor) -> Tensor:
    """Double the map bilinearly."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def cat_channels(*maps: Tensor) -> Tensor:
    """Put maps one behind the other along the channels."""
    return torch.cat(maps, 1)
