"""Evaluation records of stick-hand examples with perfect predictions, for tests to spoil."""

import numpy as np

from input_pipeline.config import DataConfig
from input_pipeline.transforms import benchmark_facts, crop_example
from occrobnet_jax.evaluation.formats.records import FACTS, LABELS, Records
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.skeleton import ARMS, LEFT, NUM_JOINTS, RIGHT, SCENE_KINDS, VISIBILITY, WRIST
from tests.support.fake_datasets import fake_example

SIZE_PX = 64
KEYPOINTS = 50
HIDDEN_MM = {"occluded": 30.0, "shadowed": 40.0, "free": 12.0, "aside": 14.0}
VISIBLE_MM = {"occluded": 11.0, "shadowed": 13.0, "free": 10.0, "aside": 10.0}
"""What `spoiled` puts into each arm."""


def perfect_records(count: int = 6) -> Records:
    """Records of `count` examples (right, left, both hands in turn; every second one with an object)."""
    data = DataConfig(input_size_px=SIZE_PX)
    examples = [fake_example(i) for i in range(count)]
    rows = [crop_example(example, data, 2) | {"example_index": np.int32(i)} for i, example in enumerate(examples)]
    rows = [row | benchmark_facts(example, row) for example, row in zip(examples, rows, strict=True)]
    records = {name: np.stack([row[name] for row in rows]) for name in (*LABELS, *FACTS)}
    return records | {f"predicted_{name}": values for name, values in perfect_pose(records).items()}


def perfect_pose(records: Records) -> dict[str, np.ndarray]:
    """Fields of the `Pose` of a network that knows the labels."""
    present, roots = records["hand_present"], records["root_cam_m"]
    reference = roots[np.arange(len(roots)), np.where(present[:, RIGHT], RIGHT, LEFT)]
    in_crop = records["joint_in_crop"].reshape(len(roots), -1)
    slots = ((0, 0), (0, KEYPOINTS - 2 * NUM_JOINTS))
    return {
        "joints_rel_m": root_relative(records["joints_cam_m"]),
        "joints_px": records["joints_px"],
        "joints_cam_m": records["joints_cam_m"],
        "root_cam_m": roots,
        "root_fit_error_px": np.zeros(present.shape, np.float32),
        "relative_translation_m": roots[:, LEFT] - roots[:, RIGHT],
        "hand_probability": present.astype(np.float32),
        "visibility_probability": (records["visibility"] == 1).astype(np.float32),
        "keypoints_px": np.pad(records["joints_px"].reshape(len(roots), -1, 2), (*slots, (0, 0))),
        "keypoint_valid": np.pad(in_crop, slots),
        "keypoint_class": np.broadcast_to(np.arange(1, KEYPOINTS + 1, dtype=np.int32), (len(roots), KEYPOINTS)),
        "object_rotation": records["object_rotation"],
        "object_translation_m": records["object_translation_m"] - reference,
    }


def arm_records(scenes: int = 3) -> Records:
    """Perfect records of scenes in four arms each, whose occluder hides fingers of the hands that are there.

    Every hand has 4, 8, 12, ... hidden joints, in turn of the scenes, and as many fifths of its pixels hidden.
    """
    records = perfect_records(scenes)
    records = {name: np.repeat(values, len(ARMS) - 1, axis=0) for name, values in records.items()}
    scene, place = np.divmod(np.arange(len(records["key"])), len(ARMS) - 1)
    fingers = 1 + scene % 4
    hidden = (np.arange(NUM_JOINTS) < 4 * fingers[:, None])[:, None] & records["joint_annotated"]
    behind = hidden & (place < 2)[:, None, None]
    visibility = np.where(records["joint_annotated"] & records["joint_in_crop"], 1, 0)
    share = np.float32(fingers[:, None] / 5) * records["hand_present"]
    return records | {
        "example_index": np.arange(len(scene)),
        "key": np.array([f"scene/{row}".encode() for row in range(len(scene))]),
        "sequence": np.array([f"{SCENE_KINDS[number % 4]}/{number}".encode() for number in scene]),
        "arm": (place + 1).astype(np.int32),
        "visibility": np.where(behind, VISIBILITY.index("object"), visibility),
        "scene_hidden_joints": hidden.astype(np.uint8),
        "scene_hidden_share": share,
        "hidden_share": share * (place < 2)[:, None],
    }


def spoiled(records: Records, hidden_mm=HIDDEN_MM, visible_mm=VISIBLE_MM) -> Records:
    """Records whose joints are off along x by so much in each arm."""
    of_arm = [np.array([0.0, *(errors[arm] for arm in ARMS[1:])])[records["arm"]] for errors in (hidden_mm, visible_mm)]
    hidden, visible = (errors[:, None, None] for errors in of_arm)
    shift_m = np.where(records["scene_hidden_joints"] > 0, hidden, visible) / 1000
    shift_m[..., WRIST] = 0
    joints_m = records["predicted_joints_rel_m"].astype(np.float64)
    return records | {"predicted_joints_rel_m": joints_m + shift_m[..., None] * [1.0, 0, 0]}
