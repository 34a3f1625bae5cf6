"""HO-3D's and H2O-3D's official trees, generated: their folders, Python 2 pickles and documented oddities."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import trimesh

from occrobnet_jax.hands.mano_model import Mano
from occrobnet_jax.skeleton import BONES, INTERHAND, LEFT, RIGHT
from tests.support import python2_pickle
from tests.support.fake_datasets import rotation_matrix
from tests.support.marks import CORNERS_REST_M
from tests.support.official_frames import draw_dots, project_plainly, write_image
from tests.support.posed_hands import random_parameters, rotation_vector
from tests.tube_hand import tube_mano

SIZE_PX = (640, 480)
HO3D_SEQUENCES = {"train": ("ABF10", "ABF11", "SM2", "SB10"), "evaluation": ("SB11", "SM1")}
H2O3D_SEQUENCES = {"train": ("BA10", "BA11", "CS12", "DP3", "EW20"), "evaluation": ("FQ10", "GT1")}
OBJECTS = ("003_cracker_box", "006_mustard_bottle", "025_mug", "021_bleach_cleanser")
H2O3D_OBJECTS = ("024_bowl", "004_sugar_box", "019_pitcher_base", "035_power_drill")
WITHOUT_FLAGS = "DP3"  # sequence whose metadata have no jointValid and poseValid
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLOURS: dict[str, dict[Any, tuple[int, int, int]]] = {
    "v2": {"object": BLUE, RIGHT: GREEN},
    "v3": {"object": GREEN, RIGHT: BLUE},
    "h2o3d": {"object": GREEN, RIGHT: BLUE, LEFT: RED},  # of the hands' we know only that they are others
}
"""Of the rendered segmentations, RGB."""
FINGER_PX = 4  # thickness in the segmentation
HIDDEN_JOINT = 8  # number, in HO-3D's order, of the joint that other sequences mark as invalid
HO3D_NAMES = (
    *("wrist", "index1", "index2", "index3", "middle1", "middle2", "middle3", "pinky1", "pinky2", "pinky3"),
    *("ring1", "ring2", "ring3", "thumb1", "thumb2", "thumb3", "thumb4", "index4", "middle4", "ring4", "pinky4"),
)


def write_ho3d(raw: Path, version: str = "v2", frames: int = 4, *, with_ground_truth: bool = False) -> Path:
    """Writes HO-3D's tree: png images in v2, jpg in v3; frames that the lists don't name have no annotations."""
    suffix = ".png" if version == "v2" else ".jpg"
    truth = _write_tree(raw, HO3D_SEQUENCES, frames, suffix, lambda *scene: _ho3d_meta(*scene, version), version)
    if with_ground_truth:
        (raw / "evaluation_xyz.json").write_text(json.dumps(truth))
    return raw


def write_h2o3d(raw: Path, frames: int = 4, *, mano: Mano | None = None) -> Path:
    """Writes H2O-3D's tree: jpg images; the evaluation metadata lack objCorners3D.

    Joints and fits are those of a MANO: by default of `tube_hand`, whose files users of the tree have to give.
    """
    _write_tree(raw, H2O3D_SEQUENCES, frames, ".jpg", _h2o3d_meta, "h2o3d", mano)
    return raw


def write_object_models(folder: Path) -> Path:
    """Writes a box for each object, as YCB's models lie in folders of their names."""
    for name in {*OBJECTS, *H2O3D_OBJECTS}:
        (folder / name).mkdir(parents=True, exist_ok=True)
        trimesh.creation.box(bounds=CORNERS_REST_M[[0, -1]]).export(folder / name / "textured_simple.obj")
    return folder


def _write_tree(
    raw: Path,
    sequences: dict[str, tuple[str, ...]],
    frames: int,
    suffix: str,
    meta: Callable[..., dict[str, Any]],
    paint: str,
    mano: Mano | None = None,
) -> list[Any]:
    """Writes all frames and lists; returns the right hands' joints of the evaluation list, in their axes and order."""
    rng = np.random.default_rng(len(suffix) + frames)
    truth: dict[str, Any] = {}
    for split, names in sequences.items():
        lines = []
        for sequence in names:
            for number in range(frames + 1):
                frame, is_listed = f"{number:04d}", number < frames
                scene = _scene(rng, sequence, two_hands=paint == "h2o3d") | {"paint": paint}
                scene |= _posed(rng, mano or tube_mano())
                record = meta(scene, split, sequence)
                record = record if is_listed else dict.fromkeys(record)
                _write_frame(raw / split / sequence, frame, suffix, scene, record, protocol=2 * (number % 2))
                if is_listed:
                    lines.append(f"{sequence}/{frame}")
                    truth[lines[-1]] = _ho3d_joints(scene["joints"][RIGHT]).tolist()
        if split == "train":
            rng.shuffle(lines)
        (raw / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines))
    return [truth[line] for line in lines]


def _scene(rng: np.random.Generator, sequence: str, *, two_hands: bool) -> dict[str, Any]:
    """Everything in OpenCV's axes."""
    objects = H2O3D_OBJECTS if two_hands else OBJECTS
    return {
        "hands": (RIGHT, LEFT) if two_hands else (RIGHT,),
        "intrinsics": np.array([[617.3, 0, 312.4], [0, 614.1, 241.8], [0, 0, 1]]),
        "object": objects[sum(map(ord, sequence)) % len(objects)],
        "rotation": rotation_matrix(rng.uniform(-1, 1, 3)),
        "translation": np.array([0.02, -0.03, 0.72]) + rng.uniform(-0.02, 0.02, 3),
    }


def _posed(rng: np.random.Generator, mano: Mano) -> dict[str, Any]:
    """Joints of MANO's hands, and their parameters in HO-3D's axes: a hand turns about its root, then is moved."""
    fits, joints = random_parameters(rng, mano.models, spread=1.0), []
    moved = {}
    for hand, (pose, shape, translation_m) in enumerate(fits):
        model = mano.models[hand]
        joints.append(model.joints_m(pose, shape, translation_m))
        root_m = model.pivots_m[0] + shape @ model.shape_pivots_m[:, 0]
        turned = rotation_vector(np.diag([1.0, -1.0, -1.0]) @ rotation_matrix(pose[:3]))
        moved[hand] = (np.concatenate([turned, pose[3:]]), _to_opengl(root_m + translation_m) - root_m)
    return {"joints": np.stack(joints), "fits": moved, "shape": fits[0][1]}


def _to_opengl(points: np.ndarray) -> np.ndarray:
    return np.asarray(points) * [1.0, -1.0, -1.0]


def _ho3d_joints(joints: np.ndarray) -> np.ndarray:
    """Joints in their axes, picked by name into their order."""
    named = dict(zip(INTERHAND, _to_opengl(joints), strict=True))
    return np.stack([named[name] for name in HO3D_NAMES])


def _common_meta(scene: dict[str, Any]) -> dict[str, Any]:
    turn = np.diag([1.0, -1.0, -1.0]) @ scene["rotation"]
    translation = _to_opengl(scene["translation"])
    return {
        "camMat": scene["intrinsics"],
        "objRot": cv2.Rodrigues(turn)[0],  # (3, 1)
        "objTrans": translation,
        "objCorners3D": CORNERS_REST_M @ turn.T + translation,
        "objCorners3DRest": CORNERS_REST_M,
        "objName": scene["object"],
        "objLabel": OBJECTS.index(scene["object"]) if scene["object"] in OBJECTS else 0,
        "camIDList": ["840412060917", "822512060411"],
    }


def _ho3d_meta(scene: dict[str, Any], split: str, sequence: str, version: str) -> dict[str, Any]:
    joints = _ho3d_joints(scene["joints"][RIGHT])
    if split == "evaluation":
        px = project_plainly(scene["joints"][RIGHT], scene["intrinsics"])
        box = [*px.min(0).astype(int).tolist(), *px.max(0).astype(int).tolist()]
        return _common_meta(scene) | {"handJoints3D": joints[0], "handBoundingBox": box}
    contact = {
        "handVertContact": np.zeros(778, bool),
        "handVertDist": np.ones(778),
        "handVertIntersec": np.zeros(778, bool),
        "handVertObjSurfProj": np.zeros((778, 3)),
    }
    hand = {
        "handJoints3D": joints,
        "handPose": scene["fits"][RIGHT][0],
        "handTrans": scene["fits"][RIGHT][1],
        "handBeta": scene["shape"],
    }
    return _common_meta(scene) | hand | (contact if version == "v3" else {})


def _h2o3d_meta(scene: dict[str, Any], split: str, sequence: str) -> dict[str, Any]:
    meta = _common_meta(scene)
    for hand, side in ((RIGHT, "right"), (LEFT, "left")):
        joints = _ho3d_joints(scene["joints"][hand])
        if split == "evaluation":
            px = project_plainly(scene["joints"][hand], scene["intrinsics"])
            meta |= {
                f"{side}HandJoints3D": joints[0],
                f"{side}HandBoundingBox": [*px.min(0).tolist(), *px.max(0).tolist()],
            }
            continue
        meta[f"{side}HandJoints3D"] = joints
        meta[f"{side}HandPose"], meta[f"{side}HandTrans"] = scene["fits"][hand]
        if sequence != WITHOUT_FLAGS:
            valid = np.ones(21)
            valid[HIDDEN_JOINT] = hand == LEFT
            meta |= {f"jointValid{side.title()}": valid, f"poseValid{side.title()}": np.ones(48)}
    if split == "evaluation":
        del meta["objCorners3D"]
        return meta
    return meta | {"handBeta": scene["shape"]}


def _write_frame(
    folder: Path, frame: str, suffix: str, scene: dict[str, Any], record: dict[str, Any], protocol: int
) -> None:
    shown = np.zeros((2, 21), bool)
    shown[list(scene["hands"])] = True
    px = project_plainly(scene["joints"], scene["intrinsics"])
    write_image(folder / "rgb" / f"{frame}{suffix}", draw_dots(px, shown, SIZE_PX))
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    plain = {
        key: [float(v) for v in value] if key.endswith("Box") and value else value for key, value in record.items()
    }
    (folder / "meta" / f"{frame}.pkl").write_bytes(python2_pickle.dumps(plain, protocol))
    if folder.parent.name == "train" and frame != "0001":  # segmentations are optional
        write_image(folder / "segr" / f"{frame}.png", _painted(scene, px))


def _painted(scene: dict[str, Any], joints_px: np.ndarray) -> np.ndarray:
    """The rendered segmentation, RGB, a quarter of the photo: the object, and before it the hands."""
    labels = np.zeros((SIZE_PX[1] // 4, SIZE_PX[0] // 4, 3), np.uint8)
    colours = COLOURS[scene["paint"]]
    corners = CORNERS_REST_M @ scene["rotation"].T + scene["translation"]
    hull = cv2.convexHull(np.round(project_plainly(corners, scene["intrinsics"]) / 4).astype(np.int32))
    cv2.fillConvexPoly(labels, hull, colours["object"])
    for hand in scene["hands"]:
        places = np.round(joints_px[hand] / 4).astype(int).tolist()
        for parent, child in BONES:
            cv2.line(labels, places[parent], places[child], colours[hand], FINGER_PX)
    return labels
