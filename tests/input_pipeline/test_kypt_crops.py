"""Crops of HO-3D and H2O-3D are Keypoint Transformer's, by its formula, from the official files to the pixels.

Its loaders (data/dataset_ho3d.py, dataset_h2o3d.py) put a box around the hands' and the object's points, widen it by
10 px on each side, make it a square 1.25 times as large (`process_bbox`), and map three points of it onto three of the
crop (`gen_trans_from_patch_cv`), all in the photo's pixels.
"""

import math
import pickle

import cv2
import numpy as np
import pytest

from configs import h2o3d as h2o3d_config
from configs import ho3d as ho3d_config
from input_pipeline.augment import NONE, Augmentation
from input_pipeline.config import DataConfig
from input_pipeline.convert.ho3d.h2o3d import H2O3D
from input_pipeline.convert.ho3d.ho3d import HO3D
from input_pipeline.transforms import training_cut
from tests.official_ho3d import write_h2o3d, write_ho3d

SIZE_PX = 256
AUGMENTED = Augmentation(shift=(0.11, -0.07), scale=1.2, rotation_rad=math.radians(-30))


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Metadata and example of each frame, by dataset and split."""
    root = tmp_path_factory.mktemp("official")
    trees = {name: write_ho3d(root / name, name[-2:], 1) for name in ("ho3d_v2", "ho3d_v3")}
    trees["h2o3d"] = write_h2o3d(root / "h2o3d", 1)
    sources = {name: H2O3D(raw) if name == "h2o3d" else HO3D(raw, name[-2:]) for name, raw in trees.items()}
    found = {}
    for name, source in sources.items():
        for split, count in source.splits.items():
            examples = [source.example(split, index) for index in range(count)]
            found[name, split] = [(meta_of(trees[name], example), example) for example in examples]
    return found


def meta_of(raw, example):
    _, split, sequence, frame = example["key"].split("/")
    path = raw / {"val": "train"}.get(split, split) / sequence / "meta" / f"{frame}.pkl"
    return pickle.loads(path.read_bytes(), encoding="latin1")


def kypt_points(meta):
    """Pixels that its box is put around: annotated joints or the given boxes' corners, and the object's corners."""
    turn, shift = cv2.Rodrigues(np.asarray(meta["objRot"]))[0], meta["objTrans"]
    points_gl = [np.asarray(meta["objCorners3DRest"]) @ turn.T + shift]
    corners = [np.reshape(meta[key], (2, 2)) for key in meta if key.endswith("BoundingBox")]
    if not corners:
        points_gl += [
            np.asarray(meta[key])[np.asarray(meta.get(flags, np.ones(21))) > 0]
            for key, flags in (
                ("handJoints3D", ""),
                ("rightHandJoints3D", "jointValidRight"),
                ("leftHandJoints3D", "jointValidLeft"),
            )
            if key in meta
        ]
    points = np.concatenate(points_gl) * [1, -1, -1]
    camera = np.asarray(meta["camMat"])
    projected = points[:, :2] / points[:, 2:] * [camera[0, 0], camera[1, 1]] + camera[:2, 2]
    return np.concatenate([projected, *corners])


def kypt_matrix(points, shift, scale, rotation_deg):
    """Its crop's affine matrix, 256 px: single precision, as it computes it."""
    low, high = points.min(0), points.max(0)
    width, height = high - low + 20
    center = low - 10 + np.array([width, height]) / 2
    side = 1.25 * max(width, height)
    center = np.float32(center + side * np.array(shift))
    angle = math.pi * rotation_deg / 180
    half = np.float32(side * scale * 0.5)
    down = half * np.array([-math.sin(angle), math.cos(angle)], np.float32)
    right = half * np.array([math.cos(angle), math.sin(angle)], np.float32)
    middle = np.float32([SIZE_PX / 2, SIZE_PX / 2])
    to = np.stack([middle, middle + np.float32([0, SIZE_PX / 2]), middle + np.float32([SIZE_PX / 2, 0])])
    return cv2.getAffineTransform(np.stack([center, center + down, center + right]), to)


@pytest.mark.parametrize("augmentation", [NONE, AUGMENTED], ids=["evaluation", "training"])
@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("ho3d_v2", "train"), ("ho3d_v2", "evaluation"), ("ho3d_v3", "train")),
        *(("h2o3d", "train"), ("h2o3d", "val"), ("h2o3d", "evaluation")),
    ],
)
def test_crops_are_kypts_to_a_hundredth_of_a_pixel(frames, name, split, augmentation):
    recipe = (h2o3d_config if name == "h2o3d" else ho3d_config).get_config().data
    data = DataConfig(box_pad_px=recipe.box_pad_px, box_scale=recipe.box_scale, crop_centre="half_size")
    for meta, example in frames[name, split]:
        ours = training_cut(example, data, 2, augmentation).geometry.crop_from_image
        rotation_deg = -math.degrees(augmentation.rotation_rad)
        theirs = kypt_matrix(kypt_points(meta), augmentation.shift, augmentation.scale, rotation_deg)
        shown = np.array([[0, 0, 1], [639, 0, 1], [0, 479, 1], [639, 479, 1]]).T
        np.testing.assert_allclose(ours @ shown, theirs @ shown, atol=0.01)
