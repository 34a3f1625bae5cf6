import functools
import pickle

import cv2
import numpy as np
import pytest

from input_pipeline.prepare import make_source, parse_options
from input_pipeline.schema import validate_example
from input_pipeline.synthetic import photo_scene
from input_pipeline.synthetic.builder import SyntheticHandsV2Builder
from input_pipeline.synthetic.gestures import gesture_angles
from input_pipeline.synthetic.photo_look import HELD_OUT_ENVIRONMENTS, _environment
from input_pipeline.synthetic.photos import NO_HAND, VERSION_2, SyntheticPhotos
from occrobnet_jax.files.readers import decode_image
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.hands.embedded_hand import load_hand
from occrobnet_jax.runs.experiment import OF_EMBEDDED_HAND
from occrobnet_jax.skeleton import VISIBILITY

SIZE_PX = 96


@functools.cache
def _examples():
    source = SyntheticPhotos(image_size_px=SIZE_PX)
    return [source.example("train", index) for index in range(12)]


def _hands(examples):
    return [(example, hand) for example in examples for hand in np.flatnonzero(example["hand_present"])]


def _segmentation(example):
    return cv2.imdecode(np.frombuffer(example["segmentation"], np.uint8), cv2.IMREAD_GRAYSCALE)


# Of example 6 of "train" (one hand) at 96 px: its visibility, middle fingertip and wrist in mm, mean color.
CONTENT = {
    "2.4.0": (
        "222121111111111122211",
        [[-54.14, -11.05, 296.82], [37.25, 24.29, 157.58]],
        [70.0, 79.6, 77.5],
    ),
}


def test_examples_depend_on_seed_split_and_index_alone():
    again = pickle.loads(pickle.dumps(SyntheticPhotos(image_size_px=SIZE_PX))).example("train", 3)
    for name, value in _examples()[3].items():
        np.testing.assert_array_equal(again[name], value)
    for seed, split in ((1, "train"), (0, "val")):
        assert SyntheticPhotos(image_size_px=SIZE_PX, seed=seed).example(split, 3)["image"] != again["image"]


def test_prepare_makes_it():
    options = parse_options(["synthetic_hands_v2", "--data_dir=data", "--train=7", "--image_size_px=64", "--seed=3"])
    source = make_source(options)
    assert source == SyntheticPhotos({"train": 7, "val": 1000, "test": 1000}, image_size_px=64, seed=3)
    assert source.name in OF_EMBEDDED_HAND
    assert (source.name, source.version) == (SyntheticHandsV2Builder.name, str(SyntheticHandsV2Builder.VERSION))
    assert SyntheticHandsV2Builder.SOURCE() == SyntheticPhotos()


def test_a_third_of_the_pictures_has_no_hand_and_says_so():
    kinds = SyntheticPhotos.kinds
    assert kinds.count(NO_HAND) * 3 == len(kinds)
    for example, kind in zip(_examples(), kinds, strict=True):
        validate_example(example)
        assert example["hand_present_known"] == 1
        hands = 0 if kind == NO_HAND else 2 if kind.startswith("two") else 1
        assert example["hand_present"].sum() == hands
        assert set(np.unique(_segmentation(example))) <= {0, *(1 + np.flatnonzero(example["hand_present"])), 3}
        if not hands:
            assert not _segmentation(example).any()
            assert not example["joints_annotated"].any()


def test_boxes_lie_inside_the_picture_and_hold_the_joints_that_do():
    for example in _examples():
        low, high = example["box_px"][:2], example["box_px"][2:]
        assert (low >= -0.5).all()
        assert (high <= SIZE_PX - 0.5).all()
        assert (high > low).all()
    for example, hand in _hands(_examples()):
        inside = project(example["joints_cam_m"][hand], example["intrinsics"])[example["joints_in_image"][hand] > 0]
        assert len(inside) >= 8
        for box in (example["hand_box_px"][hand], example["box_px"]):
            assert (inside >= box[:2] - 1).all()
            assert (inside <= box[2:] + 1).all()


def test_visible_joints_lie_on_the_pixels_of_their_hand():
    on_it = []
    for example, hand in _hands(_examples()):
        visible = example["visibility"][hand] == VISIBILITY.index("visible")
        pixels = np.rint(project(example["joints_cam_m"][hand], example["intrinsics"]))[visible].astype(int)
        on_it += (_segmentation(example)[pixels[:, 1], pixels[:, 0]] == 1 + hand).tolist()
    assert len(on_it) > 80
    assert np.mean(on_it) > 0.85


@pytest.fixture
def open_hands(monkeypatch):
    """Drawing poses takes most of a scene's time."""
    monkeypatch.setattr(photo_scene, "natural_angles", lambda rng: gesture_angles("open"))


@pytest.mark.usefixtures("open_hands")
def test_hands_are_turned_every_way():
    """Of uniform rotations each axis points anywhere: means near 0, and a third of the squares on each axis."""
    turns, shape = [], np.zeros(10, np.float32)
    for index in range(80):
        scene = photo_scene.sample_photo_scene("one_hand", shape, None, SIZE_PX, np.random.default_rng(index))
        turns.append(scene.hands[0].rotation)
    turns = np.stack(turns)
    np.testing.assert_allclose(turns.mean(0), 0, atol=0.25)
    np.testing.assert_allclose((turns**2).mean(0), 1 / 3, atol=0.13)


@pytest.mark.usefixtures("open_hands")
def test_hands_are_small_and_large_and_cut():
    low, high = [], []
    for index in range(60):
        rng = np.random.default_rng(index)
        scene = photo_scene.sample_photo_scene("one_hand", np.zeros(10, np.float32), None, 256, rng)
        pixels = project(scene.hands[0].joints_m, scene.intrinsics)
        low.append(pixels.min(0))
        high.append(pixels.max(0))
    sizes = (np.array(high) - low).max(1)
    assert 20 < sizes.min() < 60
    assert np.quantile(sizes, 0.9) > 180
    assert 0.1 < ((np.array(low) < 0).any(1) | (np.array(high) > 255).any(1)).mean() < 0.4


def test_other_content_needs_another_version():
    """Somebody's folder of the old version would otherwise be taken for the new one."""
    visibility, joints_mm, color = CONTENT[VERSION_2]
    example = _examples()[6]
    hand = int(example["hand_present"].argmax())
    changed = "examples have changed: raise VERSION_2 in input_pipeline/synthetic/photos.py, and describe them above"
    assert "".join(map(str, example["visibility"][hand])) == visibility, changed
    np.testing.assert_allclose(1000 * example["joints_cam_m"][hand][[8, 20]], joints_mm, atol=0.05, err_msg=changed)
    image = decode_image(example["image"], name="image")
    np.testing.assert_allclose(image.mean((0, 1)), color, atol=1.0, err_msg=changed)


def test_parameters_reproduce_the_joints():
    for example, hand in _hands(_examples()):
        model = load_hand().models[hand]
        pose, shape, shift_m = (example[name][hand] for name in ("hand_pose", "hand_shape", "hand_translation_m"))
        np.testing.assert_allclose(model.joints_m(pose, shape, shift_m), example["joints_cam_m"][hand], atol=2e-5)


@pytest.mark.parametrize("split", ["val", "test"])
def test_splits_share_no_environment(split):
    drawn = {name: {_environment(name, np.random.default_rng(k)) for k in range(60)} for name in ("train", split)}
    assert len(drawn[split]) == len(HELD_OUT_ENVIRONMENTS[split])
    assert not drawn["train"] & drawn[split]
