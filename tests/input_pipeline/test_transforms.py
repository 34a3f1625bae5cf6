import cv2
import numpy as np
import pytest

from input_pipeline.augment import NONE, Augmentation, draw
from input_pipeline.config import DataConfig
from input_pipeline.crop import crop_geometry
from input_pipeline.labels import HAND_FIELDS, swap_hands
from input_pipeline.schema import empty_example
from input_pipeline.transforms import (
    LABEL_MASKS,
    augment_example,
    benchmark_facts,
    crop_example,
    label_box,
)
from occrobnet_jax.evaluation.formats.records import FACTS
from occrobnet_jax.geometry.cameras import compose_affine, project, transform_points
from occrobnet_jax.skeleton import LEFT, RIGHT, VISIBILITY, WRIST
from tests.support.fake_datasets import fake_example
from tests.support.marks import find_dot, joint_colors, marked_example

DATA = DataConfig(input_size_px=256)
STRIDE = 2
FLIP = Augmentation(flip=True)
EVERYTHING = Augmentation(shift=(0.05, -0.08), scale=1.1, rotation_rad=0.7, flip=True)
DRAWS = [draw(np.random.default_rng(seed), DATA) for seed in range(8)]
SOME = [Augmentation(), FLIP, Augmentation(rotation_rad=0.9), EVERYTHING, *DRAWS]


@pytest.fixture(scope="module")
def marks():
    return marked_example()


def moved(marks, augmentation=NONE, data=DATA):
    return augment_example(marks, data, STRIDE, augmentation)


@pytest.mark.parametrize("augmentation", SOME)
def test_3d_labels_under_the_new_intrinsics_are_the_moved_2d_labels(marks, augmentation):
    fields = moved(marks, augmentation)
    reprojected = project(fields["joints_cam_m"], fields["intrinsics"])
    np.testing.assert_allclose(reprojected, fields["joints_px"], atol=0.01)
    geometry = crop_geometry(marks["box_px"], DATA.input_size_px, DATA.box_scale, augmentation)
    original_px = project(marks["joints_cam_m"].astype(float), marks["intrinsics"].astype(float))
    expected = transform_points(geometry.crop_from_image, original_px)
    np.testing.assert_allclose(fields["joints_px"], expected[::-1] if augmentation.flip else expected, atol=0.01)
    np.testing.assert_allclose(fields["crop_from_image"], geometry.crop_from_image, rtol=1e-6)


@pytest.mark.parametrize("zoom", [1, 4])  # 4: the crop shrinks the photo, which is averaged first
@pytest.mark.parametrize("augmentation", SOME)
def test_labels_sit_on_the_rendered_marks(augmentation, zoom, marks, request):
    example = marks if zoom == 1 else request.getfixturevalue("large_marks")
    # As with labels, so with colours: a mirrored right hand is a left hand.
    colors = joint_colors()[::-1] if augmentation.flip else joint_colors()
    plain = Augmentation(augmentation.shift, augmentation.scale, augmentation.rotation_rad, augmentation.flip)
    fields = moved(example, plain)
    reach = 12 * fields_scale(fields) * zoom
    for hand in (RIGHT, LEFT):
        for joint in range(21):
            x, y = fields["joints_px"][hand, joint]
            if reach < min(x, y) and max(x, y) < DATA.input_size_px - 1 - reach:
                center, color = find_dot(fields["image"], np.array([x, y]), reach)
                np.testing.assert_allclose(center, [x, y], atol=0.2)  # 0.5 is asked for, 0.05 is reached
                np.testing.assert_allclose(color, colors[hand, joint], atol=12)


@pytest.fixture(scope="module")
def large_marks():
    return marked_example(zoom=4)


def fields_scale(fields):
    return np.sqrt(abs(np.linalg.det(fields["crop_from_image"][:, :2])))


@pytest.mark.parametrize("augmentation", [Augmentation(), FLIP, EVERYTHING])
def test_segmentation_names_the_hand_under_each_joint(marks, augmentation):
    fields = moved(marks, augmentation)
    assert fields["segmentation"].shape == (128, 128)
    assert fields["segmentation_known"]
    cells = np.rint(fields["joints_px"] / STRIDE).astype(int)
    inside = ((cells >= 0) & (cells < 128)).all(-1)
    assert inside.sum() > 20
    for hand in (RIGHT, LEFT):
        at = cells[hand][inside[hand]]
        assert set(fields["segmentation"][at[:, 1], at[:, 0]]) == {hand + 1}


@pytest.mark.parametrize("augmentation", SOME)
def test_the_object_stays_where_the_image_shows_it(marks, augmentation):
    fields = moved(marks, augmentation)
    rotation = fields["object_rotation"]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
    assert fields["object_known"] == (not augmentation.flip)
    if fields["object_known"]:
        before = marks["object_corners_rest_m"] @ marks["object_rotation"].T + marks["object_translation_m"]
        after = fields["object_corners_rest_m"] @ rotation.T + fields["object_translation_m"]
        expected = transform_points(fields["crop_from_image"], project(before, marks["intrinsics"]))
        np.testing.assert_allclose(project(after, fields["intrinsics"]), expected, atol=0.01)


@pytest.mark.parametrize("augmentation", SOME)
def test_skeletons_move_rigidly_and_keep_their_depth(marks, augmentation):
    fields = moved(marks, augmentation)
    before = marks["joints_cam_m"][::-1] if augmentation.flip else marks["joints_cam_m"]
    after = fields["joints_cam_m"]
    np.testing.assert_allclose(after[..., 2], before[..., 2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(after, axis=-1), np.linalg.norm(before, axis=-1), atol=1e-6)
    handedness = np.linalg.det(after[RIGHT, [0, 5, 12]]) * np.linalg.det(before[RIGHT, [0, 5, 12]])
    assert (handedness < 0) == augmentation.flip
    np.testing.assert_array_equal(fields["root_cam_m"], after[:, WRIST])


def test_positive_rotation_turns_the_picture_from_x_to_y(marks):
    still, turned = moved(marks), moved(marks, Augmentation(rotation_rad=np.pi / 2))
    center = (DATA.input_size_px - 1) / 2
    x, y = np.moveaxis(still["joints_px"] - center, -1, 0)
    np.testing.assert_allclose(turned["joints_px"] - center, np.stack([-y, x], -1), atol=1e-3)
    np.testing.assert_allclose(turned["image"].astype(int), np.rot90(still["image"].astype(int), -1), atol=1)


def test_shift_and_scale_are_shares_of_the_crop(marks):
    still, shifted = moved(marks), moved(marks, Augmentation(shift=(0.1, -0.05)))
    difference = shifted["joints_px"] - still["joints_px"]
    np.testing.assert_allclose(difference, np.broadcast_to([-25.6, 12.8], difference.shape), atol=1e-3)
    larger = moved(marks, Augmentation(scale=1.25))
    assert fields_scale(larger) == pytest.approx(fields_scale(still) / 1.25, rel=1e-5)


def test_flip_mirrors_the_pixels_and_the_principal_point(marks):
    still, flipped = moved(marks), moved(marks, FLIP)
    np.testing.assert_allclose(flipped["image"].astype(int), still["image"][:, ::-1].astype(int), atol=1)
    assert flipped["intrinsics"][0, 2] == pytest.approx(DATA.input_size_px - 1 - still["intrinsics"][0, 2], abs=1e-3)
    assert flipped["intrinsics"][0, 0] == pytest.approx(still["intrinsics"][0, 0])


def example_of(fields):
    """The example whose photo is a crop, labelled as the crop is."""
    size = fields["image"].shape[0]
    example = empty_example() | {name: fields[name] for name in ("intrinsics", "joints_cam_m", "root_cam_m")}
    example |= {
        "image": cv2.imencode(".png", fields["image"][..., ::-1])[1].tobytes(),
        "segmentation": cv2.imencode(".png", np.repeat(np.repeat(fields["segmentation"], 2, 0), 2, 1))[1].tobytes(),
        "height": np.int32(size),
        "width": np.int32(size),
        "box_px": np.array([-0.5, -0.5, size - 0.5, size - 0.5], np.float32),
        "box_known": np.uint8(1),
        "joints_annotated": fields["joint_annotated"].astype(np.uint8),
        "joints_in_image": fields["joint_in_crop"].astype(np.uint8),
        "visibility": fields["visibility"].astype(np.uint8),
        "hand_present": fields["hand_present"].astype(np.uint8),
        "hand_present_known": np.uint8(fields["hand_present_known"]),
        "root_known": fields["root_known"].astype(np.uint8),
        "key": "crop",
    }
    return example


@pytest.mark.parametrize("index", [0, 1, 2, 4])
def test_flipping_twice_changes_nothing(index):
    data = DataConfig(input_size_px=128, box_scale=1.0)
    once = crop_example(fake_example(index, size=128), data, STRIDE)
    whole = crop_example(example_of(once), data, STRIDE)
    flipped = augment_example(example_of(whole), data, STRIDE, FLIP)
    assert not np.array_equal(flipped["hand_present"], whole["hand_present"]) or index == 2
    # The flipped segmentation was sampled at the mirrored pixels; it is compared in another test.
    back = augment_example(example_of(flipped), data, STRIDE, FLIP)
    both = compose_affine(back["crop_from_image"], flipped["crop_from_image"])
    np.testing.assert_allclose(both, [[1, 0, 0], [0, 1, 0]], atol=1e-4)
    for name in sorted(whole.keys() - {"segmentation", "crop_from_image"}):
        if whole[name].dtype.kind == "f":
            np.testing.assert_allclose(back[name], whole[name], atol=2e-4, err_msg=name)
        else:
            np.testing.assert_array_equal(back[name], whole[name], err_msg=name)


def test_every_hand_label_is_swapped(marks):
    fields = moved(marks) | {"hand_present": np.array([True, False]), "root_known": np.array([True, False])}
    of_hands = {name for name, value in fields.items() if value.ndim and len(value) == 2} - {"crop_from_image"}
    assert of_hands == set(HAND_FIELDS)
    batch = {name: np.stack([value, value]) for name, value in fields.items()}
    swapped = swap_hands(batch, np.array([False, True]))
    for name, value in fields.items():
        np.testing.assert_array_equal(swapped[name][0], value, err_msg=name)
        np.testing.assert_array_equal(swapped[name][1], value[::-1] if name in of_hands else value, err_msg=name)


def test_the_segmentations_hands_are_swapped_with_the_labels(marks):
    plain, flipped = (moved(marks, augmentation)["segmentation"] for augmentation in (NONE, FLIP))
    for right, left in ((1, 2), (2, 1)):
        assert (plain == right).mean() > 0.01
        assert (flipped == left).mean() == pytest.approx((plain == right).mean(), rel=0.05)


def test_color_touches_the_image_only(marks):
    plain, colored = moved(marks), moved(marks, Augmentation(color=(1.2, 1.0, 0.5)))
    for name in plain.keys() - {"image"}:
        np.testing.assert_array_equal(colored[name], plain[name], err_msg=name)
    expected = np.clip(np.rint(plain["image"] * np.array([1.2, 1.0, 0.5])), 0, 255)
    np.testing.assert_array_equal(colored["image"], expected)


def test_joints_that_leave_the_crop_are_outside(marks):
    example = marks | {"visibility": np.full((2, 21), 4, np.uint8)}
    example["joints_in_image"] = example["joints_in_image"].copy()
    example["joints_in_image"][LEFT, 3] = 0
    fields = moved(example, Augmentation(shift=(0.5, 0.0)))
    x, y = np.moveaxis(fields["joints_px"], -1, 0)
    inside = (x >= -0.5) & (y >= -0.5) & (x < 255.5) & (y < 255.5)
    inside[LEFT, 3] = False
    assert 5 < inside.sum() < 37
    np.testing.assert_array_equal(fields["joint_in_crop"], inside)
    np.testing.assert_array_equal(fields["visibility"], np.where(inside, 4, VISIBILITY.index("outside")))
    assert fields["joint_annotated"].all()


def test_what_is_not_annotated_stays_unknown(marks):
    example = marks | {name: marks[name].copy() for name in ("joints_annotated", "visibility", "root_known")}
    example["joints_annotated"][LEFT, 7:] = example["visibility"][LEFT, 7:] = example["root_known"][LEFT] = 0
    example |= {"segmentation": b"", "hand_present_known": np.uint8(0), "object_known": np.uint8(0)}
    fields = moved(example, Augmentation(rotation_rad=0.3))
    for name in ("joints_px", "joints_cam_m", "joint_in_crop", "visibility"):
        assert not fields[name][LEFT, 7:].any(), name
    assert not fields["joint_annotated"][LEFT, 7:].any()
    assert fields["root_known"].tolist() == [True, False]
    assert not fields["root_cam_m"][LEFT].any()
    assert not any(fields[name] for name in ("segmentation_known", "hand_present_known", "object_known"))
    assert not fields["segmentation"].any()


def test_a_photo_with_nothing_but_a_box_can_be_cropped(marks):
    example = empty_example() | {name: marks[name] for name in ("image", "width", "height", "box_px", "box_known")}
    fields = crop_example(example, DATA, STRIDE)
    np.testing.assert_array_equal(fields["image"], moved(marks)["image"])
    assert not any(fields[name].any() for name in (*LABEL_MASKS, "joints_px", "joints_cam_m", "visibility"))


def test_labels_of_black_frames_count_where_the_config_says_so(marks):
    black = cv2.imencode(".png", np.full((300, 360, 3), 3, np.uint8))[1].tobytes()
    example = marks | {"image": black, "hand_pose_known": np.ones_like(marks["hand_pose_known"])}
    for choice, trains, evaluates in (("keep", 1, 1), ("mask_in_training", 0, 1), ("mask", 0, 0)):
        data = DataConfig(black_frames=choice)
        for fields, counts in (
            (augment_example(example, data, STRIDE, Augmentation()), trains),
            (crop_example(example, data, STRIDE), evaluates),
        ):
            assert [bool(fields[name].any()) for name in LABEL_MASKS] == [bool(counts)] * len(LABEL_MASKS)
    assert moved(marks)["joint_annotated"].all()


def test_box_around_the_labels(marks):
    joints_px = project(marks["joints_cam_m"], marks["intrinsics"]).reshape(-1, 2)
    without_object = marks | {"object_known": np.uint8(0), "box_known": np.uint8(0)}
    expected = np.concatenate([joints_px.min(0), joints_px.max(0)])
    np.testing.assert_allclose(label_box(without_object), expected, atol=1e-3)
    corners = marks["object_corners_rest_m"] @ marks["object_rotation"].T + marks["object_translation_m"]
    shown = np.concatenate([joints_px, project(corners, marks["intrinsics"])])
    np.testing.assert_allclose(label_box(marks), np.concatenate([shown.min(0), shown.max(0)]), atol=1e-3)
    fields = crop_example(without_object, DataConfig(box_source="joints"), STRIDE)
    np.testing.assert_allclose(fields["joints_px"], moved(marks)["joints_px"], atol=1e-2)


@pytest.mark.parametrize("box_source", ["stored", "joints"])
def test_padding_is_added_to_each_side_before_the_factor(marks, box_source):
    plain, padded = (
        crop_example(marks, DataConfig(box_source=box_source, box_pad_px=pad_px), STRIDE) for pad_px in (0.0, 10.0)
    )
    x0, y0, x1, y1 = marks["box_px"] if box_source == "stored" else label_box(marks)
    side = max(x1 - x0, y1 - y0)
    scales = [fields["crop_from_image"][0, 0] for fields in (plain, padded)]
    np.testing.assert_allclose(scales[0] / scales[1], (side + 20) / side, rtol=1e-5)
    center = [(x0 + x1) / 2, (y0 + y1) / 2, 1]
    np.testing.assert_allclose(padded["crop_from_image"] @ center, plain["crop_from_image"] @ center, atol=1e-3)


def test_rootnets_box_is_taken_as_it_is(marks):
    """It has been made square and enlarged before it was stored; another box would be by 1.25."""
    example = marks | {"rootnet_box_px": np.array([40, 30, 296, 286], np.float32), "rootnet_known": np.uint8(1)}
    fields = crop_example(example, DataConfig(box_source="rootnet", box_pad_px=9.0, input_size_px=256), STRIDE)
    corners = fields["crop_from_image"] @ np.array([[40, 30, 1], [296, 286, 1]]).T
    np.testing.assert_allclose(corners[:, 1] - corners[:, 0], 256, atol=1e-4)
    with pytest.raises(ValueError, match="RootNet's output has no entry for it"):
        crop_example(marks, DataConfig(box_source="rootnet"), STRIDE)


def test_facts_that_benchmarks_ask_for(marks):
    changed = {
        "annotation_id": np.int64(2**40),
        "sequence": "Capture0/" + "x" * 200,
        "hand_pose_known": np.array([1, 0], np.uint8),
        "rootnet_depth_m": np.array([0.5, 0.25], np.float32),
        "rootnet_known": np.uint8(1),
    }
    example = marks | changed
    example["joints_in_image"] = np.zeros((2, 21), np.uint8)
    example["joints_in_image"][0, 3] = 1
    fields = crop_example(example, DATA, STRIDE)
    facts = benchmark_facts(example, fields)
    assert facts.keys() | {"key"} == set(FACTS)
    assert facts["annotation_id"] == 2**40
    assert facts["sequence"].item() == b"Capture0/" + 87 * b"x"
    assert facts["hand_fit_known"].tolist() == [True, False]
    assert facts["rootnet_depth_m"].tolist() == [0.5, 0.25]
    assert np.argwhere(facts["joint_in_image"]).tolist() == [[0, 3]]
    assert not facts["is_black"]
    assert facts["object_share"] == pytest.approx((fields["segmentation"] == 3).mean())
    black = example | {"image": cv2.imencode(".png", np.full((300, 360, 3), 3, np.uint8))[1].tobytes()}
    assert benchmark_facts(black, crop_example(black, DATA, STRIDE))["is_black"]
    unsegmented = example | {"segmentation": b""}
    assert benchmark_facts(unsegmented, crop_example(unsegmented, DATA, STRIDE))["object_share"] == -1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": marked_example()["image"][:5000]}, "image of example 'marks' is not a complete JPEG or PNG"),
        ({"segmentation": b"nothing"}, "segmentation of example 'marks' is not a complete"),
        ({"height": np.int32(301)}, "'marks' is 360 x 300 px where its record says 360 x 301"),
        ({"box_known": np.uint8(0)}, "'marks' can't be cropped: .*box_source=joints"),
        ({"box_px": np.zeros(4, np.float32)}, "'marks' can't be cropped: the box"),
    ],
)
def test_broken_examples_are_named(marks, change, message):
    with pytest.raises(ValueError, match=message):
        crop_example(marks | change, DATA, STRIDE)


def test_undefined_segmentation_labels_are_refused(marks):
    labels = cv2.imencode(".png", np.full((300, 360), 4, np.uint8))[1].tobytes()
    with pytest.raises(ValueError, match="label 4"):
        crop_example(marks | {"segmentation": labels}, DATA, STRIDE)


def test_nothing_annotated_gives_no_label_box(marks):
    unlabeled = marks | {"joints_annotated": np.zeros((2, 21), np.uint8), "object_known": np.uint8(0)}
    with pytest.raises(ValueError, match="nothing is annotated"):
        crop_example(unlabeled, DataConfig(box_source="joints"), STRIDE)
