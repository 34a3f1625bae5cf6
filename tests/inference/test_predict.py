import dataclasses
import json
import os
import re
import threading
import types
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import predict as predict_script
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.geometry.root_depth import fit_root
from occrobnet_jax.inference.finder import FoundHand
from occrobnet_jax.inference.inputs import find_images, output_names, parse_box
from occrobnet_jax.inference.network import IN_THE_BOX, Network
from occrobnet_jax.inference.predictor import OBJECT_CLASS, Photo, Predictor, load_predictor, photo_example
from occrobnet_jax.inference.results import overlay, page_entry, prediction_json
from occrobnet_jax.runs.calibration import Platt
from occrobnet_jax.runs.checksums import write_checksums
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.model_file import FORMAT, VERSION, read_model, write_model
from occrobnet_jax.runs.restore import restore_for_inference
from occrobnet_jax.runs.restored import Restored
from occrobnet_jax.skeleton import INTERHAND, LEFT, RIGHT, WRIST
from occrobnet_jax.types import Pose
from tests.support.fake_datasets import fake_example, stick_hand
from tests.support.fake_runs import tiny_experiment, write_run
from tests.support.tiny import INPUT_SIZE_PX

pytestmark = pytest.mark.usefixtures("shallow_resnet18")

REPOSITORY = Path(__file__).parents[2]
FOCAL_PX = 300.0
PHOTO = np.zeros((120, 160, 3), np.uint8)
JOINTS_REL_M = np.stack([stick_hand(np.random.default_rng(hand), hand) for hand in (RIGHT, LEFT)])
ROOTS_M = np.array([[0.03, 0.02, 0.5], [-0.04, 0.02, 0.55]])


def encoded(photo: np.ndarray, ending: str = ".png") -> bytes:
    return cv2.imencode(ending, photo)[1].tobytes()


def know_the_hands(image: jnp.ndarray, intrinsics: jnp.ndarray) -> Pose:
    """The pose of hands of known shape and place, seen through whatever crop there is."""
    assert image.shape == (1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3)
    joints = jnp.asarray(JOINTS_REL_M[None], jnp.float32)
    joints_px = project(joints + jnp.asarray(ROOTS_M[None, :, None], jnp.float32), intrinsics[:, None])
    root, error_px = fit_root(joints, joints_px, jnp.ones((1, 2, 21)), intrinsics[:, None])
    return Pose(
        joints_rel_m=joints,
        joints_px=joints_px,
        joints_cam_m=joints + root[:, :, None],
        root_cam_m=root,
        root_fit_error_px=error_px + 1.0,
        relative_translation_m=jnp.asarray((ROOTS_M[LEFT] - ROOTS_M[RIGHT])[None], jnp.float32),
        hand_probability=jnp.array([[0.9, 0.2]]),
        visibility_probability=jnp.full((1, 2, 21), jnp.nan),
        keypoints_px=joints_px[:, 0, :3],
        keypoint_valid=jnp.array([[True, True, False]]),
        keypoint_class=jnp.array([[1, OBJECT_CLASS, OBJECT_CLASS]]),
        object_rotation=jnp.eye(3)[None],
        object_translation_m=jnp.array([[0.0, 0.05, 0.0]]),
    )


def test_the_programs_get_the_flags_of_the_runs_config(tmp_path, monkeypatch):
    experiment, asked = dataclasses.replace(tiny_experiment(tmp_path), xla_flags="deterministic"), []
    kept = Restored(config_of(experiment), {}, 7, "")
    monkeypatch.setattr("occrobnet_jax.runs.restore.restore_for_inference", lambda path, step: kept)
    monkeypatch.setattr("occrobnet_jax.inference.network.check_variables", lambda *_: None)
    monkeypatch.setattr("occrobnet_jax.parallel.compiler.fast_programs", lambda *asks: asked.append(asks))
    load_predictor(tmp_path)
    assert asked == [("cpu", "deterministic")]


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    return Predictor(tiny_experiment(tmp_path), 7, know_the_hands)


@pytest.mark.parametrize("box", [None, (30.0, 20.0, 130.0, 100.0)], ids=["whole photo", "box"])
def test_pixels_and_meters_are_those_of_the_photo(predictor: Predictor, box: tuple | None) -> None:
    prediction = predictor.predict(Photo.of(encoded(PHOTO), "a"), box, FOCAL_PX)
    camera = np.array([[FOCAL_PX, 0, 79.5], [0, FOCAL_PX, 59.5], [0, 0, 1]])
    np.testing.assert_allclose(prediction.intrinsics, camera)
    joints_cam_m = JOINTS_REL_M + ROOTS_M[:, None]
    np.testing.assert_allclose(prediction.joints_cam_m, joints_cam_m, atol=1e-3)
    np.testing.assert_allclose(prediction.joints_px, project(joints_cam_m, camera), atol=0.02)
    side = 160 if box is None else 125
    np.testing.assert_allclose(prediction.root_fit_error_px, side / INPUT_SIZE_PX, atol=0.02)  # 1 px of the crop
    assert len(prediction.keypoints_px) == 2
    np.testing.assert_allclose(prediction.keypoints_px, prediction.joints_px[0, :2], atol=0.02)


def test_a_photo_is_decoded_once_unless_a_smaller_one_is_wanted(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, decode = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda content, flags: asked.append(flags) or decode(content, flags))
    predictor.predict(Photo.of(encoded(PHOTO), "a"), (70.0, 50.0, 100.0, 70.0))
    assert len(asked) == 1
    jpeg = cv2.imencode(".jpg", np.tile(PHOTO, (4, 4, 1)))[1].tobytes()
    predictor.predict(Photo.of(jpeg, "a"))
    assert len(asked) == 3


@pytest.mark.parametrize("shape", [(120, 160), (160, 120), (20, 200)])
def test_whole_photos_are_seen_whole(predictor: Predictor, shape: tuple[int, int]) -> None:
    seen: list[np.ndarray] = []

    def look(image: jnp.ndarray, intrinsics: jnp.ndarray) -> Pose:
        seen.append(np.asarray(image[0]) > 100)
        return know_the_hands(image, intrinsics)

    data = dataclasses.replace(predictor.experiment.data, box_pad_px=10.0)  # which is for boxes around hands
    experiment = dataclasses.replace(predictor.experiment, data=data)
    padding = dataclasses.replace(predictor, run=look, experiment=experiment)
    padding.predict(Photo.of(np.full((*shape, 3), 200, np.uint8)))
    assert seen[0].mean() == pytest.approx(min(shape) / max(shape), abs=0.05)
    assert seen[0].any(axis=(0, 2) if shape[1] > shape[0] else (1, 2)).all()


def test_json_says_what_is_documented(predictor: Predictor) -> None:
    photo = Photo.of(encoded(PHOTO), "dir/a.png")
    prediction = predictor.predict(photo)
    content = json.loads(prediction_json([prediction], photo, "runs/x", 7))
    assert (content["format"], content["version"]) == ("occrobnet-jax/prediction", 3)
    assert (content["width"], content["height"]) == (160, 120)
    assert content["checkpoint"] == {"path": "runs/x", "step": 7}
    assert content["joint_names"] == list(INTERHAND)
    (crop,) = content["crops"]
    assert crop["box_source"] == "whole photo"
    assert crop["focal_source"].startswith("guess")
    assert crop["intrinsics"][0][0] == 160
    right, left = crop["hands"]
    assert (right["hand"], right["is_present"], left["is_present"]) == ("right", True, False)
    assert right["visibility"] is None  # no such head
    np.testing.assert_allclose(right["joints_rel_m"], prediction.joints_rel_m[RIGHT], atol=1e-5)
    np.testing.assert_allclose(root_relative(np.array(left["joints_cam_m"])), left["joints_rel_m"], atol=1e-5)
    assert crop["object"]["num_keypoints"] == 1
    assert crop["object"]["reference_hand"] == "right"
    without = dataclasses.replace(prediction, keypoint_class=np.array([1, 2]))
    assert json.loads(prediction_json([without], photo, "b", 0))["crops"][0]["object"] is None
    assert json.loads(prediction_json([], photo, "b", 0))["crops"] == []


def test_overlay_is_the_photo_with_the_likely_hand(predictor: Predictor) -> None:
    photo = Photo.of(PHOTO)
    prediction = predictor.predict(photo, None, FOCAL_PX)
    picture = overlay([dataclasses.replace(prediction, keypoint_class=np.array([1, 2]))], photo)
    assert picture.shape == PHOTO.shape
    x, y = np.round(prediction.joints_px[RIGHT, WRIST]).astype(int)
    assert (picture[y, x] > 200).all()
    changed = np.argwhere((picture > 30).any(-1))[:, ::-1]
    assert np.abs(changed[:, None] - prediction.joints_px[RIGHT]).min(1).max() < 20
    assert (overlay([prediction], photo) != picture).any()  # the object's axes
    np.testing.assert_array_equal(overlay([], photo), PHOTO)


def test_a_box_outside_the_photo_is_an_error() -> None:
    with pytest.raises(ValueError, match="outside of a, which has 160 x 120 px"):
        photo_example(b"", PHOTO, "a", (500.0, 500.0, 600.0, 600.0), 160.0, 1.25)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0.1, 0.1, 0.9, 0.9), "has shares of the photo as it seems; give px of a, 160 x 120"),
        ((159.0, 10.0, 300.0, 90.0), r"has 1 x 80 px within a, which has 160 x 120 px; it must have at least 8"),
        ((160.0, 0.0, 200.0, 90.0), "has 0 x 90 px within a"),
        ((-50.0, -50.0, 7.0, 90.0), "has 7 x 90 px within a"),
        ((20.0, 20.0, 100.0, 24.0), "has 80 x 4 px within a"),
    ],
)
def test_a_box_that_shows_no_hand_is_an_error(box: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        photo_example(b"", PHOTO, "a", box, 160.0, 1.25)


@pytest.mark.parametrize("shape", [(1, 500, 3), (500, 1, 3), (7, 7, 3)])
def test_a_strip_is_an_error(predictor: Predictor, shape: tuple) -> None:
    with pytest.raises(ValueError, match="px, too few to show a hand"):
        predictor.predict(Photo.of(np.full(shape, 99, np.uint8), "a"))


@pytest.mark.parametrize("shape", [(8, 500, 3), (500, 8, 3), (8, 8, 3)])
def test_a_strip_that_is_just_wide_enough_is_drawn(predictor: Predictor, shape: tuple) -> None:
    photo = Photo.of(np.full(shape, 99, np.uint8), "a")
    predictions = predictor.predict_photo(photo, None)
    page_entry(predictions, overlay(predictions, photo), "a")


def test_an_answer_that_is_no_number_is_an_error(predictor: Predictor) -> None:
    def fail(image: jnp.ndarray, intrinsics: jnp.ndarray) -> Pose:
        pose = know_the_hands(image, intrinsics)
        return dataclasses.replace(pose, joints_cam_m=pose.joints_cam_m * jnp.nan)

    with pytest.raises(ValueError, match="the network's answer for a is not finite"):
        dataclasses.replace(predictor, run=fail).predict(Photo.of(encoded(PHOTO), "a"))


def test_half_a_photo_is_an_error(predictor: Predictor) -> None:
    photo = encoded(np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8), ".jpg")
    with pytest.raises(ValueError, match=r"a is truncated|a is not a complete"):
        predictor.predict(Photo.of(photo[: len(photo) // 2], "a"))


@pytest.mark.parametrize("value", [0, 9, 128, 255])
def test_a_photo_of_one_color_shows_nothing(value: int) -> None:
    with pytest.raises(ValueError, match="a shows nothing: the values of its pixels differ by 0 of 255"):
        predict_script.refuse_blank(np.full((20, 20, 3), value, np.uint8), "a")


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "5,5,4,9", "0,0,nan,1", ""])
def test_wrong_boxes_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"--box={text}"):
        parse_box(text)


def test_inputs(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "clip.mp4"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_images([str(tmp_path)])] == ["a.png", "b.JPG"]
    assert parse_box("1,2,3.5,4") == (1, 2, 3.5, 4)
    (tmp_path / "empty").mkdir()
    for inputs, message in (
        ([], "at least one"),
        ([str(tmp_path / "none.jpg")], "does not exist"),
        ([str(tmp_path / "empty")], "holds no image"),
    ):
        with pytest.raises(ValueError, match=message):
            find_images(inputs)
    assert output_names([Path("x/a.png"), Path("y/a.jpg"), Path("b.png"), Path("a-2.png")]) == [
        "a",
        "a-2",
        "b",
        "a-2-2",
    ]


def test_no_name_of_a_photo_leads_out_of_the_output_folder() -> None:
    assert output_names([Path("..jpg"), Path("...jpg")]) == ["..jpg", "...jpg"]


def test_no_name_of_a_result_is_too_long_or_no_text() -> None:
    long = [Path("手" * 80 + f"{number}.png") for number in range(2)]
    names = output_names([*long, Path(os.fsdecode(b"a\xffb.png"))])
    assert len(set(names)) == 3
    assert max(len(name.encode()) for name in names) < 200


def test_leftovers_of_macos_are_passed_over_and_heic_is_told(tmp_path: Path) -> None:
    for name in ("._a.png", "a.png", "b.HEIC"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in find_images([str(tmp_path)])] == ["a.png", "b.HEIC"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network whose config names places that belong to whoever made it."""
    workdir = tmp_path_factory.mktemp("run")
    experiment = tiny_experiment(workdir)
    places = {"compilation_cache_dir": str(workdir / "programs"), "init_from": str(workdir / "weights")}
    write_run(workdir, dataclasses.replace(experiment, **places), step=3)
    return workdir


def test_script_predicts_a_folder_and_names_what_it_cannot_read(run: Path, tmp_path: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "one.png").write_bytes(fake_example(0)["image"])
    (photos / "two.png").write_bytes(fake_example(2)["image"])
    (photos / "zero.png").write_bytes(b"")
    odd = photos / os.fsdecode(b"<b>\xff&.png")
    odd.write_bytes(fake_example(1)["image"])
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"one.png": [[5, 5, 90, 90], [5, 5, 60, 60]]}))
    asked = predict_script.Asked(boxes=boxes, gltf=True)
    errors = predict_script.predict([str(photos)], output, run, asked=asked)
    assert "programs" not in str(jax.config.jax_compilation_cache_dir)
    assert not (run / "programs").exists()
    (error,) = errors
    assert "zero.png" in error
    names = ("<b>\N{REPLACEMENT CHARACTER}&", "one", "two")
    expected = {"index.html"} | {f"{name}.{ending}" for name in names for ending in ("json", "jpg", "glb")}
    assert {path.name for path in output.iterdir()} == expected
    content = json.loads((output / "one.json").read_text())
    crop, other = content["crops"]
    assert (crop["box_px"], other["box_px"]) == ([5, 5, 90, 90], [5, 5, 60, 60])
    assert np.isfinite(crop["hands"][0]["joints_cam_m"]).all()
    assert np.isfinite(crop["hands"][0]["visibility"]).all()
    assert content["checkpoint"]["step"] == 3
    assert cv2.imread(str(output / "one.jpg")).shape == (96, 96, 3)
    page = (output / "index.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "zero.png" in page
    assert r"&lt;b&gt;\xff&amp;.png" in page
    assert "<b>" not in page


def test_photos_are_done_side_by_side_after_the_first_and_told_in_their_order() -> None:
    together, begun = threading.Barrier(2, timeout=20), []

    def done(number: int) -> int:
        begun.append(number)
        if number in (1, 2):  # waits for the other one
            together.wait()
        return 10 * number

    results = predict_script.in_turn(done, range(50), at_once=2)
    assert next(results) == 0
    assert begun == [0]  # nothing else while it compiles
    assert next(results) == 10
    assert len(begun) <= 6  # no more photos than are soon told lie in memory
    assert list(results) == [10 * number for number in range(2, 50)]
    assert list(predict_script.in_turn(done, [], at_once=2)) == []


def test_an_error_of_one_photo_s_results_ends_all() -> None:
    begun = []

    def done(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise OSError("full")
        return number

    with pytest.raises(OSError, match="full"):
        list(predict_script.in_turn(done, range(50), at_once=2))
    assert max(begun) <= 4


def test_an_output_that_cannot_be_written_is_told_before_the_network_is_read(tmp_path: Path) -> None:
    for name in ("a.png", "file"):
        (tmp_path / name).write_bytes(fake_example(0)["image"])
    with pytest.raises(ValueError, match=r"--output=.*file can't be written \(File exists\); choose another"):
        predict_script.predict([str(tmp_path / "a.png")], tmp_path / "file", tmp_path)


def test_photos_are_never_overwritten(run: Path, tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(fake_example(0)["image"])
    with pytest.raises(ValueError, match="holds the photos themselves"):
        predict_script.predict([str(tmp_path / "one.png")], tmp_path, run)


def test_boxes_for_all_and_for_each_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give --box for all photos or --boxes for each, not both"):
        predict_script.Asked((5.0, 5.0, 90.0, 90.0), tmp_path)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no checkpoint in"):
        load_predictor(tmp_path)
    with pytest.raises(ValueError, match="can't be read as safetensors, perhaps an incomplete download"):
        load_predictor(Path("x.safetensors"))


def test_a_checkpoint_of_another_network_than_its_config_s_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, tiny_experiment(tmp_path), step=3)
    directory = tmp_path / "checkpoints" / "3"
    path = directory / "meta" / "metadata"
    content = json.loads(path.read_text())
    content["config"]["model"]["neck_channels"] *= 2
    path.write_text(json.dumps(content))
    write_checksums(directory)
    with pytest.raises(ValueError, match=r"does not fit the config's model: .* arrays differ, the first is"):
        load_predictor(tmp_path)


def test_a_network_in_one_file_says_what_its_run_says(run: Path, tmp_path: Path) -> None:
    maps = {"joint_confidence": Platt(1.5, -0.25)}
    restored = restore_for_inference(run)._replace(calibration=maps)
    write_model(tmp_path / "a.safetensors", restored)
    again = read_model(tmp_path / "a.safetensors")
    assert (again.config, again.step, again.calibration) == (restored.config, 3, maps)
    for ours, theirs in zip(jax.tree.leaves(again.variables), jax.tree.leaves(restored.variables), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    assert load_predictor(tmp_path / "a.safetensors").step == 3


def test_a_network_s_probabilities_go_through_its_calibration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = jnp.zeros((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), jnp.uint8)
    pose = know_the_hands(image, jnp.eye(3)[None])
    model = types.SimpleNamespace(apply=lambda *_, **__: None)
    monkeypatch.setattr("occrobnet_jax.inference.network.make_model", lambda _: model)
    monkeypatch.setattr("occrobnet_jax.inference.network.decode", lambda *_: pose)
    maps = {"hand_probability": Platt(2.0, 0.0), "joint_confidence": Platt(2.0, 0.0)}  # of which there is none here
    said = Network(tiny_experiment(tmp_path), 3, "", {}, maps).pose({}, image, jnp.eye(3)[None])
    np.testing.assert_allclose(said.hand_probability, [[0.81 / 0.82, 0.04 / 0.68]], rtol=1e-5)
    assert said.joint_confidence is None
    np.testing.assert_array_equal(said.joints_px, pose.joints_px)


def test_there_is_a_network_in_the_box() -> None:
    assert IN_THE_BOX.stat().st_size < 12e6
    predictor = load_predictor()
    assert predictor.find is not None
    assert predictor.experiment.model.joint_maps_head


def test_a_file_that_is_no_network_of_ours_is_named(tmp_path: Path) -> None:
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="is no network of this project's"):
        read_model(tmp_path / "a.safetensors")
    save_file({}, tmp_path / "b.safetensors", {"format": FORMAT, "version": VERSION, "config": "{", "step": "1"})
    with pytest.raises(ValueError, match="has no readable config and step"):
        read_model(tmp_path / "b.safetensors")


def test_hands_that_are_found_get_a_crop_each(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [FoundHand(LEFT, 0.9, (10.0, 10.0, 60.0, 60.0)), FoundHand(RIGHT, 0.8, (90.0, 20.0, 150.0, 80.0))]
    monkeypatch.setattr("occrobnet_jax.inference.predictor.found_hands", lambda *_: found)
    monkeypatch.setattr("occrobnet_jax.inference.predictor.confirmed", lambda looks, rule: list(range(len(looks))))
    finding = dataclasses.replace(predictor, find=lambda image: image)
    first, second = finding(PHOTO)
    np.testing.assert_allclose(first.box_px, found[0].box_px)
    np.testing.assert_allclose(second.box_px, found[1].box_px)
    assert first.hand_probability.tolist() == pytest.approx([0.9, 0.0])  # the likelier one, as `know_the_hands` has it
    assert first.box_source == "found"
    np.testing.assert_array_equal(first.finder_probability, [0.9, np.nan])  # it saw a left one: the crop decides
    pair = [dataclasses.replace(hand, box_px=found[0].box_px) for hand in found]
    monkeypatch.setattr("occrobnet_jax.inference.predictor.found_hands", lambda *_: pair)
    (both,) = finding(PHOTO)
    np.testing.assert_array_equal(both.finder_probability, [0.8, 0.9])
    monkeypatch.setattr("occrobnet_jax.inference.predictor.found_hands", lambda *_: [])
    assert finding(PHOTO) == []
    (given,) = finding.predict_photo(Photo.of(PHOTO), (5.0, 5.0, 90.0, 90.0))
    assert given.hand_probability.tolist() == pytest.approx([0.9, 0.2])
    assert given.finder_probability is None


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch):
    write_run(tmp_path / "run", tiny_experiment(tmp_path), 3)
    monkeypatch.setattr("occrobnet_jax.inference.network.IN_THE_BOX", tmp_path / "run")
    (tmp_path / "photo.jpg").write_bytes(encoded(PHOTO, ".jpg"))
    monkeypatch.chdir(tmp_path)
    lines = re.search(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)[1]
    names: dict = {}
    exec(lines, names)
    (prediction,) = names["predictions"]  # this network has no finder
    assert prediction.joints_cam_m.shape == (2, 21, 3)
    assert len(repr(prediction)) < 100


def test_the_axes_of_an_object_begin_at_the_hand_that_it_is_seen_from(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    origins: list[np.ndarray] = []
    drawn = "occrobnet_jax.inference.results.draw_axes"
    monkeypatch.setattr(drawn, lambda canvas, origin, _: origins.append(origin) or canvas)
    photo = Photo.of(PHOTO)
    prediction = predictor.predict(photo, (0.0, 0.0, 160.0, 120.0), FOCAL_PX)
    for hand, probability in ((RIGHT, [0.9, 0.9]), (RIGHT, [0.9, 0.2]), (LEFT, [0.2, 0.9]), (LEFT, [0.2, 0.4])):
        seen = dataclasses.replace(prediction, hand_probability=np.array(probability))
        overlay([seen], photo)
        place = prediction.joints_cam_m[hand, WRIST] + prediction.object_translation_m
        np.testing.assert_allclose(origins[-1], project(place[None], prediction.intrinsics)[0], atol=1e-3)
        assert (
            json.loads(prediction_json([seen], photo, "b", 0))["crops"][0]["object"]["reference_hand"]
            == ("right", "left")[hand]
        )
