"""Names and shapes of torchvision's ResNets, written from the architecture, not from what reads them."""

Shapes = dict[str, tuple[int, ...]]

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}


def batch_norm(name: str, width: int) -> Shapes:
    vectors = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (width,))
    return {f"{name}.{leaf}": shape for leaf, shape in (vectors | {"num_batches_tracked": ()}).items()}


def resnet_shapes(architecture: str, width: int = 64, stem: int = 7) -> Shapes:
    """Everything but the classifier; `width` and `stem` below torchvision's make small files for tests."""
    deep = architecture in ("resnet50", "resnet101")
    shapes = {"conv1.weight": (width, 3, stem, stem)} | batch_norm("bn1", width)
    channels = width
    for stage, blocks in enumerate(BLOCKS[architecture]):
        inner = width * 2**stage
        outer = 4 * inner if deep else inner
        for block in range(blocks):
            name = f"layer{stage + 1}.{block}"
            convolutions = [(channels, inner, 1), (inner, inner, 3), (inner, outer, 1)]
            convolutions = convolutions if deep else [(channels, inner, 3), (inner, outer, 3)]
            for number, (given, made, kernel) in enumerate(convolutions, 1):
                shapes |= {f"{name}.conv{number}.weight": (made, given, kernel, kernel)}
                shapes |= batch_norm(f"{name}.bn{number}", made)
            if block == 0 and (deep or stage > 0):
                shapes |= {f"{name}.downsample.0.weight": (outer, channels, 1, 1)} | batch_norm(
                    f"{name}.downsample.1", outer
                )
            channels = outer
    return shapes
