"""ResNet-50 and its smaller kin, as `occrobnet_jax.models.resnet`; torchvision's is the independent check."""

import torch.nn.functional as F
from torch import Tensor, nn

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.resnet import EXPANSION, STAGE_SIZES


class Shortcut(nn.Module):
    """A 1 x 1 convolution and BatchNorm."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, 1, stride, bias=False)
        self.bn = nn.BatchNorm2d(made)

    def forward(self, x: Tensor) -> Tensor:
        """Bring the block's input to the shape of its output."""
        return self.bn(self.conv(x))


class Block(nn.Module):
    """A residual block: bottleneck (1, 3, 1) or basic (3, 3)."""

    def __init__(self, given: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        made = EXPANSION * width if bottleneck else width
        layers = [(width, 1, 1), (width, 3, stride), (made, 1, 1)] if bottleneck else [(width, 3, stride), (made, 3, 1)]
        self.depth, channels = len(layers), given
        for i, (features, kernel, step) in enumerate(layers, 1):
            self.add_module(f"conv{i}", nn.Conv2d(channels, features, kernel, step, kernel // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm2d(features))
            channels = features
        is_same = stride == 1 and given == made
        self.downsample: nn.Module = nn.Identity() if is_same else Shortcut(given, made, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = F.relu(y) if i < self.depth else y
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """The backbone, with its maps at strides 2, 4, 8, 16 and 32."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        bottleneck = config.backbone not in ("resnet18", "resnet34")
        kernel, channels = int(config.stem[0]), config.backbone_width
        self.conv1 = nn.Conv2d(3, channels, kernel, 2, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.widths, self.stages = [channels], []
        for stage, num_blocks in enumerate(STAGE_SIZES[config.backbone]):
            width, names = config.backbone_width * 2**stage, []
            for i in range(num_blocks):
                stride = 2 if stage > 0 and i == 0 else 1
                names.append(f"layer{stage + 1}_{i}")
                self.add_module(names[-1], Block(channels, width, stride, bottleneck=bottleneck))
                channels = EXPANSION * width if bottleneck else width
            self.stages.append(names)
            self.widths.append(channels)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps, finest first."""
        taps = [F.relu(self.bn1(self.conv1(image)))]
        x = F.max_pool2d(taps[0], 3, 2, 1)
        for names in self.stages:
            for name in names:
                x = getattr(self, name)(x)
            taps.append(x)
        return taps
