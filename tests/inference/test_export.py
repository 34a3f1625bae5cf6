"""An exported program says what the predictor says, in the lines that docs/export.md gives."""

import hashlib
import json
import re
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as jax_export

from occrobnet_jax.inference.export import Program, export, finder_program, pose_program, stablehlo, tflite
from occrobnet_jax.inference.network import Network
from occrobnet_jax.inference.plain_program import written_out
from occrobnet_jax.inference.predictor import Photo, Predictor
from occrobnet_jax.models.ops.by_platform import by_platform
from occrobnet_jax.models.ops.peaks import greedy_peaks
from occrobnet_jax.skeleton import INTERHAND
from tests.inference.test_predict import know_the_hands
from tests.support.fake_runs import drawn_variables, tiny_experiment

REPOSITORY = Path(__file__).parents[2]
MAP = np.random.default_rng(0).uniform(0, 9, (1, 6, 7)).astype(np.float32)
BOX = (20.0, 10.0, 70.0, 50.0)  # of the lines in docs/export.md


def square_or_fail(x: jax.Array) -> jax.Array:
    return by_platform(cpu=lambda x: x - jnp.inf, plain=lambda x: x * x)(x)


def peaks_of_squares(heatmap: jax.Array) -> dict[str, jax.Array]:
    """What goes through every construct that is written out."""
    xy, valid = greedy_peaks(jax.nn.relu(square_or_fail(heatmap)), 4.0, 1.5, 5)
    _, sums = jax.lax.scan(lambda total, row: (total + row, total), jnp.zeros(7), heatmap[0], reverse=True)
    return {"xy": xy, "valid": valid, "sums": sums}


PEAKS = Program(peaks_of_squares, {"heatmap": jax.ShapeDtypeStruct(MAP.shape, jnp.float32)})


def test_a_program_is_written_out_for_platforms_without_a_form_of_their_own():
    plain = written_out(peaks_of_squares, *PEAKS.inputs.values())
    found = jax.jit(plain)(MAP)
    xy, valid = greedy_peaks(jnp.asarray(MAP**2), 4.0, 1.5, 5)
    np.testing.assert_array_equal(found["xy"], xy)
    np.testing.assert_array_equal(found["valid"], valid)
    sums = np.cumsum(MAP[0, ::-1], axis=0)[::-1] - MAP[0]
    np.testing.assert_allclose(found["sums"], sums, rtol=1e-5)
    text = str(jax.make_jaxpr(plain)(MAP))
    assert not [word for word in ("scan", "while", "cond", "platform_index", "custom_vjp") if f" {word}[" in text]


def test_stablehlo_is_lowered_for_each_platform():
    program = Program(lambda x: {"y": jnp.sin(x)}, {"x": jax.ShapeDtypeStruct((2,), jnp.float32)})
    read = jax_export.deserialize(bytearray(stablehlo(program)))
    assert read.platforms == ("cpu", "cuda", "tpu")
    np.testing.assert_allclose(read.call(jnp.array([1.0, 2.0]))["y"], np.sin([1.0, 2.0]), rtol=1e-6)


def test_a_converter_that_is_missing_is_told(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "litert_converter.mlir", None)
    with pytest.raises(ValueError, match=r"needs the converter: pip install -r requirements/tflite.txt"):
        tflite(PEAKS)


def test_litert_finds_the_same_peaks():
    pytest.importorskip("litert_converter", reason="requirements/tflite.txt is not installed")
    outputs = run_litert(tflite(PEAKS), heatmap=MAP)
    for name, value in written_out(peaks_of_squares, *PEAKS.inputs.values())(MAP).items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-5)


def run_litert(content: bytes, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_content=content).get_signature_runner()(**inputs)


def test_a_network_without_a_finder_has_none_to_export(tmp_path):
    with pytest.raises(ValueError, match=r"has no finder \(model.finder_head\); export --program=pose alone"):
        finder_program(Network(tiny_experiment(tmp_path), 3, "", {}))


def test_the_description_says_what_goes_in_and_comes_out(tmp_path, monkeypatch):
    monkeypatch.setattr("occrobnet_jax.inference.export.FORMS", {"stablehlo": lambda _: b"program"})
    monkeypatch.setattr(Network, "pose", lambda _, variables, image, intrinsics: know_the_hands(image, intrinsics))
    network = Network(tiny_experiment(tmp_path), 3, "0" * 64, {})
    export(network, pose_program(network), "stablehlo", tmp_path / "hands.stablehlo")
    said = json.loads((tmp_path / "hands.stablehlo.json").read_text())
    assert said["file"] == {"format": "stablehlo", "sha256": hashlib.sha256(b"program").hexdigest()}
    assert said["network"] == {"step": 3, "sha256": "0" * 64}
    assert said["inputs"]["image"] == {"shape": [1, 64, 64, 3], "dtype": "uint8"}
    assert said["outputs"]["joints_px"] == {"shape": [1, 2, 21, 2], "dtype": "float32"}
    assert said["outputs"]["keypoint_valid"] == {"shape": [1, 3], "dtype": "bool"}
    assert not {"hand_pose", "joint_confidence"} & said["outputs"].keys()  # which this network doesn't have
    assert (said["crop"]["size_px"], said["crop"]["box_scale"]) == (64, 1.25)
    assert tuple(said["joint_names"]) == INTERHAND


@pytest.mark.long
def test_the_lines_of_the_docs_give_the_predictor_s_joints_without_this_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    experiment = tiny_experiment(tmp_path, joint_maps_head=True, keypoints="joints")
    network = Network(experiment, 3, "0" * 64, drawn_variables(experiment))
    photo = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    cv2.imwrite("photo.png", photo[..., ::-1])
    program = pose_program(network)
    export(network, program, "stablehlo", Path("hands.stablehlo"))
    lines = re.search(r"```python\n(.*?)```", (REPOSITORY / "docs" / "export.md").read_text(), re.DOTALL)[1]
    assert "occrobnet" not in lines
    names: dict = {}
    exec(lines, names)
    run = jax.jit(lambda image, camera: network.pose(network.variables, image, camera))
    expected = Predictor(network.experiment, 3, run).predict(Photo.of(photo), BOX)
    np.testing.assert_allclose(names["joints_px"], expected.joints_px, atol=0.02)
    np.testing.assert_allclose(names["hands"]["joints_rel_m"][0], expected.joints_rel_m, atol=1e-4)
