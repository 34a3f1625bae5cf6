"""The embedded hand: its model, its joint limits, and how finger angles become a pose.

Finger angles are `(5, 4)` radians, fingers in skeleton.FINGERS' order: spread (towards the thumb's side), then the
bend of the base, middle and end joint towards the palm; all relative to the rest pose, which is nearly flat. The
thumb's four are its lift out of the palm's plane and the bends of CMC, MCP and IP.
"""

import dataclasses
import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from occrobnet_jax.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from occrobnet_jax.hands.hand_model import HandModel, SkinnedPoints, mirrored, mirrored_pose
from occrobnet_jax.hands.skin import skin_around_joints
from occrobnet_jax.skeleton import BONES, FINGERS, INTERHAND, LEFT

BONE_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
"""Order of the finger bones in the pose (MANO's), three each, base first."""
FOREARM_BONE = 16
_ARM_STRETCHED_FROM_M, _ARM_STRETCH = 0.12, 3.0
_ANGLE_ROWS = [FINGERS.index(finger) for finger in BONE_FINGERS]

LIMITS_DEG = np.array(
    [
        [[-25, 38], [-28, 45], [-10, 50], [-15, 75]],
        [[-12, 15], [-20, 85], [-5, 105], [-5, 70]],
        [[-10, 10], [-20, 85], [-5, 105], [-5, 70]],
        [[-12, 10], [-20, 85], [-5, 105], [-5, 70]],
        [[-20, 12], [-20, 85], [-5, 100], [-5, 70]],
    ],
    dtype=np.float64,
)
"""Lowest and highest finger angle."""


@dataclasses.dataclass(frozen=True)
class HandAsset:
    """The embedded right hand with what posing, shading and contact need to know about it."""

    models: tuple[HandModel, HandModel]  # right, left
    hinge: Float[np.ndarray, "15 3"]
    spread: Float[np.ndarray, "15 3"]  # axis that moves a finger towards the thumb's side
    nail: Float[np.ndarray, " v"]
    weld: Int[np.ndarray, " v"]
    finger_verts: tuple[Int[np.ndarray, " _"], ...]  # skin that belongs to each finger, skeleton.FINGERS' order
    finger_samples: Int[np.ndarray, "5 _"]  # some of them, evenly taken, to find contacts with
    palm_samples: Int[np.ndarray, " _"]
    hand_verts: Int[np.ndarray, " _"]  # without the forearm
    bone_radius_m: Float[np.ndarray, " 20"]  # thickness of the flesh around skeleton.BONES
    joint_backs: Float[np.ndarray, "21 3"]  # direction from each joint to the back of the hand, in rest pose
    joint_verts: tuple[Int[np.ndarray, " _"], ...]  # skin around each joint, see visibility.py


@functools.cache
def load_hand() -> HandAsset:
    """Return the asset that tools/build_hand_asset.py wrote."""
    with np.load(Path(__file__).with_name("embedded_hand.npz")) as stored:
        arrays = dict(stored)
    arrays["verts_m"] = _long_arm(arrays["verts_m"])
    right = HandModel(
        parents=(-1, *(0 if bone % 3 == 1 else bone - 1 for bone in range(1, 16)), 0),
        pivots_m=arrays["pivots_m"],
        shape_pivots_m=arrays["shape_pivots_m"],
        skin=SkinnedPoints(arrays["verts_m"], arrays["shape_verts_m"], arrays["skin_weights"]),
        joints=SkinnedPoints(arrays["joints_m"], arrays["shape_joints_m"], arrays["joint_weights"]),
        faces=arrays["faces"],
    )
    verts, joints = arrays["verts_m"], arrays["joints_m"]
    owner = arrays["skin_weights"].argmax(1)
    fingers = [np.flatnonzero((owner - 1) // 3 == BONE_FINGERS.index(f)) for f in FINGERS]
    palmar = _palmar(right)
    spread = _spread_axes(arrays["hinge"], joints)
    radius = _bone_radius(verts[owner != FOREARM_BONE], joints)
    backs = np.stack([_backwards(name, spread) for name in INTERHAND])
    return HandAsset(
        models=(right, mirrored(right)),
        hinge=arrays["hinge"],
        spread=spread,
        nail=arrays["nail"],
        weld=arrays["weld_id"],
        finger_verts=tuple(fingers),
        finger_samples=np.stack([_spread_out(skin, palmar, verts, 40) for skin in fingers]),
        palm_samples=_spread_out(np.flatnonzero(owner == 0), palmar, verts, 80),
        hand_verts=np.flatnonzero(owner != FOREARM_BONE),
        bone_radius_m=radius,
        joint_backs=backs,
        joint_verts=skin_around_joints(verts, joints, backs),
    )


def finger_pose(angles: Float[np.ndarray, "*batch 5 4"]) -> Float[np.ndarray, "*batch 48"]:
    """Return the right hand's pose (no global rotation) for finger angles in radians."""
    asset = load_hand()
    angle = angles[..., _ANGLE_ROWS, :].astype(np.float32)[..., None]
    hinge, spread = asset.hinge.reshape(5, 3, 3), asset.spread.reshape(5, 3, 3)
    pose = np.zeros((*angles.shape[:-2], 16, 3), np.float32)
    bends = pose[..., 1:, :].reshape(*angles.shape[:-2], 5, 3, 3)
    bends[...] = angle[..., 1:, :] * hinge
    sideways = axis_angle_to_matrix(angle[..., 0, :] * spread[:, 0])
    bends[..., 0, :] = matrix_to_axis_angle(sideways @ axis_angle_to_matrix(bends[..., 0, :]))
    pose[..., 1:, :] = bends.reshape(*angles.shape[:-2], 15, 3)
    return pose.reshape(*angles.shape[:-2], 48)


def clipped_to_limits(angles: Float[np.ndarray, "*batch 5 4"]) -> Float[np.ndarray, "*batch 5 4"]:
    """Return the finger angles (radians) brought inside the joint limits."""
    return np.clip(angles, *np.moveaxis(np.deg2rad(LIMITS_DEG), -1, 0))


@dataclasses.dataclass(frozen=True)
class Pose:
    """Everything about one hand but where it is."""

    side: int
    angles: Float[np.ndarray, "5 4"]
    shape: Float[np.ndarray, " 10"]
    forearm: Float[np.ndarray, " 3"]  # axis-angle of the forearm against the hand; moves skin only

    @functools.cached_property
    def fingers(self) -> Float[np.ndarray, " 48"]:
        """The pose without a global rotation."""
        pose = finger_pose(self.angles)
        return mirrored_pose(pose) if self.side == LEFT else pose

    @functools.cached_property
    def pivot_m(self) -> Float[np.ndarray, " 3"]:
        """The point of the model's frame about which the hand turns."""
        model = load_hand().models[self.side]
        return model.pivots_m[0] + np.tensordot(self.shape, model.shape_pivots_m[:, 0], axes=1)

    @functools.cached_property
    def joints_m(self) -> Float[np.ndarray, "21 3"]:
        """Joints in the hand's frame, the wrist at the origin."""
        return load_hand().models[self.side].joints_m(self.fingers, self.shape, -self.pivot_m)

    @functools.cached_property
    def verts_m(self) -> Float[np.ndarray, "v 3"]:
        """Skin in the hand's frame, the wrist at the origin."""
        bones = np.concatenate([self.fingers, self.forearm.astype(np.float32)])
        return load_hand().models[self.side].verts_m(bones, self.shape, -self.pivot_m)


@dataclasses.dataclass(frozen=True)
class PosedHand:
    """One hand in a scene."""

    pose: Pose
    rotation: Float[np.ndarray, "3 3"]  # scene from the hand's own frame
    wrist_m: Float[np.ndarray, " 3"]

    @property
    def side(self) -> int:
        """skeleton.RIGHT or skeleton.LEFT."""
        return self.pose.side

    @property
    def joints_m(self) -> Float[np.ndarray, "21 3"]:
        """Joints in the scene."""
        return self.pose.joints_m @ self.rotation.T + self.wrist_m

    @property
    def verts_m(self) -> Float[np.ndarray, "v 3"]:
        """Skin in the scene, forearm included."""
        return self.pose.verts_m @ self.rotation.T + self.wrist_m

    def parameters(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the pose (48), shape (10), translation (3): the HandModel's `joints_m` of them are the joints in the
        scene.
        """
        whole = self.pose.fingers.copy()
        whole[:3] = matrix_to_axis_angle(self.rotation.astype(np.float32))
        return whole, self.pose.shape, (self.wrist_m - self.pose.pivot_m).astype(np.float32)

    def moved(self, rotation: np.ndarray, shift_m: np.ndarray) -> "PosedHand":
        """Return the hand after the scene was turned, then shifted."""
        return PosedHand(self.pose, rotation @ self.rotation, rotation @ self.wrist_m + shift_m)


def resting(pose: Pose) -> PosedHand:
    """Return the hand in its own frame: fingers along y, palm towards z, wrist at the origin."""
    return PosedHand(pose, np.eye(3), np.zeros(3))


def _long_arm(verts: np.ndarray) -> np.ndarray:
    """Return the skin with a longer arm, so that its open end stays outside the picture."""
    end = verts[verts[:, 1] < verts[:, 1].min() + 0.02].mean(0)
    direction = end / np.linalg.norm(end)
    beyond = np.maximum(verts @ direction - _ARM_STRETCHED_FROM_M, 0)
    return verts + (_ARM_STRETCH - 1) * beyond[:, None] * direction


def _palmar(model: HandModel) -> np.ndarray:
    """Skin that does not look to the back of the hand in rest pose."""
    verts, faces = model.skin.rest_m, model.faces
    face_normal = np.cross(verts[faces[:, 1]] - verts[faces[:, 0]], verts[faces[:, 2]] - verts[faces[:, 0]])
    normal_z = np.zeros(len(verts))
    np.add.at(normal_z, faces, face_normal[:, None, 2])
    length = np.zeros(len(verts))
    np.add.at(length, faces, np.linalg.norm(face_normal, axis=-1)[:, None])
    return normal_z > -0.3 * length


def _spread_out(skin: np.ndarray, palmar: np.ndarray, verts: np.ndarray, count: int) -> np.ndarray:
    """Return some of the palmar vertices, each as far from the earlier ones as possible."""
    rows = skin[palmar[skin]]
    chosen = [0]
    distance = np.full(len(rows), np.inf)
    for _ in range(count - 1):
        distance = np.minimum(distance, np.linalg.norm(verts[rows] - verts[rows[chosen[-1]]], axis=-1))
        chosen.append(int(distance.argmax()))
    return rows[chosen]


def _spread_axes(hinge: np.ndarray, joints: np.ndarray) -> np.ndarray:
    axes = []
    for bone in range(15):
        finger, i = BONE_FINGERS[bone // 3], bone % 3 + 1
        direction = joints[INTERHAND.index(f"{finger}{i + 1}")] - joints[INTERHAND.index(f"{finger}{i}")]
        axis = np.cross(direction, hinge[bone])
        axes.append(axis / np.linalg.norm(axis))
    return np.stack(axes).astype(np.float32)


def _bone_radius(verts: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Return the median distance from each bone to the skin that lies nearest to it."""
    start, end = joints[[a for a, _ in BONES]], joints[[b for _, b in BONES]]
    along = end - start
    share = ((verts[:, None] - start) * along).sum(-1) / (along**2).sum(-1)
    distance = np.linalg.norm(verts[:, None] - start - np.clip(share, 0, 1)[..., None] * along, axis=-1)
    nearest = distance.argmin(1)
    return np.array([np.median(distance[nearest == bone, bone]) for bone in range(len(BONES))], np.float32)


def _backwards(joint: str, spread: np.ndarray) -> np.ndarray:
    """Return the direction from a joint to the back of the hand or finger: that of the finger's nail."""
    if joint == "wrist":
        return np.array([0.0, 0.0, -1.0])
    return spread[3 * BONE_FINGERS.index(joint[:-1]) + min(int(joint[-1]), 3) - 1]
