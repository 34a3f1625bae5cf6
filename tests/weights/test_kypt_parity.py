"""An imported Keypoint Transformer against an oracle in PyTorch, part by part; runs where PyTorch is."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from occrobnet_jax.geometry.kinematics import accumulate_bones
from occrobnet_jax.hands.mano_pickle import read_mano_pickle
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.runs.state import abstract_variables
from occrobnet_jax.weights import kypt
from occrobnet_jax.weights.pretrained import read_state_dict
from tests.support.fake_mano import mano_record, write_mano
from tests.support.kypt_names import KINDS, kypt_shapes
from tests.support.mano_by_hand import mano_by_hand

pytest.importorskip("torch", reason="PyTorch is not part of the environment; see requirements/torch.in")
pytest.importorskip("torchvision", reason="torchvision is not part of the environment")

import torch

from tests.support import kypt_oracle

TOLERANCE = 1e-4  # of the largest value


@dataclasses.dataclass
class Pair:
    """The oracle's network, and the one imported from its file; what both make of the same images."""

    kind: str
    network: Any
    run: Callable
    variables: Any
    config: ModelConfig
    images: Any
    expected: dict[str, Any] = dataclasses.field(default_factory=dict)
    predictions: Any = None
    parts: dict[str, Any] = dataclasses.field(default_factory=dict)

    def compute(self) -> "Pair":
        with torch.no_grad():
            self.expected = self.network(self.images / 255)
        with jax.default_matmul_precision("highest"):
            pixels = self.images.permute(0, 2, 3, 1).numpy().astype(np.uint8)
            self.predictions, captured = self.run(self.variables, pixels)
        self.parts = {
            name: part["__call__"][0] for name, part in captured["intermediates"].items() if name != "__call__"
        }
        return self

    @property
    def slots(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of our slots that hold the oracle's valid ones, in the oracle's order."""
        rows, columns = [], []
        valid, is_object = self.expected["valid"].numpy(), self.expected["is_object"].numpy()
        for b in range(len(valid)):
            first = self.config.max_joint_keypoints
            ours = [*range((valid[b] & ~is_object[b]).sum()), *range(first, first + is_object[b].sum())]
            rows += [b] * len(ours)
            columns += ours
        return np.array(rows), np.array(columns)


@pytest.fixture(scope="module", params=KINDS)
def pair(request, tmp_path_factory) -> Pair:
    images = kypt_oracle.smooth_images(2, seed=1)
    network = kypt_oracle.random_network(request.param, 5, images / 255)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == kypt_shapes(request.param)
    path = tmp_path_factory.mktemp("kypt") / "snapshot_21_845.pth.tar"
    kypt_oracle.save_snapshot(network, path, legacy=request.param == KINDS[0])
    state = read_state_dict(path)
    kind = kypt.kind_of(state, path)
    mano = _mano_folder(tmp_path_factory.mktemp("mano")) if kind is kypt.ANGLES else None
    config = kypt.model_config(state, kind, mano)
    model = OccRobNet(config)
    variables = kypt.variables_of(state, kind, abstract_variables(model, 256), path)
    run = jax.jit(lambda v, x: model.apply(v, x, train=False, capture_intermediates=True, mutable=["intermediates"]))
    return Pair(request.param, network, run, variables, config, images).compute()


def _mano_folder(folder: Path) -> Path:
    """MANO's files and InterHand2.6M's regressor, all random."""
    rng = np.random.default_rng(0)
    for name in ("MANO_RIGHT.pkl", "MANO_LEFT.pkl"):
        write_mano(folder / name, mano_record(rng))
    regressor = rng.random((21, 778))
    np.save(folder / "J_regressor_mano_ih26m.npy", regressor / regressor.sum(1, keepdims=True))
    return folder


def assert_close(got: Any, expected: Any, what: str) -> None:
    got, expected = np.asarray(got), kypt_oracle.to_numpy(expected)
    assert got.shape == expected.shape, what
    error = np.abs(got - expected).max() / np.abs(expected).max()
    print(f"{what:24s}{error:.1e} of {np.abs(expected).max():.3g}")
    assert error < TOLERANCE, what


def channels_last(x: Any) -> Any:
    return x.permute(0, 2, 3, 1)


def test_maps(pair):
    for number, (ours, theirs) in enumerate(zip(pair.parts["backbone"], pair.expected["taps"], strict=True), 1):
        assert_close(ours, channels_last(theirs), f"backbone, stride {2**number}")
    for number, (ours, theirs) in enumerate(zip(pair.parts["unet"], pair.expected["levels"], strict=True), 1):
        assert_close(ours, channels_last(theirs), f"U-Net, stride {2**number}")
    assert_close(pair.predictions.heatmap, pair.expected["heatmap"], "heatmap")
    if pair.config.with_object:
        assert_close(pair.predictions.object_map, pair.expected["seg"], "object map")


def test_keypoints(pair):
    keypoints, where = pair.predictions.keypoints, pair.expected["valid"].numpy()
    assert where.sum(1).min() > 20
    assert int(keypoints.valid.sum()) == where.sum()
    assert np.asarray(keypoints.valid)[pair.slots].all()
    np.testing.assert_array_equal(np.asarray(keypoints.xy_hm)[pair.slots], pair.expected["xy"].numpy()[where])


def test_tokens_and_transformer(pair):
    rows, columns = pair.slots
    where = pair.expected["valid"].numpy()
    tokens, expected = np.asarray(pair.parts["tokens"])[rows, columns], pair.expected["tokens"][where]
    assert_close(tokens[:, :224], expected[:, :224], "token features")
    assert_close(tokens[:, 224:], expected[:, 224:], "position code")
    for ours, name in ((pair.parts["encoder"], "encoded"), (pair.predictions.class_logits, "class")):
        assert_close(np.asarray(ours)[:, rows, columns], pair.expected[name][:, where], name)
    used = pair.parts["decoder"].shape[2]  # the last query of the angles kind is nobody's
    assert pair.expected["decoded"].shape[2] - used == (pair.config.representation == "angles")
    assert_close(pair.parts["decoder"], pair.expected["decoded"][:, :, :used], "decoder")


def test_outputs(pair):
    check_outputs(pair)


def check_outputs(pair: Pair) -> None:
    predictions, expected = pair.predictions, pair.expected
    assert_close(predictions.relative_translation_m, expected["rel_trans"], "relative translation")
    assert_close(predictions.hand_logits, expected["hand"], "hand type")
    layers, batch = expected["decoded"].shape[:2]
    if pair.config.representation == "angles":
        assert_close(predictions.hand_rotations.reshape(layers, batch, 32, 3), expected["pose"], "rotations")
        assert_close(predictions.hand_shape, expected["shape"], "shape")
        assert_close(predictions.weak_camera, expected["cam"], "weak camera")
        check_joints(pair)
        return
    if not pair.config.with_object:
        for number, axis in enumerate(("px", "py", "dep")):
            ours = np.asarray(predictions.axis_heatmaps)[:, :, :, :, number].reshape(layers, batch, 42, 128)
            assert_close(ours, expected[f"joint_2p5d_{axis}"], f"heatmaps {axis}")
        return
    assert_close(predictions.bone_vectors_m.reshape(layers, batch, 40, 3), expected["joint_vecs"], "bone vectors")
    assert_close(predictions.weak_camera, expected["cam"], "weak camera")
    assert_close(predictions.object_rotation_6d, expected["obj_rot"], "object rotation")
    assert_close(predictions.object_translation_m[:, :, 0], expected["obj_rel_trans"], "object translation")
    assert predictions.object_translation_m.shape[2] == (2 if pair.kind.startswith("h2o3d") else 1)
    if pair.kind.startswith("h2o3d"):
        assert_close(predictions.object_translation_m[:, :, 1], expected["obj_left_rel_trans"], "object, left wrist")


def check_joints(pair: Pair) -> None:
    """Joints of the last layer: MANO's skin in plain loops, under a pose from the mean one, and a regressor on it."""
    folder = Path(pair.config.hand_model)
    regressor = np.load(folder / "J_regressor_mano_ih26m.npy")
    pose, shape = (pair.expected[name][-1].numpy().astype(np.float64) for name in ("pose", "shape"))
    joints = accumulate_bones(np.asarray(pair.predictions.bone_vectors_m)[-1])
    for hand, name in enumerate(("MANO_RIGHT.pkl", "MANO_LEFT.pkl")):
        arrays = read_mano_pickle(folder / name)
        whole = pose[0, 16 * hand : 16 * hand + 16].ravel() + np.pad(arrays["hands_mean"], (3, 0))
        verts, _ = mano_by_hand(arrays, whole, shape[0], np.zeros(3))
        wanted = regressor @ verts
        assert_close(joints[0, hand], torch.from_numpy(wanted - wanted[20]), f"joints of {name}")


@pytest.mark.parametrize("what", ["nothing", "no object"])
def test_where_the_maps_are_empty(pair, what):
    """Without any keypoint all slots count; without the object's, its rotation looks at the joints' (KypT)."""

    def low(bias: Any) -> Any:
        return bias * 0 - 1e4

    unet = copy.deepcopy(pair.network)
    heads = {"object_head": "convOut_seg"} if pair.config.with_object else {}
    heads |= {"heatmap_head": "convOut_hm" if pair.config.with_object else "convOut"} if what == "nothing" else {}
    params = copy.deepcopy(pair.variables["params"])
    for ours, theirs in heads.items():
        head = getattr(unet.decoder_net.resnet_decoder, theirs)[-1]
        head.bias = torch.nn.Parameter(low(head.bias))
        params[ours]["out"]["bias"] = low(params[ours]["out"]["bias"])
    emptied = dataclasses.replace(pair, network=unet, variables=pair.variables | {"params": params}).compute()
    assert bool(emptied.predictions.keypoints.valid.any()) == (what != "nothing")
    check_outputs(emptied)
