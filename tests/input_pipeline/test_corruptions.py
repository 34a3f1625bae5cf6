"""Each corruption does what its name says, by as much as its severity says, the same every time."""

import dataclasses
import typing

import cv2
import numpy as np
import pytest

from input_pipeline.config import DataConfig
from input_pipeline.corruptions import ALL, SCALES, Corruption, corrupted_cut
from input_pipeline.covers import Cover, CoverKind
from input_pipeline.looks import Look, draw_look, occlude
from input_pipeline.pipeline import eval_batches
from input_pipeline.transforms import assemble, evaluation_cut
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import RIGHT, VISIBILITY
from tests.support.fake_datasets import fake_example, write_fake_dataset

DATA = DataConfig(input_size_px=64)
STRIDE = 4
COVERS = typing.get_args(CoverKind)
TWO_BOXES = ((8.0, 10.0, 40.0, 50.0), (44.0, 20.0, 60.0, 44.0))


def fields_of(corruption=None, index=0, data=DATA):
    """The batch of one example that shows a right hand."""
    example = fake_example(0)
    if corruption is None:
        return assemble([evaluation_cut(example, data, STRIDE)])
    return assemble([corrupted_cut(example, data, STRIDE, corruption, index)])


def painted(kind, share, seed=0):
    image = np.zeros((64, 64, 3), np.uint8)
    return Cover(kind, share, TWO_BOXES, (seed,)).paint(image), image


def share_in_boxes(covered):
    inside = np.zeros((64, 64), bool)
    for x0, y0, x1, y1 in np.array(TWO_BOXES, int):
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    return covered[inside].mean()


@pytest.mark.parametrize("kind", COVERS)
def test_a_cover_hides_its_share_of_the_boxes_and_more_hides_what_less_does(kind):
    before = np.zeros((64, 64), bool)
    for share in (0.0, 0.2, 0.4, 0.6, 0.8):
        covered, image = painted(kind, share)
        assert share_in_boxes(covered) == pytest.approx(share, abs=0.02)
        assert covered[before].all()
        assert image[covered].any(axis=-1).all()
        assert not image[~covered].any()
        before = covered


@pytest.mark.parametrize("kind", COVERS)
def test_covers_differ_from_example_to_example_and_hide_nothing_without_hands(kind):
    assert not np.array_equal(painted(kind, 0.4, 0)[0], painted(kind, 0.4, 1)[0])
    image = np.zeros((64, 64, 3), np.uint8)
    for boxes in ((), ((-30.0, -30.0, -5.0, -5.0),)):
        assert not Cover(kind, 0.8, boxes, (0,)).paint(image).any()
    assert not image.any()


def solidity(covered):
    """The share of their convex hull that covered pixels fill."""
    points = np.argwhere(covered)[:, ::-1].astype(np.int32)
    hull = cv2.fillConvexPoly(np.zeros(covered.shape, np.uint8), cv2.convexHull(points), 1)
    return covered.sum() / hull.sum()


def test_no_cover_of_the_sweep_is_one_of_training():
    """Those of training are convex, ellipses and rectangles; those of the sweep never are."""
    rng, image = np.random.default_rng(0), np.zeros((256, 256, 3), np.uint8)
    data = DataConfig(occluder_probability=1.0)
    training = [occluder for _ in range(40) for occluder in draw_look(rng, data).occluders]
    masks = [occlude(image, Look(occluders=(occluder,))) for occluder in training]
    assert min(solidity(mask) for mask in masks if mask.sum() > 600) > 0.93
    for kind in COVERS:
        assert max(solidity(painted(kind, 0.4, seed)[0]) for seed in range(40)) < 0.93


def test_covered_joints_are_marked_as_hidden_and_nothing_else_moves():
    plain, covered = fields_of(), fields_of(Corruption("objects", 0.6))
    was, now = plain["visibility"][0, RIGHT], covered["visibility"][0, RIGHT]
    hidden = now == VISIBILITY.index("object")
    assert 3 < hidden.sum() < 21
    np.testing.assert_array_equal(now[~hidden], was[~hidden])
    for name in plain.keys() - {"image", "visibility", "segmentation", "object_share"}:
        np.testing.assert_array_equal(covered[name], plain[name], name)


def test_the_box_moves_by_its_severity_whatever_the_direction():
    plain = fields_of()["joints_px"][0, RIGHT]
    angles = []
    for index in range(5):
        steps = fields_of(Corruption("box_shift", 0.1), index)["joints_px"][0, RIGHT] - plain
        np.testing.assert_allclose(np.linalg.norm(steps, axis=-1), 6.4, rtol=1e-3)
        angles.append(np.arctan2(*steps[0]))
    assert np.ptp(angles) > 0.5


def test_a_larger_box_makes_the_hand_smaller():
    plain, larger = (fields["joints_px"][0, RIGHT] for fields in (fields_of(), fields_of(Corruption("box_scale", 1.6))))
    np.testing.assert_allclose(np.ptp(larger, axis=0), np.ptp(plain, axis=0) / 1.6, rtol=1e-3)


def test_a_wrong_focal_length_is_told_and_moves_no_label():
    plain, told = fields_of(), fields_of(Corruption("focal", 1.5))
    np.testing.assert_allclose(told["intrinsics"][:, [0, 1], [0, 1]], 1.5 * plain["intrinsics"][:, [0, 1], [0, 1]])
    np.testing.assert_array_equal(told["intrinsics"][:, :2, 2], plain["intrinsics"][:, :2, 2])
    for name in plain.keys() - {"intrinsics"}:
        np.testing.assert_array_equal(told[name], plain[name], name)
    seen = project(plain["joints_cam_m"].astype(float), plain["intrinsics"].astype(float))[0, RIGHT]
    np.testing.assert_allclose(seen, plain["joints_px"][0, RIGHT], atol=1e-2)


@pytest.mark.parametrize("kind", ["blur", "noise", "jpeg", "light"])
def test_pixels_change_more_with_severity_and_labels_never(kind):
    data, scale = dataclasses.replace(DATA, input_size_px=256), SCALES[kind]
    plain, distances = fields_of(data=data), {}
    for severity in scale.severities:
        fields = fields_of(Corruption(kind, severity), data=data)
        distances[abs(severity - scale.none)] = np.abs(fields["image"].astype(float) - plain["image"]).mean()
        np.testing.assert_array_equal(fields["joints_px"], plain["joints_px"])
    ordered = [distances[key] for key in sorted(distances)]
    assert min(ordered) > 0.2
    assert kind == "light" or ordered == sorted(ordered)


def test_the_neutral_severity_changes_nothing():
    plain = fields_of()
    for kind, scale in SCALES.items():
        fields = fields_of(Corruption(kind, scale.none))
        if kind != "jpeg":  # even the best quality is not the same
            np.testing.assert_array_equal(fields["image"], plain["image"], kind)
        np.testing.assert_allclose(fields["joints_px"], plain["joints_px"], atol=1e-5, err_msg=kind)


def test_each_is_drawn_from_the_example_alone(tmp_path):
    """Neither batches nor hosts change it, and another example has another draw."""
    data = dataclasses.replace(DATA, data_dir=str(write_fake_dataset(tmp_path, 8, 64)))

    def images(size, hosts):
        parts = [
            eval_batches(
                data,
                "val",
                heatmap_stride=STRIDE,
                global_batch_size=size,
                host=host,
                num_hosts=hosts,
                corruption=Corruption("textures", 0.4),
            )
            for host in range(hosts)
        ]
        batches = [batch for host in zip(*parts, strict=True) for batch in host]
        images, rows = (np.concatenate([batch[name] for batch in batches]) for name in ("image", "example_index"))
        return images[rows >= 0]

    alone = images(1, 1)
    assert len(alone) == 4
    np.testing.assert_array_equal(images(4, 2), alone)


def test_a_kind_that_is_none_is_told():
    with pytest.raises(ValueError, match="'rain' is no kind of corruption; there are bars, textures"):
        corrupted_cut(fake_example(0), DATA, STRIDE, Corruption("rain", 1.0), 0)
    assert len({corruption.name for corruption in ALL}) == len(ALL)
