"""The benchmarks' network in PyTorch against ours: every block, every loss, every gradient; runs where PyTorch is."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.models.resnet import STAGE_SIZES
from occrobnet_jax.runs.experiment import LossConfig
from occrobnet_jax.runs.state import abstract_variables
from occrobnet_jax.training.losses import losses, total
from occrobnet_jax.types import Batch
from tests.support.fake_batches import fake_batch
from tests.support.tiny import tiny_model

pytest.importorskip("torch", reason="PyTorch is not part of the environment; see requirements/torch.in")

import torch

from benchmarks.torch_mirror import occrobnet as mirror
from benchmarks.torch_mirror.losses import losses as mirror_losses
from benchmarks.torch_mirror.resnet import ResNet
from benchmarks.torch_mirror.targets import torch_batch
from benchmarks.torch_mirror.weights import load, mirror_arrays

TOLERANCE = 1e-4  # of the largest value of each array
SIZE_PX = 64
PAPER = tiny_model(
    **{"backbone": "resnet50", "stem": "7x7", "heatmap_stride": 2, "ciet_stride": 8, "left_object_translation": True}
)
KYPT = dataclasses.replace(
    PAPER, neck="unet", ciet="off", with_object=False, representation="2.5d", left_object_translation=False
)


@dataclasses.dataclass
class Pair:
    """What both networks make of one batch, in training, with the gradients of the loss."""

    config: ModelConfig
    ours: dict[str, Any]
    theirs: dict[str, Any]


@pytest.fixture(scope="module")
def shallow_resnet50() -> Iterator[None]:
    """One bottleneck in each stage; the mirror has its stages from the same table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGE_SIZES, "resnet50", (1, 1, 1, 1))
        yield


@pytest.fixture(scope="module", params=["paper", "kypt"])
def pair(request: pytest.FixtureRequest, shallow_resnet50: None) -> Pair:
    config = {"paper": PAPER, "kypt": KYPT}[request.param]
    batch = fake_batch(config, SIZE_PX, count=6)
    shapes = abstract_variables(OccRobNet(config), SIZE_PX)
    draw = functools.partial(random_array, np.random.default_rng(0))
    variables = jax.tree_util.tree_map_with_path(draw, shapes)
    with jax.enable_x64(), double_precision():
        ours, theirs = run_ours(config, variables, batch), run_theirs(config, variables, batch)
    return Pair(config, ours, theirs)


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """PyTorch in float64: in float32 an activation near 0 may fall to either side of a ReLU, and gradients jump."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def random_array(rng: np.random.Generator, path: tuple[Any, ...], shape: jax.ShapeDtypeStruct) -> np.ndarray:
    """Weights as large as they are at the start, biases and scales at random too, so that none hides behind a zero."""
    values = rng.standard_normal(shape.shape).astype(np.float32)
    match path[-1].key:
        case "kernel":
            fan_in = np.prod(shape.shape[:-2] if path[-2].key in ("query", "key", "value") else shape.shape[:-1])
            return values / np.float32(np.sqrt(fan_in))
        case "scale" | "var":
            return np.float32(1) + np.float32(0.2) * np.tanh(values)
    return np.float32(0.1) * values


def run_ours(config: ModelConfig, variables: dict[str, Any], batch: Batch) -> dict[str, Any]:
    model = OccRobNet(config, dtype=jnp.float64)

    def loss_of(params: Any) -> tuple[Any, Any]:
        kept = {"params": params, "batch_stats": variables["batch_stats"]}
        options = {"mutable": ["batch_stats", "intermediates"], "capture_intermediates": True}
        predictions, changed = model.apply(kept, batch.image, train=True, **options)
        terms = losses(predictions, batch, config, LossConfig())
        blocks = {name: part["__call__"][0] for name, part in changed["intermediates"].items() if name != "__call__"}
        return total(terms), (predictions, blocks, {name: value / count for name, (value, count) in terms.items()})

    run = jax.jit(jax.value_and_grad(loss_of, has_aux=True))
    (_, (predictions, blocks, terms)), gradient = run(variables["params"])
    return {"predictions": predictions, "blocks": blocks, "terms": terms, "gradient": mirror_arrays(gradient)}


def run_theirs(config: ModelConfig, variables: dict[str, Any], batch: Batch) -> dict[str, Any]:
    network = mirror.OccRobNet(config, SIZE_PX).train()
    load(network, variables)
    network.double()
    blocks: dict[str, Any] = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda _, inputs, made, name=name: blocks.__setitem__(name, made))
    outputs = network(torch.from_numpy(np.array(batch.image)))
    terms = mirror_losses(outputs, torch_batch(batch), config, LossConfig())
    sum(terms.values()).backward()
    gradient = {name: parameter.grad for name, parameter in network.named_parameters()}
    return {"outputs": outputs, "blocks": blocks, "terms": terms, "gradient": gradient}


def assert_close(got: Any, expected: Any, what: str, tolerance: float = TOLERANCE) -> None:
    got, expected = np.asarray(got), expected.detach().numpy()
    assert got.shape == expected.shape, what
    error, size = np.abs(got - expected).max(), np.abs(expected).max()
    print(f"{what:60s}{error / size if size else error:.1e}")
    assert error <= tolerance * size, what


def channels_last(x: Any) -> Any:
    return x.permute(0, 2, 3, 1)


def test_maps(pair):
    ours, theirs = pair.ours["blocks"], pair.theirs["blocks"]
    for got, expected in zip(ours["backbone"], theirs["backbone"], strict=True):
        assert_close(got, channels_last(expected), "backbone")
    levels = ours["unet"] if pair.config.neck == "unet" else (ours["finest"], *vars(ours["rebuilt"]).values())
    for got, expected in zip(levels, theirs["neck"], strict=True):
        assert_close(got, channels_last(expected), "levels")
    if pair.config.ciet != "off":
        assert_close(ours["ciet"].features, channels_last(theirs["neck.ciet"]), "CIET")


def test_keypoints_and_transformer(pair):
    predictions, outputs = pair.ours["predictions"], pair.theirs["outputs"]
    assert outputs["valid"].sum(1).min() > 5
    for field in ("xy_hm", "valid", "is_object"):
        np.testing.assert_array_equal(getattr(predictions.keypoints, field), outputs[field].numpy())
    for block in ("tokens", "encoder", "decoder"):
        assert_close(pair.ours["blocks"][block], pair.theirs["blocks"][block], block)


def test_outputs_and_losses(pair):
    outputs = {name: value for name, value in pair.theirs["outputs"].items() if name != "tokens"}
    for name in outputs.keys() - {"xy_hm", "valid", "is_object"}:
        assert_close(getattr(pair.ours["predictions"], name), outputs[name], name)
    assert pair.ours["terms"].keys() == pair.theirs["terms"].keys()
    for name, value in pair.theirs["terms"].items():
        assert float(value.detach()) != 0, name
        assert_close(pair.ours["terms"][name], value, f"loss {name}")


def test_gradients(pair):
    assert pair.ours["gradient"].keys() == pair.theirs["gradient"].keys()
    blocks: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for name, expected in pair.theirs["gradient"].items():
        block = name.split(".")[1 if name.startswith("neck.") else 0]
        blocks.setdefault(block, []).append((pair.ours["gradient"][name].numpy(), expected.numpy()))
    for block, arrays in blocks.items():
        for got, expected in arrays:
            assert got.shape == expected.shape, block
        error = np.sqrt(sum(((got - expected) ** 2).sum() for got, expected in arrays))
        size = np.sqrt(sum((expected**2).sum() for _, expected in arrays))
        print(f"gradient of {block:20s}{error / size:.1e} of {size:.3g}")
        assert size > 0
        assert error < TOLERANCE * size, block


def test_the_backbone_is_torchvisions(shallow_resnet50):
    resnet = pytest.importorskip("torchvision", reason="torchvision is not part of the environment").models.resnet
    torch.manual_seed(0)
    reference = resnet.ResNet(resnet.Bottleneck, STAGE_SIZES["resnet50"]).train()
    ours = ResNet(ModelConfig()).train()
    weights = [value for name, value in reference.state_dict().items() if not name.startswith("fc.")]
    ours.load_state_dict(dict(zip(ours.state_dict(), weights, strict=True)))
    image = torch.randn(2, 3, 64, 64)
    x = reference.maxpool(reference.relu(reference.bn1(reference.conv1(image))))
    for stage in (reference.layer1, reference.layer2, reference.layer3, reference.layer4):
        x = stage(x)
    torch.testing.assert_close(ours(image)[-1], x)
