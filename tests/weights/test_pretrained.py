"""A backbone's weights from torchvision's files: names, layouts, and what is told when they differ."""

import dataclasses
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.resnet import ResNet
from occrobnet_jax.runs.experiment import RecipeConfig
from occrobnet_jax.runs.state import TrainState, leaves_by_path
from occrobnet_jax.training.setup import Run, restore_or_create
from occrobnet_jax.weights.pretrained import backbone_source, converted, load_backbone, read_state_dict
from tests.support.fake_runs import drawn_variables, tiny_experiment
from tests.support.resnet_names import resnet_shapes
from tests.support.torch_files import bfloat16, write_zip

ARCHITECTURES = ("resnet18", "resnet34", "resnet50", "resnet101")


def small_state(architecture: str, width: int = 4, stem: int = 7) -> dict[str, np.ndarray]:
    """A state dict as torchvision has it, a classifier too, in narrow."""
    rng = np.random.default_rng(0)
    state = {name: rng.random(shape, np.float32) for name, shape in resnet_shapes(architecture, width, stem).items()}
    counters = {name: np.array(7, np.int64) for name in state if name.endswith("num_batches_tracked")}
    return state | counters | {"fc.weight": np.zeros((10, 8), np.float32), "fc.bias": np.zeros(10, np.float32)}


def backbone_like(architecture: str, width: int = 4) -> dict:
    model = ResNet(ModelConfig(backbone=architecture, backbone_width=width))
    return dict(jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_array_of_a_resnet_is_found(architecture, tmp_path):
    state = small_state(architecture)
    loaded = load_backbone(write_zip(tmp_path / "file.pth", state), backbone_like(architecture))
    leaves = leaves_by_path(loaded)
    counted = [name for name in state if not name.startswith("fc.") and not name.endswith("tracked")]
    assert len(leaves) == len(counted)
    assert sum(leaf.size for leaf in leaves.values()) == sum(state[name].size for name in counted)
    kernel = leaves["params/layer2_0/conv1/kernel"]
    for h, w, i, o in ((0, 0, 1, 2), (-1, 0, 3, 0), (0, -1, 0, 5)):
        assert kernel[h, w, i, o] == state["layer2.0.conv1.weight"][o, i, h, w]
    np.testing.assert_array_equal(
        leaves["params/layer2_0/downsample/bn/bn/scale"], state["layer2.0.downsample.1.weight"]
    )
    np.testing.assert_array_equal(leaves["batch_stats/layer4_1/bn2/bn/var"], state["layer4.1.bn2.running_var"])


def test_safetensors_hold_the_same_and_types_become_float32(tmp_path):
    state = small_state("resnet18") | {"conv1.weight": bfloat16(np.full((4, 3, 7, 7), 0.375))}
    save_file(state, tmp_path / "file.safetensors")
    write_zip(tmp_path / "file.pth", {"epoch": 90, "state_dict": {f"module.{k}": v for k, v in state.items()}})
    like = backbone_like("resnet18")
    one, other = (load_backbone(tmp_path / name, like) for name in ("file.safetensors", "file.pth"))
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert {leaf.dtype for leaf in jax.tree.leaves(one)} == {np.dtype(np.float32)}
    assert (one["params"]["conv1"]["kernel"] == 0.375).all()


def test_every_difference_is_in_one_error(tmp_path):
    state = small_state("resnet18")
    state["layer1.0.convx.weight"] = state.pop("layer1.0.conv1.weight")
    state["conv1.weight"] = np.zeros((4, 3, 3, 3), np.float32)
    state["bn1.bias"] = np.zeros(4, np.int64)
    state["bn1.weight"] = np.full(4, np.nan, np.float32)
    path = write_zip(tmp_path / "file.pth", state)
    with pytest.raises(ValueError, match=r"file\.pth does not fit the backbone; .*; 5 arrays differ") as error:
        load_backbone(path, backbone_like("resnet18"))
    for line in (
        "layer1.0.conv1.weight: missing",
        "conv1.weight: [4, 3, 3, 3] in the file, [4, 3, 7, 7] in the network",
        "bn1.bias: int64 in the file, floating point in the network",
        "bn1.weight: holds values that are not finite in float32",
        "layer1.0.convx.weight: in the file, not in the network",
    ):
        assert f"\n  {line}" in str(error.value)


def test_another_architecture_is_refused(tmp_path):
    path = write_zip(tmp_path / "file.pth", small_state("resnet34"))
    with pytest.raises(ValueError, match=r"layer3\.5\.bn2\.running_var: in the file, not in the network"):
        load_backbone(path, backbone_like("resnet18"))
    with pytest.raises(ValueError, match=r"layer1\.0\.conv3\.weight: missing"):
        load_backbone(path, backbone_like("resnet50"))


def test_damaged_safetensors_are_one_error(tmp_path):
    path = tmp_path / "file.safetensors"
    save_file({"a": np.zeros(100, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"can't be read as safetensors, perhaps an incomplete download"):
        load_backbone(path, {})


def test_a_new_run_starts_with_the_backbone_of_a_file(tmp_path: Path):
    state = small_state("resnet18", 8, 3)
    path = write_zip(tmp_path / "resnet18.pth", state)
    experiment = tiny_experiment(tmp_path, backbone_weights=str(path))
    drawn = drawn_variables(experiment)
    start = TrainState(jnp.int32(0), drawn["params"], drawn["batch_stats"], drawn["params"], {})
    unused: Any = None
    run = Run(experiment, unused, unused, jax.eval_shape(lambda: start), lambda: start, unused, unused)
    new, _, began_with = restore_or_create(run, tmp_path / "run")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert began_with == f"backbone of {path} (SHA-256 {sha256}), the rest drawn from seed 0"
    for params in (new.params, new.averaged):
        np.testing.assert_array_equal(params["backbone"]["layer4_1"]["bn2"]["bn"]["bias"], state["layer4.1.bn2.bias"])
    before = leaves_by_path(start.params)
    changed = {name for name, leaf in leaves_by_path(new.params).items() if (leaf != before[name]).any()}
    assert {name.split("/")[0] for name in changed} == {"backbone"}
    np.testing.assert_array_equal(new.batch_stats["backbone"]["bn1"]["bn"]["mean"], state["bn1.running_mean"])
    elsewhere = tiny_experiment(tmp_path, backbone_weights=str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match=r"elsewhere can't be read"):
        restore_or_create(dataclasses.replace(run, experiment=elsewhere), tmp_path / "run")


def test_a_recipe_for_pretrained_weights_does_not_begin_with_drawn_ones(tmp_path: Path):
    experiment = dataclasses.replace(tiny_experiment(tmp_path), recipe=RecipeConfig(needs_weights=True))
    unused: Any = None
    run = Run(experiment, unused, unused, unused, unused, unused, unused)
    with pytest.raises(ValueError, match=r"name its file with --config\.model\.backbone_weights=FILE"):
        restore_or_create(run, tmp_path / "run")


def write_header(path, header):
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + bytes(64))
    return path


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3", "no type"])
def test_types_that_numpy_does_not_have_are_one_sentence(tmp_path, dtype):
    header = {"a": {"dtype": dtype, "shape": [64], "data_offsets": [0, 64]}}
    with pytest.raises(ValueError, match=r"file.safetensors can't be read as safetensors"):
        load_backbone(write_header(tmp_path / "file.safetensors", header), {})


@pytest.mark.parametrize("nested", [b'{"a":' * 99_999, b'{"__metadata__":' + b"[" * 99_999])
def test_nested_headers_are_one_short_sentence(tmp_path, nested):
    with pytest.raises(ValueError, match=r"can't be read as safetensors") as error:
        load_backbone(write_header(tmp_path / "file.safetensors", nested), {})
    assert len(str(error.value)) < 1000


def test_what_a_file_holds_is_never_told_whole(tmp_path):
    header = {f"{number:09}" * 99: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(2000)}
    path = tmp_path / "file.safetensors"
    content = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content)
    with pytest.raises(ValueError, match=r"(?s)2000 arrays differ.*and 1500 more") as error:
        converted(read_state_dict(path), {}, backbone_source, (), "it does not fit")
    assert len(str(error.value)) < 200_000
