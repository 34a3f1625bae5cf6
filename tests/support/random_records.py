"""Evaluation records drawn at random, labels and predictions, for metrics to be compared with their oracles."""

import numpy as np

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from occrobnet_jax.skeleton import WRIST


def random_rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    turned = np.linalg.qr(rng.normal(size=(count, 3, 3)))[0]
    return turned * np.sign(np.linalg.det(turned))[:, None, None]


def random_records(rng: np.random.Generator, count: int, known: float = 0.85) -> Records:
    """Hands of about the right size, errors of some cm, masks that are true with the probability `known`."""
    present = np.array([(1, 0), (0, 1), (1, 1)], bool)[rng.integers(0, 3, count)]
    root = np.stack(
        [rng.uniform(-0.2, 0.2, (count, 2)), rng.uniform(-0.2, 0.2, (count, 2)), 0.5 + rng.random((count, 2))], -1
    )
    joints = root[:, :, None] + rng.normal(0, 0.05, (count, 2, 21, 3))
    joints[:, :, WRIST] = root
    annotated = (rng.random((count, 2, 21)) < known) & present[:, :, None]
    in_image = annotated & (rng.random((count, 2, 21)) < 0.9)
    focal = rng.uniform(200, 400, (count, 2))
    intrinsics = np.zeros((count, 3, 3))
    intrinsics[:, 0, 0], intrinsics[:, 1, 1], intrinsics[:, 2, 2] = focal[:, 0], focal[:, 1], 1
    intrinsics[:, :2, 2] = rng.uniform(100, 150, (count, 2))
    own = joints + rng.normal(0, 0.02, joints.shape)
    px = (own[..., :2] / own[..., 2:]) * focal[:, None, None] + intrinsics[:, None, None, :2, 2]
    true_px = (joints[..., :2] / joints[..., 2:]) * focal[:, None, None] + intrinsics[:, None, None, :2, 2]
    own_root = own[:, :, WRIST]
    corners = rng.normal(0, 0.05, (count, 1, 3)) + np.array(
        [[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
    ) * (rng.uniform(0.03, 0.1, (count, 1, 3)))
    records = {
        "key": np.array([b"%d" % row for row in range(count)]),
        "sequence": np.array([b"sequence%d" % (row // 2) for row in range(count)]),
        "annotation_id": 1000 + np.arange(count),
        "evaluation_row": np.arange(count),
        "example_index": np.arange(count),
        "is_black": rng.random(count) < 0.2,
        "hand_fit_known": rng.random((count, 2)) < 0.7,
        "rootnet_known": np.ones(count, bool),
        "rootnet_depth_m": root[..., 2] + rng.normal(0, 0.03, (count, 2)),
        "object_share": rng.uniform(0, 0.2, count),
        "intrinsics": intrinsics,
        "joints_cam_m": np.where(annotated[..., None], joints, 0.0),
        "joints_px": np.where(annotated[..., None], true_px, 0.0),
        "joint_annotated": annotated,
        "joint_in_image": in_image,
        "joint_in_crop": in_image & (rng.random((count, 2, 21)) < 0.9),
        "hand_present": present,
        "hand_present_known": rng.random(count) < 0.9,
        "root_cam_m": np.where(annotated[:, :, WRIST, None], joints[:, :, WRIST], 0.0),
        "root_known": annotated[:, :, WRIST],
        "object_id": rng.choice([3, 4, 6, 19, 25, 35], count),
        "object_rotation": random_rotations(rng, count),
        "object_translation_m": root.mean(axis=1) + rng.normal(0, 0.05, (count, 3)),
        "object_corners_rest_m": corners,
        "object_symmetry": rng.integers(0, len(OBJECT_SYMMETRY), count),
        "object_known": rng.random(count) < known,
    }
    predicted = {
        "joints_rel_m": own - own_root[:, :, None],
        "joints_px": px,
        "joints_cam_m": own,
        "root_cam_m": own_root,
        "relative_translation_m": own_root[:, 1] - own_root[:, 0] + rng.normal(0, 0.01, (count, 3)),
        "hand_probability": np.clip(present + rng.normal(0, 0.4, (count, 2)), 0, 1),
        "object_rotation": random_rotations(rng, count),
        "object_translation_m": rng.normal(0, 0.1, (count, 3)),
    }
    return records | {f"predicted_{name}": values for name, values in predicted.items()}


def random_meshes(rng: np.random.Generator, records: Records, vertices: int = 778) -> Records:
    """Columns of meshes for records."""
    count = len(records["hand_present"])
    truth = records["root_cam_m"][:, :, None] + rng.normal(0, 0.05, (count, 2, vertices, 3))
    return {
        "vertices_cam_m": truth,
        "vertices_known": rng.random((count, 2)) < 0.8,
        "predicted_vertices_rel_m": truth
        - records["root_cam_m"][:, :, None]
        + rng.normal(0, 0.01, (count, 2, vertices, 3)),
    }
