"""FPN, rebuilt levels, finest level and Keypoint Transformer's decoder, as `occrobnet_jax.models.neck`."""

import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.torch_mirror.layers import ConvBnRelu, UpConvBnRelu, cat_channels, upsample_2x
from occrobnet_jax.models.config import ModelConfig


class FeaturePyramid(nn.Module):
    """1 x 1 laterals, bilinear top-down additions, one 3 x 3 smoothing of the finest."""

    def __init__(self, widths: list[int], channels: int) -> None:
        super().__init__()
        for level in (2, 3, 4, 5):
            self.add_module(f"lateral{level}", nn.Conv2d(widths[level - 1], channels, 1))
        self.smooth2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, taps: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the levels p2 to p5."""
        p5 = self.lateral5(taps[4])
        p4 = self.lateral4(taps[3]) + upsample_2x(p5)
        p3 = self.lateral3(taps[2]) + upsample_2x(p4)
        p2 = self.lateral2(taps[1]) + upsample_2x(p3)
        return self.smooth2(p2), p3, p4, p5


class RebuiltPyramid(nn.Module):
    """Every level that tokens see, from CIET's output (at stride 8)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down4 = nn.Conv2d(channels, channels, 3, 2, 1)
        self.down5 = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, enhanced: Tensor, p2: Tensor, p4: Tensor, p5: Tensor) -> list[Tensor]:
        """Return the levels n2 to n5."""
        n4 = self.down4(enhanced) + p4
        return [upsample_2x(enhanced) + p2, enhanced, n4, self.down5(n4) + p5]


class FinestLevel(nn.Module):
    """From stride 4 up to stride 2 with the stem's skip."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels = config.heatmap_channels
        self.up = UpConvBnRelu(config.neck_channels, 2 * channels)
        self.lateral = ConvBnRelu(config.backbone_width, channels, 1)
        self.conv = ConvBnRelu(3 * channels, channels)

    def forward(self, p2: Tensor, stem: Tensor) -> Tensor:
        """Return the map that heatmaps are read off."""
        return self.conv(cat_channels(self.lateral(stem), self.up(p2)))


class UNet(nn.Module):
    """Keypoint Transformer's small decoder."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        deepest = widths[-1]
        sides = [deepest // n for n in (4, 8, 16, 32, 64)]
        ups = [deepest // n for n in (8, 16, 32, 32)]
        outs = [deepest // n for n in (8, 16, 32, 64)]
        self.lateral0 = ConvBnRelu(deepest, sides[0], 1)
        given = deepest
        for i in range(1, 5):
            self.add_module(f"lateral{i}", ConvBnRelu(widths[-1 - i], sides[i], 1))
            self.add_module(f"up{i}", UpConvBnRelu(given, ups[i - 1]))
            self.add_module(f"conv{i}", ConvBnRelu(sides[i] + ups[i - 1], outs[i - 1]))
            given = outs[i - 1]
        self.widths = [*outs[::-1], sides[0]]

    def forward(self, taps: list[Tensor]) -> list[Tensor]:
        """Return five levels, finest first."""
        level = taps[4]
        levels = [self.lateral0(level)]
        for i in range(1, 5):
            side, up = getattr(self, f"lateral{i}")(taps[4 - i]), getattr(self, f"up{i}")(level)
            level = getattr(self, f"conv{i}")(cat_channels(side, up))
            levels.append(level)
        return levels[::-1]


class MapHead(nn.Module):
    """Reads one map off the finest level."""

    def __init__(self, channels: int, hidden: tuple[int, ...], gain: float) -> None:
        super().__init__()
        self.gain, self.depth = gain, len(hidden)
        for i, made in enumerate(hidden):
            self.add_module(f"conv{i}", ConvBnRelu(channels, made, 1))
            channels = made
        self.out = nn.Conv2d(channels, 1, 1)

    def forward(self, finest: Tensor) -> Tensor:
        """Return the map, b h w."""
        for i in range(self.depth):
            finest = getattr(self, f"conv{i}")(finest)
        return self.gain * self.out(finest)[:, 0]


def average_pool(x: Tensor, factor: int) -> Tensor:
    """Return the mean of each `factor` x `factor` block."""
    return F.avg_pool2d(x, factor)
