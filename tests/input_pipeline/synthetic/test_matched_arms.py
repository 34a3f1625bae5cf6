"""What must be equal in the arms of a scene is, and nothing hides a hand in those without an occluder before it."""

import functools
import pickle
from unittest import mock

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

from input_pipeline.config import DataConfig
from input_pipeline.prepare import make_source, parse_options
from input_pipeline.records import decode_record, encode_record, features
from input_pipeline.schema import validate_example
from input_pipeline.synthetic import matched_arms
from input_pipeline.synthetic.matched_arms import (
    HIDING,
    OBJECT_LABEL,
    TESTED_ARMS,
    TRAINING_SHARES,
    SyntheticOcclusion,
    occluder_px,
)
from input_pipeline.synthetic.source import SyntheticHands
from input_pipeline.transforms import crop_example
from occrobnet_jax.fields import DATASET, MATCHED
from occrobnet_jax.runs.experiment import OF_EMBEDDED_HAND
from occrobnet_jax.skeleton import ARMS, SCENE_KINDS, VISIBILITY

SIZE_PX = 96
LENS_PX = 3  # how far the blur of a picture reaches
VISIBLE, BEHIND_OBJECT = VISIBILITY.index("visible"), VISIBILITY.index("object")
SEEN = {"visibility", "visible_share"}
OF_THE_OCCLUDER = {field.name for field in DATASET if field.name.startswith("object_")}
OF_THE_ARM = {"arm", "hidden_share", "key", "image", "segmentation"}

# Of the first test scene at 96 px: hidden share of its right and left hand in thousandths, what hides each joint of
# the hand that is there, and the crop in px.
CONTENT = {"1.0.0": ([190, 0], "111111124441144414441", [48.6, 24.9, 75.4, 74.5])}


@functools.cache
def scenes():
    """Four scenes, one of each kind, with their pixels as they were before they were stored."""
    unpacked = mock.Mock(side_effect=lambda image, segmentation, _: {"image": image, "segmentation": segmentation})
    with mock.patch.object(matched_arms, "encoded_pictures", unpacked):
        return [SyntheticOcclusion(image_size_px=SIZE_PX).arms("test", n, TESTED_ARMS) for n in range(4)]


def test_there_is_a_scene_of_each_kind():
    names = [scene["free"]["sequence"] for scene in scenes()]
    assert names == [f"{kind}/{n:06d}" for n, kind in enumerate(SCENE_KINDS)]
    assert [int(scene["free"]["hand_present"].sum()) for scene in scenes()] == [1, 1, 2, 2]
    assert [ARMS[scene[name]["arm"]] for scene in scenes() for name in TESTED_ARMS] == [*TESTED_ARMS] * 4


@pytest.mark.parametrize("arm", ["occluded", "aside"])
def test_arms_are_equal_outside_the_occluders_pixels(arm):
    for scene in scenes():
        differs = (scene[arm]["image"] != scene["free"]["image"]).any(-1)
        reach = np.ones((2 * LENS_PX + 1, 2 * LENS_PX + 1), np.uint8)
        touched = cv2.dilate(occluder_px(scene[arm]["segmentation"]).astype(np.uint8), reach) > 0
        assert differs.any()
        assert not differs[~touched].any()


def test_a_shadow_is_all_that_the_shadowed_arm_has_besides():
    for scene in scenes():
        np.testing.assert_array_equal(scene["shadowed"]["segmentation"], scene["occluded"]["segmentation"])
    assert any((scene["shadowed"]["image"] != scene["occluded"]["image"]).any() for scene in scenes())


def test_labels_are_equal_but_for_what_is_seen():
    for scene in scenes():
        for arm in TESTED_ARMS:
            for name, value in scene[arm].items():
                if name not in SEEN | OF_THE_OCCLUDER | OF_THE_ARM:
                    np.testing.assert_array_equal(value, scene["occluded"][name], err_msg=f"{arm} {name}")
        assert [scene[arm]["object_known"] for arm in TESTED_ARMS] == [1, 1, 0, 1]
        np.testing.assert_array_equal(scene["aside"]["object_rotation"], scene["occluded"]["object_rotation"])


def test_all_arms_have_the_crop_of_the_hands_that_the_occluder_leaves():
    for scene in scenes():
        matrices = {arm: _crop_from_image(scene[arm]) for arm in TESTED_ARMS}
        for arm in TESTED_ARMS:
            np.testing.assert_array_equal(matrices[arm], matrices["occluded"])
        rows, columns = np.nonzero(np.isin(scene["occluded"]["segmentation"], (1, 2)))
        x0, y0, x1, y1 = scene["occluded"]["box_px"]
        slack = 0.12 * max(np.ptp(columns), np.ptp(rows)) + 1
        assert x0 - slack < columns.min() and columns.max() < x1 + slack  # noqa: PT018
        assert y0 - slack < rows.min() and rows.max() < y1 + slack  # noqa: PT018


def _crop_from_image(example):
    packed = {"image": cv2.imencode(".png", example["image"])[1].tobytes(), "segmentation": b""}
    return crop_example(example | packed, DataConfig(input_size_px=64), 4)["crop_from_image"]


def test_hidden_shares_are_those_of_the_pixels_and_none_without_the_occluder():
    for scene in scenes():
        for arm in TESTED_ARMS:
            for hand in np.flatnonzero(scene[arm]["hand_present"]):
                count = [(scene[name]["segmentation"] == hand + 1).sum() for name in ("free", arm)]
                assert scene[arm]["hidden_share"][hand] == pytest.approx(1 - count[1] / count[0], abs=1e-6)
        for arm in ("free", "aside"):
            assert not scene[arm]["hidden_share"].any()
            assert not (scene[arm]["visibility"] == BEHIND_OBJECT).any()
        assert scene["occluded"]["hidden_share"].max() > 0


def test_hidden_joints_are_seen_without_the_occluder_and_only_then():
    for scene in scenes():
        hidden = scene["free"]["scene_hidden_joints"] > 0
        assert (scene["free"]["visibility"][hidden] == VISIBLE).all()
        assert (scene["aside"]["visibility"][hidden] == VISIBLE).all()
        for arm in HIDING:
            assert (scene[arm]["visibility"][hidden] != VISIBLE).all()
        seen = [scene[arm]["visibility"] == VISIBLE for arm in ("free", "occluded")]
        np.testing.assert_array_equal(seen[0], seen[1] | hidden)
    assert sum(scene["free"]["scene_hidden_joints"].sum() for scene in scenes()) > 4


def test_nothing_is_before_the_hands_where_the_occluder_has_gone():
    for scene in scenes():
        assert not (scene["free"]["segmentation"] == OBJECT_LABEL).any()
        assert (scene["aside"]["segmentation"] == OBJECT_LABEL).any()


def test_examples_depend_on_seed_split_and_index_alone():
    source = SyntheticOcclusion(image_size_px=SIZE_PX)
    occluded = source.example("test", 0)
    matched_arms._arms.cache_clear()
    again = pickle.loads(pickle.dumps(source)).example("test", 0)
    for name, value in occluded.items():
        np.testing.assert_array_equal(again[name], value)
    present = int(occluded["hand_present"].argmax())
    shares, hiders, box_px = CONTENT[source.version]
    assert (1000 * occluded["hidden_share"]).round().tolist() == pytest.approx(shares, abs=2)
    assert "".join(map(str, occluded["visibility"][present])) == hiders
    np.testing.assert_allclose(occluded["box_px"], box_px, atol=0.5)


def test_of_training_each_example_is_another_scene_and_some_have_no_occluder():
    source = SyntheticOcclusion(image_size_px=SIZE_PX)

    def arms(self, split, number, names):
        return {name: {"scene": number, "arm": name} for name in names}

    with mock.patch.object(SyntheticOcclusion, "arms", arms):
        drawn = [source.example("train", index) for index in range(1000)]
    assert [example["scene"] for example in drawn] == [*range(1000)]
    for name, share in TRAINING_SHARES.items():
        assert sum(example["arm"] == name for example in drawn) / 1000 == pytest.approx(share, abs=0.05)


def test_a_tested_split_is_of_whole_scenes():
    with pytest.raises(ValueError, match="6 examples of val are not whole scenes; take a multiple of 4"):
        SyntheticOcclusion({"train": 7, "val": 6})


def test_prepare_makes_it():
    options = parse_options(["synthetic_occlusion", "--data_dir=data", "--test=8", "--image_size_px=64"])
    assert make_source(options) == SyntheticOcclusion({"train": 1200, "val": 80, "test": 8}, image_size_px=64)
    assert make_source(options).name in OF_EMBEDDED_HAND


def test_some_kinds_alone_can_be_asked_for():
    options = parse_options(["synthetic_occlusion", "--data_dir=data", "--kinds", "hand_object", "one_hand"])
    source = make_source(options)
    assert source.kinds == ("hand_object", "one_hand")
    assert source.settings == {**SyntheticOcclusion().settings, "kinds": source.kinds}, "the usual ones are not named"
    small = SyntheticOcclusion(image_size_px=SIZE_PX, kinds=source.kinds)
    assert [small.example("test", 4 * scene)["sequence"] for scene in (0, 1)] == [
        "hand_object/000000",
        "one_hand/000001",
    ]
    with pytest.raises(ValueError, match="no_hand"):
        SyntheticOcclusion(kinds=("no_hand",))


def test_records_have_the_fields_of_arms_where_there_are_any():
    example = SyntheticOcclusion(image_size_px=SIZE_PX).example("test", 1)
    validate_example(example)
    record = encode_record(example)
    for name, value in decode_record(record).items():
        np.testing.assert_array_equal(value, example[name])
    by_tfds = features(has_arms=True).deserialize_example_np(record)
    np.testing.assert_array_equal(by_tfds["scene_hidden_joints"], example["scene_hidden_joints"])
    plain = encode_record(SyntheticHands(image_size_px=32).example("train", 0))
    assert not any(field.name.encode() in plain for field in MATCHED if field.name != "arm")
    assert decode_record(plain)["arm"] == 0
    assert isinstance(features().deserialize_example_np(plain), dict)
    assert isinstance(features(), tfds.features.FeaturesDict)
