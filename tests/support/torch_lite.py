"""EfficientNet-Lite0 in PyTorch, with the names of `efficientnet_lite_pytorch`; needs PyTorch."""

import torch
from torch import nn
from torch.nn import functional

from tests.support.lite_names import lite_blocks

TAPPED = (0, 2, 4, 10, 15)


class SameConv(nn.Conv2d):
    """TensorFlow's padding "SAME", for maps that the stride divides."""

    def forward(self, x):
        total = self.kernel_size[0] - self.stride[0]
        before, behind = total // 2, total - total // 2
        return super().forward(functional.pad(x, (before, behind, before, behind)))


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


class Block(nn.Module):
    def __init__(self, kernel, stride, given, within, made):
        super().__init__()
        if within > given:
            self._expand_conv, self._bn0 = SameConv(given, within, 1, bias=False), norm(within)
        self._depthwise_conv = SameConv(within, within, kernel, stride, groups=within, bias=False)
        self._bn1 = norm(within)
        self._project_conv, self._bn2 = SameConv(within, made, 1, bias=False), norm(made)

    def forward(self, x):
        y = functional.relu6(self._bn0(self._expand_conv(x))) if hasattr(self, "_bn0") else x
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if x.shape == y.shape else y


class Lite(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = SameConv(3, 32, 3, 2, bias=False), norm(32)
        self._blocks = nn.ModuleList(Block(*block) for block in lite_blocks())
        self._conv_head, self._bn1 = SameConv(320, 1280, 1, bias=False), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def taps(self, x):
        maps = [functional.relu6(self._bn0(self._conv_stem(x)))]
        for block in self._blocks:
            maps.append(block(maps[-1]))
        return [maps[number + 1] for number in TAPPED]


def random_network():
    """Weights as at the start of training, BatchNorms as if they had seen something."""
    torch.manual_seed(3)
    network = Lite()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.2)
            module.bias.data.normal_(0, 0.1)
    return network.eval()
