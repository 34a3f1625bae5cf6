"""MANO files that look like hands: the embedded CC0 hand's skin, thinned to MANO's 778 vertices, in the real format.

Their left hand has the wrong sign of the published one. Joints, shapes and mean pose are a hand's, pose corrections are
noise, faces are no surface.
"""

from pathlib import Path

import numpy as np

from occrobnet_jax.hands.embedded_hand import finger_pose, load_hand
from occrobnet_jax.hands.hand_model import mirrored_pose
from occrobnet_jax.hands.mano_model import PARENTS, TIP_VERTS
from occrobnet_jax.skeleton import FINGERS, INTERHAND, LEFT, RIGHT
from tests.support.fake_mano import write_both_hands

VERTS, NEAREST = 778, 100
ROOT_M = np.array([0.0957, 0.0064, 0.0062])  # beside the origin, as MANO's
SHAPE_SCALE = 0.25  # of the embedded hand's shape numbers, which go from 0 to 1
MEAN_BEND_RAD = 0.3


def write_mano_hands(folder: Path) -> Path:
    """Writes MANO_RIGHT.pkl and MANO_LEFT.pkl; returns the folder."""
    return write_both_hands(folder, hand_record)


def hand_record(hand: int) -> dict[str, np.ndarray]:
    """The arrays of a MANO file."""
    rng = np.random.default_rng(0)
    model = load_hand().models[RIGHT]
    rows = _rows(rng)
    verts, shapes = model.skin.rest_m[rows] + ROOT_M, SHAPE_SCALE * model.skin.shape_m[:, rows]
    pivots, shape_pivots = model.pivots_m[:16] + ROOT_M, SHAPE_SCALE * model.shape_pivots_m[:, :16]
    weights = model.skin.weights[rows].astype(np.float64)
    weights[:, 0] += weights[:, 16:].sum(1)  # the forearm's
    pose = finger_pose(np.full((5, 4), [0.0, MEAN_BEND_RAD, MEAN_BEND_RAD, MEAN_BEND_RAD]))
    mirror = np.array([-1.0, 1.0, 1.0]) if hand == LEFT else np.ones(3)
    return {
        "v_template": verts * mirror,
        "shapedirs": np.moveaxis(shapes, 0, -1).astype(np.float64),  # of the left hand not mirrored: as published
        "posedirs": rng.normal(0, 2e-4, (VERTS, 3, 135)),
        "J_regressor": np.stack([_means(verts, shapes, pivots[j], shape_pivots[:, j]) for j in range(16)]),
        "weights": weights[:, :16] / weights[:, :16].sum(1, keepdims=True),
        "kintree_table": np.stack([[2**32 - 1, *PARENTS[1:]], np.arange(16)]),
        "f": rng.integers(0, VERTS, (1538, 3)),
        "hands_mean": (mirrored_pose(pose) if hand == LEFT else pose)[3:].astype(np.float64),
        "hands_components": np.eye(45),
    }


def _rows(rng: np.random.Generator) -> np.ndarray:
    """Rows of the embedded hand's skin, with the fingertips where MANO has them."""
    asset = load_hand()
    skin = asset.models[RIGHT].skin.rest_m
    tips = [
        int(np.linalg.norm(skin - asset.models[RIGHT].joints.rest_m[INTERHAND.index(f"{finger}4")], axis=-1).argmin())
        for finger in FINGERS
    ]
    rows = rng.choice(np.setdiff1d(asset.hand_verts, tips), VERTS, replace=False)
    for hand in (RIGHT, LEFT):  # the middle finger's lies at another number in the left hand
        rows[list(TIP_VERTS["manopth"][hand])] = tips
    return rows


def _means(verts: np.ndarray, shapes: np.ndarray, pivot: np.ndarray, shape_pivot: np.ndarray) -> np.ndarray:
    """Weights of the skin around a joint, sum 1, of which the joint is the mean in any shape."""
    near = np.linalg.norm(verts - pivot, axis=-1).argsort()[:NEAREST]
    demands = np.concatenate(
        [np.ones((1, NEAREST)), verts[near].T, np.moveaxis(shapes[:, near], 1, -1).reshape(-1, NEAREST)]
    )
    wanted = np.concatenate([[1.0], pivot, shape_pivot.ravel()])
    row = np.zeros(len(verts))
    row[near] = np.linalg.lstsq(demands, wanted, rcond=1e-6)[0]
    return row / row.sum()
