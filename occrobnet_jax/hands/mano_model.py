"""The user's own MANO files as hand models: what turns MANO's numbers into joints and skin.

MANO's pose is axis-angle: the global rotation about the root joint, then fifteen finger joints (index, middle, pinky,
ring, thumb, base first). Its fingers are measured from the flat hand or from MANO's mean pose, and datasets differ in
it: HO-3D and H2O-3D have "flat_hand_mean=True", InterHand2.6M's fits False. A `HandModel` takes flat ones, as the
stored examples are.
"""

import dataclasses
import io
from pathlib import Path

import numpy as np
from jaxtyping import Float

from occrobnet_jax.files.readers import number_array, read_bytes
from occrobnet_jax.hands.hand_model import HandModel, SkinnedPoints
from occrobnet_jax.hands.mano_pickle import SHAPES, read_mano_pickle
from occrobnet_jax.skeleton import FINGERS, INTERHAND, LEFT, NUM_JOINTS, POSED_JOINTS, RIGHT, permutation

FILES = {RIGHT: "MANO_RIGHT.pkl", LEFT: "MANO_LEFT.pkl"}

PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""Parent of each of `skeleton.POSED_JOINTS`."""

JOINTS = ("manopth", "smplx", "interhand")
"""Which points of MANO are the 21 joints: the 16 that it turns about and fingertips of either kind of `TIP_VERTS`, or
the means of skin that InterHand2.6M's file J_regressor_mano_ih26m.npy (Keypoint Transformer ships it) describes."""

REGRESSOR_FILE = "J_regressor_mano_ih26m.npy"

TIP_VERTS = {
    "manopth": {RIGHT: (745, 317, 444, 556, 673), LEFT: (745, 317, 445, 556, 673)},
    "smplx": {RIGHT: (744, 320, 443, 554, 671), LEFT: (744, 320, 443, 554, 671)},
}
"""MANO has no joints at the fingertips: the skin vertices that stand for them, in the order of `skeleton.FINGERS`.
InterHand2.6M's code and HandOccNet take manopth's, HO-3D's annotations smplx's; they lie some millimetres apart."""

_WRONG_SIGN_BELOW_M = 1.0


@dataclasses.dataclass(frozen=True)
class Mano:
    """Both hands; 0 is the right one."""

    models: tuple[HandModel, HandModel]
    mean_pose: Float[np.ndarray, "2 45"]


def load_mano(folder: Path, joints: str = "manopth") -> Mano:
    """Read MANO_RIGHT.pkl and MANO_LEFT.pkl, as their authors publish them, with 21 joints in our order.

    The published left hand has the first axis of its shape displacements with the wrong sign. As in its authors' own
    code (smplx), this is told by that axis being nearly the same in both files, and mended; fits are made with the
    right sign.

    Args:
        folder: that holds both files, and `REGRESSOR_FILE` for "interhand".
        joints: one of `JOINTS`.

    Raises:
        ValueError: a file is missing or isn't MANO's; names the file and the key.
    """
    if joints not in JOINTS:
        raise ValueError(f"{joints=} is none of {', '.join(JOINTS)}")
    regressor = _regressor(folder / REGRESSOR_FILE) if joints == "interhand" else None
    arrays = [_checked(folder / FILES[hand]) for hand in (RIGHT, LEFT)]
    right, left = (each["shapedirs"] for each in arrays)
    if np.abs(left[:, 0] - right[:, 0]).sum() < _WRONG_SIGN_BELOW_M:
        arrays[LEFT]["shapedirs"] = left * np.array([-1.0, 1.0, 1.0])[:, None]
    right_model, left_model = (_model(arrays[hand], TIP_VERTS.get(joints, {}).get(hand), regressor) for hand in FILES)
    return Mano(
        models=(right_model, left_model),
        mean_pose=np.stack([each["hands_mean"] for each in arrays]),
    )


def _checked(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file, whose tree of joints, weights and faces are those of a MANO hand."""
    arrays = read_mano_pickle(path)
    parents = tuple(arrays["kintree_table"][0, 1:].tolist())  # the root's is 2**32 - 1 in the real files
    if parents != PARENTS[1:]:
        raise ValueError(f"{path} is not a MANO file: kintree_table has the parents {parents}, expected {PARENTS[1:]}")
    for key in ("weights", "J_regressor"):
        if np.abs(arrays[key].sum(1) - 1).max() > 1e-3:
            raise ValueError(f"{path} is not a MANO file: a row of {key} does not sum to 1")
    faces = arrays["f"]
    if faces.min() < 0 or faces.max() >= len(arrays["v_template"]):
        raise ValueError(f"{path} is not a MANO file: f has the vertex numbers {faces.min()} to {faces.max()}")
    return arrays


def _regressor(path: Path) -> Float[np.ndarray, "21 778"]:
    """Return the weights of the skin for each joint in InterHand2.6M's order."""
    content = read_bytes(path)
    try:
        regressor = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:  # NumPy has several ways to fail on damaged bytes
        raise ValueError(f"{path} is not a NumPy file: {error}") from error
    regressor = number_array(regressor, (NUM_JOINTS, SHAPES["v_template"][0]), np.float64, name=str(path))
    if np.abs(regressor.sum(1) - 1).max() > 1e-3:
        raise ValueError(f"{path}: a row does not sum to 1")
    return regressor


def _model(
    arrays: dict[str, np.ndarray], tip_verts: tuple[int, ...] | None, joint_regressor: np.ndarray | None
) -> HandModel:
    skin = SkinnedPoints(
        rest_m=arrays["v_template"],
        shape_m=np.moveaxis(arrays["shapedirs"], -1, 0),
        weights=arrays["weights"],
        pose_m=np.moveaxis(arrays["posedirs"], -1, 0),
    )
    regressor = arrays["J_regressor"]
    pivots_m, shape_pivots_m = regressor @ skin.rest_m, regressor @ skin.shape_m
    if joint_regressor is not None:
        used = np.flatnonzero(joint_regressor.any(0))
        joints, joint_regressor = skin[used], joint_regressor[:, used]
    else:
        assert tip_verts is not None
        joints = _joints(skin, pivots_m, shape_pivots_m, tip_verts)
    return HandModel(
        parents=PARENTS,
        pivots_m=pivots_m,
        shape_pivots_m=shape_pivots_m,
        skin=skin,
        joints=joints,
        faces=arrays["f"],
        joint_regressor=joint_regressor,
    )


def _joints(
    skin: SkinnedPoints, pivots_m: np.ndarray, shape_pivots_m: np.ndarray, tip_verts: tuple[int, ...]
) -> SkinnedPoints:
    """Return the bones' pivots, each moved by its own bone alone, and the fingertips' skin, in our order."""
    tips = skin[np.array(tip_verts)]
    assert skin.pose_m is not None
    assert tips.pose_m is not None
    still = np.zeros((len(skin.pose_m), *pivots_m.shape))
    joints = SkinnedPoints(
        rest_m=np.concatenate([pivots_m, tips.rest_m]),
        shape_m=np.concatenate([shape_pivots_m, tips.shape_m], axis=1),
        weights=np.concatenate([np.eye(len(pivots_m)), tips.weights]),
        pose_m=np.concatenate([still, tips.pose_m], axis=1),
    )
    order = POSED_JOINTS + tuple(f"{finger}4" for finger in FINGERS)
    return joints[np.array(permutation(order, INTERHAND))]
