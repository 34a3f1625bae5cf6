"""Names and shapes of EfficientNet-Lite0 in `efficientnet_lite_pytorch`, written from the architecture."""

from tests.support.resnet_names import Shapes, batch_norm

BLOCKS = "1-3-1-1-16 2-3-2-6-24 2-5-2-6-40 3-3-2-6-80 3-5-1-6-112 4-5-2-6-192 1-3-1-6-320"
"""Repetitions, kernel, stride of the first, expansion, channels."""


def lite_blocks() -> list[tuple[int, int, int, int, int]]:
    """Kernel, stride, channels given, within and made of each block."""
    blocks, channels = [], 32
    for stage in BLOCKS.split():
        repetitions, kernel, stride, expansion, made = map(int, stage.split("-"))
        for number in range(repetitions):
            blocks.append((kernel, 1 if number else stride, channels, expansion * channels, made))
            channels = made
    return blocks


def lite_shapes() -> Shapes:
    """Everything, the classifier too."""
    shapes = {"_conv_stem.weight": (32, 3, 3, 3)} | batch_norm("_bn0", 32)
    for number, (kernel, _, given, within, made) in enumerate(lite_blocks()):
        name = f"_blocks.{number}"
        if within > given:
            shapes |= {f"{name}._expand_conv.weight": (within, given, 1, 1)} | batch_norm(f"{name}._bn0", within)
        shapes |= {f"{name}._depthwise_conv.weight": (within, 1, kernel, kernel)} | batch_norm(f"{name}._bn1", within)
        shapes |= {f"{name}._project_conv.weight": (made, within, 1, 1)} | batch_norm(f"{name}._bn2", made)
    head = {"_conv_head.weight": (1280, 320, 1, 1)} | batch_norm("_bn1", 1280)
    return shapes | head | {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)}
