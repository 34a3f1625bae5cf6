"""EfficientNet-Lite0 with the weights that its PyTorch port publishes: names, layouts, and the network itself."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.efficientnet_lite import EfficientNetLite
from occrobnet_jax.runs.state import leaves_by_path
from occrobnet_jax.weights.pretrained import load_backbone
from tests.support.lite_names import lite_shapes
from tests.support.torch_files import write_zip

CONFIG = ModelConfig(backbone="efficientnet_lite0", input_normalisation="lite")
TAPS = [(16, 2), (24, 4), (40, 8), (112, 16), (320, 32)]
TOLERANCE = 1e-5  # of each tap's largest activation


@functools.cache
def network_and_like() -> tuple[EfficientNetLite, dict[str, Any]]:
    model = EfficientNetLite(CONFIG)
    return model, dict(jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 64, 96, 3)), train=False)))


def test_every_array_of_the_file_is_found_in_its_place(tmp_path):
    rng = np.random.default_rng(0)
    state = {name: rng.random(shape, np.float32) for name, shape in lite_shapes().items()}
    loaded = load_backbone(write_zip(tmp_path / "lite.pth", state), network_and_like()[1])
    leaves = leaves_by_path(loaded)
    used = [name for name in state if not name.startswith(("_conv_head", "_bn1", "_fc")) and "num_batch" not in name]
    assert sum(leaf.size for leaf in leaves.values()) == sum(state[name].size for name in used)
    depthwise = leaves["params/layer5_1/depthwise/kernel"]
    assert depthwise[4, 1, 0, 7] == state["_blocks.9._depthwise_conv.weight"][7, 0, 4, 1]
    np.testing.assert_array_equal(
        leaves["params/layer7_0/expand/kernel"][0, 0], state["_blocks.15._expand_conv.weight"][..., 0, 0].T
    )
    np.testing.assert_array_equal(leaves["batch_stats/layer1_0/bn3/bn/var"], state["_blocks.0._bn2.running_var"])


def test_a_missing_array_is_named(tmp_path):
    state = {name: np.ones(shape, np.float32) for name, shape in lite_shapes().items()}
    del state["_blocks.3._bn1.running_mean"]
    with pytest.raises(ValueError, match=r"1 arrays differ:\n  _blocks\.3\._bn1\.running_mean: missing"):
        load_backbone(write_zip(tmp_path / "lite.pth", state), network_and_like()[1])


def test_taps_are_those_that_the_necks_expect():
    model, like = network_and_like()
    taps = jax.eval_shape(lambda variables: model.apply(variables, jnp.zeros((1, 64, 96, 3)), train=False), like)
    assert [(tap.shape[3], 64 // tap.shape[1]) for tap in taps] == TAPS


def test_its_weights_need_its_normalization():
    with pytest.raises(ValueError, match=r"set model\.input_normalisation='lite' instead of 'imagenet'"):
        ModelConfig(backbone="efficientnet_lite0", backbone_weights="lite.pth")


def test_taps_agree_with_pytorch(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not part of the environment; see requirements/torch.in")
    from tests.support import torch_lite

    mirror = torch_lite.random_network()
    torch.save(mirror.state_dict(), tmp_path / "lite.pth")
    image = np.random.default_rng(1).normal(size=(2, 64, 96, 3)).astype(np.float32)
    with torch.no_grad():
        expected = mirror.taps(torch.from_numpy(image).permute(0, 3, 1, 2))
    model, like = network_and_like()
    taps = jax.jit(lambda variables: model.apply(variables, jnp.asarray(image), train=False))(
        load_backbone(tmp_path / "lite.pth", like)
    )
    for ours, theirs in zip(taps, expected, strict=True):
        reference = theirs.permute(0, 2, 3, 1).numpy()
        assert np.abs(ours - reference).max() < TOLERANCE * np.abs(reference).max()
