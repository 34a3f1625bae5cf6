"""torchvision's ResNets, saved by PyTorch and as safetensors, against ours with their weights; runs where they are."""

import jax
import numpy as np
import pytest

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.resnet import ResNet
from occrobnet_jax.weights.pretrained import load_backbone

torch = pytest.importorskip("torch", reason="PyTorch is not part of the environment; see requirements/torch.in")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not part of the environment")

TOLERANCE = 1e-4  # of each stage's largest activation


def random_resnet(architecture: str):
    """Weights as at the start of training, BatchNorms as if they had seen something."""
    torch.manual_seed(3)
    network = getattr(torchvision.models, architecture)(weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.5, 1.2)
            module.bias.data.normal_(0, 0.1)
    return network.eval()


def stages(network, image):
    with torch.no_grad():
        x = network.relu(network.bn1(network.conv1(image)))
        yield x
        x = network.maxpool(x)
        for stage in (network.layer1, network.layer2, network.layer3, network.layer4):
            x = stage(x)
            yield x


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_every_stage_agrees(architecture, tmp_path):
    from safetensors.torch import save_file

    network = random_resnet(architecture)
    torch.save(network.state_dict(), tmp_path / "new.pth")
    torch.save(network.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(network.state_dict(), tmp_path / "timm.safetensors")
    image = jax.random.normal(jax.random.key(0), (2, 128, 96, 3))
    model = ResNet(ModelConfig(backbone=architecture))
    like = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))
    run = jax.jit(lambda variables: model.apply(variables, image, train=False))
    expected = list(stages(network, torch.from_numpy(np.array(image)).permute(0, 3, 1, 2)))
    for file in ("new.pth", "old.pth", "timm.safetensors"):
        with jax.default_matmul_precision("highest"):
            taps = run(load_backbone(tmp_path / file, dict(like)))
        for number, (ours, theirs) in enumerate(zip(taps, expected, strict=True), 1):
            reference = theirs.permute(0, 2, 3, 1).numpy()
            error = np.abs(ours - reference).max() / np.abs(reference).max()
            print(f"{architecture} {file} stride {2**number}: {error:.1e}")
            assert ours.shape == reference.shape
            assert error < TOLERANCE
