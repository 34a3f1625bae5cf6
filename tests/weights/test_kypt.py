"""Keypoint Transformer's files: their kinds, the configuration of each, and the import into a workdir."""

import functools
import subprocess
import sys
from pathlib import Path

import cv2
import jax
import numpy as np
import pytest

from configs import workdir as workdir_config
from input_pipeline.config import DataConfig
from input_pipeline.transforms import crop_example
from occrobnet_jax.geometry.rotations import rotation_6d_to_matrix
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.decode import decode
from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.experiment import LossConfig
from occrobnet_jax.runs.restore import restore_for_inference
from occrobnet_jax.runs.state import abstract_variables, leaves_by_path
from occrobnet_jax.weights import kypt
from tests.support.fake_batches import fake_batch, perfect_predictions
from tests.support.kypt_names import DEAD_IN_3D, KINDS, kypt_shapes
from tests.support.limits import HANG_S
from tests.support.mano_hand import write_mano_hands
from tests.support.marks import find_dot, marked_example
from tests.support.tiny import INPUT_SIZE_PX, tiny_model
from tests.support.torch_files import write_zip
from tools.import_kypt import experiment_of, import_file

REPOSITORY = Path(__file__).parents[2]
EXPECTED = {
    KINDS[0]: {"representation": "2.5d", "neck": "unet", "decoder_layers": 1, "with_object": False},
    KINDS[1]: {"representation": "vectors", "neck": "unet_big", "decoder_layers": 6, "left_object_translation": False},
    KINDS[2]: {"representation": "vectors", "neck": "unet", "decoder_layers": 1, "left_object_translation": True},
    KINDS[3]: {
        **{"representation": "angles", "neck": "unet_big", "decoder_layers": 6, "with_object": False},
        **{"rotation_form": "axis_angle_from_mean", "hand_joints": "manopth"},
    },
}


DEAD = {KINDS[0]: ("norm1", "linear_shape", "linear_cam", "linear_hand_type"), KINDS[3]: ("norm1", "linear_hand_type")}


@pytest.fixture(scope="module", autouse=True)
def mano(tmp_path_factory) -> Path:
    """A hand in MANO's format, which the angles kind needs."""
    return write_mano_hands(tmp_path_factory.mktemp("mano"))


def flat_state(kind: str) -> dict[str, np.ndarray]:
    """Arrays without content: one number, seen under each shape."""
    return {
        name: np.broadcast_to(np.zeros((), np.int64 if name.endswith("tracked") else np.float32), shape)
        for name, shape in kypt_shapes(kind).items()
    }


@functools.cache
def shapes_of(config: ModelConfig) -> dict:
    return abstract_variables(OccRobNet(config), 256)


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_of_the_released_files(kind, fixtures):
    listing = fixtures.parent / "design" / "kypt_state_dict" / f"{kind}.tsv"
    if not listing.is_file():
        pytest.skip(f"the list of names of the released files is not here ({listing})")
    rows = [line.split("\t") for line in listing.read_text().splitlines() if line]
    shapes = {name: () if shape == "scalar" else tuple(map(int, shape.split("x"))) for name, shape in rows}
    assert kypt_shapes(kind) == shapes


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_of_a_kind_is_used_or_known_to_be_dead(kind, mano):
    state = flat_state(kind)
    found = kypt.kind_of(state, Path("file"))
    config = kypt.model_config(state, found, mano)
    assert EXPECTED[kind].items() <= vars(config).items()
    assert (config.input_normalisation, config.ciet, config.hand_presence) == ("unit", "off", "tokens")
    assert found.dataset == {"i": "interhand26m", "h": kind.split("_")[0]}[kind[0]]
    like = shapes_of(config)
    variables = kypt.variables_of(state, found, like, Path("file"))
    assert jax.tree.map(np.shape, variables) == jax.tree.map(lambda leaf: leaf.shape, like)
    assert kypt.unused_arrays(state, found) == sorted(DEAD.get(kind, DEAD_IN_3D))


def test_each_array_has_a_source_of_its_own(mano):
    """But for attention's stacked projections, of which three of ours are parts."""
    for kind in KINDS:
        state = flat_state(kind)
        like = shapes_of(kypt.model_config(state, kypt.kind_of(state, Path("file")), mano))
        source = kypt.source_function(state)
        names = [source(path, leaf.shape).name for path, leaf in leaves_by_path(like).items()]
        plain = [name for name in names if "in_proj" not in name]
        assert len(set(plain)) == len(plain)
        assert len(names) - len(plain) == 3 * len(set(names) - set(plain))


def test_a_wrong_kind_or_a_renamed_key_is_one_clear_error():
    path = Path("snapshot.pth.tar")
    with pytest.raises(
        ValueError, match=r"no Keypoint Transformer of a released kind: .*it begins with \['fc.weight'\]"
    ):
        kypt.kind_of({"fc.weight": np.zeros(3)}, path)
    state = flat_state(KINDS[0])
    state["linear2.layers.0.weight"] = state.pop("linear1.layers.0.weight")
    kind = kypt.kind_of(state, path)
    like = shapes_of(kypt.model_config(state, kind))
    with pytest.raises(ValueError, match=r"looks like a Keypoint Transformer \(2.5D\) .*; 2 arrays differ") as error:
        kypt.variables_of(state, kind, like, path)
    assert "linear1.layers.0.weight: missing" in str(error.value)
    assert "linear2.layers.0.weight: in the file, not in the network" in str(error.value)


def test_objects_boxes_are_padded_as_its_loaders_do():
    assert [
        experiment_of(state, kypt.kind_of(state, Path("file")), None).data.box_pad_px
        for state in map(flat_state, KINDS[:3])
    ] == [0.0, 10.0, 10.0]


def test_the_angles_kind_needs_mano_and_takes_its_joints_from_interhands_regressor(mano, tmp_path):
    state = flat_state(KINDS[3])
    with pytest.raises(ValueError, match=r"of the angles kind poses MANO's hands: name the folder .* with --mano"):
        kypt.model_config(state, kypt.ANGLES)
    folder = write_mano_hands(tmp_path / "with_regressor")
    np.save(folder / "J_regressor_mano_ih26m.npy", np.full((21, 778), 1 / 778))
    assert kypt.model_config(state, kypt.ANGLES, folder).hand_joints == "interhand"
    experiment = experiment_of(state, kypt.ANGLES, mano)
    assert (experiment.loss.bone_vectors, experiment.loss.hand_pose, experiment.loss.hand_shape) == (0.0, 0.07, 5.0)


def test_the_query_that_nothing_looks_at_is_left_out():
    state = flat_state(KINDS[3])
    source = kypt.source_function(state)("params/decoder/queries", (33, 256))
    assert (source.name, source.shape) == ("query_embed.weight", (34, 256))
    rows = np.arange(34)[:, None] * np.ones(256)
    np.testing.assert_array_equal(source.convert(rows)[:, 0], np.arange(33))


@pytest.mark.parametrize("kind", KINDS)
def test_snapshots_with_the_decoder_s_old_names_are_the_same_network(kind):
    state = flat_state(kind)
    old = {name.replace("decoder_net.resnet_decoder.", "decoder_net."): array for name, array in state.items()}
    assert old.keys() != state.keys()
    for given in (old, state):
        assert kypt.with_present_names(given).keys() == state.keys()


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory) -> Path:
    rng = np.random.default_rng(0)
    state = {
        f"module.{name.replace('decoder_net.resnet_decoder.', 'decoder_net.')}": np.array(1)
        if name.endswith("tracked")
        else rng.random(shape, np.float32)
        for name, shape in kypt_shapes(KINDS[0]).items()
    }
    return write_zip(tmp_path_factory.mktemp("kypt") / "snapshot_21.pth.tar", {"epoch": 21, "network": state})


@pytest.mark.long
def test_an_imported_file_is_a_checkpoint_of_ours(snapshot, tmp_path):
    workdir = tmp_path / "kypt"
    told = import_file(snapshot, workdir)
    assert "2.5D, for interhand26m: 1 decoder layers, no object" in told[0]
    assert told[1] == "not used: linear_cam, linear_hand_type, linear_shape, norm1"
    restored = restore_for_inference(workdir)
    config = workdir_config.get_config(str(workdir)).to_dict()
    assert experiment_from(restored.config) == experiment_from(config)
    assert config["model"]["token_mlp"] == (1024, 512, 256)
    state, leaves = kypt.read_snapshot(snapshot), leaves_by_path(restored.variables)
    stacked = state["transformer.decoder.layers.0.multihead_attn.in_proj_weight"]
    key = leaves["params/decoder/layer0/cross_attention/key/kernel"]
    assert key[5, 3, 7] == stacked[256 + 3 * 32 + 7, 5]
    out = leaves["params/encoder/layer5/self_attention/out/kernel"]
    assert out[3, 7, 5] == state["transformer.encoder.layers.5.self_attn.out_proj.weight"][5, 3 * 32 + 7]
    up = leaves["params/unet/up2/kernel"]
    assert up[0, 1, 6, 4] == state["decoder_net.resnet_decoder.deconv2.0.weight"][6, 4, 3, 2]

    with pytest.raises(ValueError, match="holds the checkpoints of another run"):
        import_file(snapshot, workdir)


def test_a_file_that_can_not_be_imported_leaves_nothing(snapshot, tmp_path):
    cut = tmp_path / "cut.pth.tar"
    cut.write_bytes(snapshot.read_bytes()[:1_000_000])
    command = [sys.executable, "tools/import_kypt.py", str(cut), "--workdir", str(tmp_path / "kypt")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=HANG_S)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {cut} is damaged, perhaps an incomplete download")
    assert not (tmp_path / "kypt").exists()


def test_kypts_crop_puts_the_center_of_the_box_at_half_of_the_size():
    example = marked_example()
    kept = DataConfig(input_size_px=256, crop_centre="half_size", crop_averaging=False)
    ours, theirs = (crop_example(example, data, 2) for data in (DataConfig(input_size_px=256), kept))
    np.testing.assert_allclose(theirs["joints_px"] - ours["joints_px"], 0.5, atol=1e-4)
    x0, y0, x1, y1 = example["box_px"]
    center = theirs["crop_from_image"] @ [(x0 + x1) / 2, (y0 + y1) / 2, 1]
    np.testing.assert_allclose(center, 128, atol=1e-3)
    for hand, joint in ((0, 3), (1, 17)):
        found, _ = find_dot(theirs["image"].astype(float), theirs["joints_px"][hand, joint], 9)
        np.testing.assert_allclose(found, theirs["joints_px"][hand, joint], atol=0.15)


def test_kypts_crop_samples_where_ours_averages():
    example = marked_example(zoom=4)
    averaged, sampled = (
        crop_example(example, DataConfig(input_size_px=64, crop_averaging=averaging), 2) for averaging in (True, False)
    )
    np.testing.assert_array_equal(averaged["crop_from_image"], sampled["crop_from_image"])
    photo = cv2.cvtColor(cv2.imdecode(np.frombuffer(example["image"], np.uint8), 1), cv2.COLOR_BGR2RGB)
    expected = cv2.warpAffine(photo, sampled["crop_from_image"].astype(np.float64), (64, 64))
    assert np.abs(sampled["image"].astype(int) - expected).max() <= 2
    assert np.abs(averaged["image"].astype(int) - expected).max() > 20


def test_a_hand_is_there_when_enough_tokens_are_identified_as_its_joints():
    """KypT's own head was never trained."""
    config = tiny_model(hand_presence="tokens")
    batch = fake_batch(config, INPUT_SIZE_PX)
    perfect = perfect_predictions(batch, config, LossConfig(match_radius_hm=0.1))  # hands overlap in so small a map
    untrained = perfect.replace(hand_logits=-perfect.hand_logits)
    pose = decode(untrained, batch.intrinsics, INPUT_SIZE_PX, config)
    np.testing.assert_array_equal(pose.hand_probability > 0.5, batch.hand_present)
    trusting = decode(untrained, batch.intrinsics, INPUT_SIZE_PX, tiny_model())
    np.testing.assert_array_equal(trusting.hand_probability > 0.5, ~batch.hand_present)
    nobody = untrained.replace(keypoints=perfect.keypoints.replace(valid=perfect.keypoints.valid & False))
    assert (decode(nobody, batch.intrinsics, INPUT_SIZE_PX, config).hand_probability < 0.01).all()


def test_kypts_object_rotation_is_ours_once_it_is_made_one():
    """Its third axis lacks a normalisation; its evaluation takes the nearest rotation, which is Gram-Schmidt's."""
    rng = np.random.default_rng(0)
    for six in rng.normal(size=(20, 6)):
        first = six[:3] / np.linalg.norm(six[:3])
        third = np.cross(first, six[3:]) / np.linalg.norm(six[3:])
        left, _, right = np.linalg.svd(np.stack([first, np.cross(third, first), third], 1))
        np.testing.assert_allclose(rotation_6d_to_matrix(six), left @ right, atol=1e-9)
