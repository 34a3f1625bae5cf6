"""Linear blend skinning of a hand: MANO or the embedded hand, on NumPy and JAX arrays alike.

A model is a tree of bones that turn about pivots, and points (skin vertices, joint labels) that follow them. Bone 0
turns the whole hand about the wrist, bones 1 to 15 are the finger joints; a model may have further bones (the embedded
hand's forearm) that a 48-number pose leaves at rest. The zero pose is the rest pose ("flat mean").
"""

import dataclasses
import itertools
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from occrobnet_jax.geometry.rotations import axis_angle_to_matrix


@dataclasses.dataclass(frozen=True)
class SkinnedPoints:
    """Points that follow the bones, in rest pose (metres, the model's frame)."""

    rest_m: Float[np.ndarray, "p 3"]
    shape_m: Float[np.ndarray, "s p 3"]  # displacement for each shape number
    weights: Float[np.ndarray, "p bone"]  # rows sum to 1
    pose_m: Float[np.ndarray, "r p 3"] | None = None  # displacement for each entry of R - 1 of the finger joints (MANO)

    def shaped(self, shape: Float[Any, "*batch s"]) -> Float[Any, "*batch p 3"]:
        """Return the points in rest pose, of a hand of the given shape."""
        xp = shape.__array_namespace__()
        return _shaped(xp, self.rest_m, self.shape_m, shape)

    def __getitem__(self, rows: Any) -> "SkinnedPoints":
        """Return the same for some of the points only."""
        pose_m = None if self.pose_m is None else self.pose_m[:, rows]
        return SkinnedPoints(self.rest_m[rows], self.shape_m[:, rows], self.weights[rows], pose_m)


@dataclasses.dataclass(frozen=True)
class HandModel:
    """A hand that can be posed.

    `pose` is axis-angle in radians, `(..., 3 k)` with k at most the number of bones; `shape` holds one number for each
    shape displacement; `translation_m` is added last. All three share their leading axes.
    """

    parents: tuple[int, ...]  # -1 for bone 0; parents come before their children
    pivots_m: Float[np.ndarray, "bone 3"]
    shape_pivots_m: Float[np.ndarray, "s bone 3"]
    skin: SkinnedPoints
    joints: SkinnedPoints  # 21, InterHand2.6M's order
    faces: Int[np.ndarray, "f 3"]
    joint_regressor: Float[np.ndarray, "21 p"] | None = None  # where joints are means of skin: from `joints` to them

    def joints_m(
        self, pose: Float[Any, "*batch r"], shape: Float[Any, "*batch s"], translation_m: Float[Any, "*batch 3"]
    ) -> Float[Any, "*batch 21 3"]:
        """Return the 21 joints of the posed hand."""
        return self.turned_joints_m(_matrices(pose), shape) + translation_m[..., None, :]

    def verts_m(
        self, pose: Float[Any, "*batch r"], shape: Float[Any, "*batch s"], translation_m: Float[Any, "*batch 3"]
    ) -> Float[Any, "*batch v 3"]:
        """Return the skin vertices of the posed hand."""
        return self.skinned(self.skin, pose, shape) + translation_m[..., None, :]

    def skinned(
        self, points: SkinnedPoints, pose: Float[Any, "*batch r"], shape: Float[Any, "*batch s"]
    ) -> Float[Any, "*batch p 3"]:
        """Return any points of the hand, posed but not translated."""
        return self.turned(points, _matrices(pose), shape)

    def turned_joints_m(
        self, rotations: Float[Any, "*batch k 3 3"], shape: Float[Any, "*batch s"]
    ) -> Float[Any, "*batch 21 3"]:
        """Return the 21 joints of a hand whose first k bones are turned by rotation matrices; not translated."""
        joints = self.turned(self.joints, rotations, shape)
        if self.joint_regressor is None:
            return joints
        regressor = _asarray(joints.__array_namespace__(), self.joint_regressor, joints)
        return joints.__array_namespace__().broadcast_to(regressor, (*joints.shape[:-2], *regressor.shape)) @ joints

    def turned(
        self, points: SkinnedPoints, rotations: Float[Any, "*batch k 3 3"], shape: Float[Any, "*batch s"]
    ) -> Float[Any, "*batch p 3"]:
        """Return any points of the hand, its first k bones turned by rotation matrices; not translated."""
        xp = rotations.__array_namespace__()
        turn, shift = self._bone_transforms(rotations, shape)
        rest = points.shaped(shape)
        if points.pose_m is not None:
            fingers = rotations[..., 1:, :, :]
            identity = xp.broadcast_to(xp.eye(3, dtype=rotations.dtype), fingers.shape)
            change = (fingers - identity).reshape(*fingers.shape[:-3], -1)
            rest = rest + xp.tensordot(change, _asarray(xp, points.pose_m, rotations), axes=1)
        weights = _asarray(xp, points.weights, rotations)
        bones = xp.concat([turn, shift[..., None]], axis=-1)  # (..., bone, 3, 4)
        weights = xp.broadcast_to(weights, (*rotations.shape[:-3], *weights.shape))
        blended = (weights @ bones.reshape(*bones.shape[:-2], 12)).reshape(*rest.shape[:-1], 3, 4)
        return (blended[..., :3] @ rest[..., None])[..., 0] + blended[..., 3]

    def _bone_transforms(self, rotations: Float[Any, "*batch k 3 3"], shape: Float[Any, "*batch s"]) -> tuple[Any, Any]:
        """Return rotation (..., bone, 3, 3) and shift (..., bone, 3) that take each bone from the rest pose to the
        pose.
        """
        xp = rotations.__array_namespace__()
        pivots = _shaped(xp, self.pivots_m, self.shape_pivots_m, shape)
        missing = len(self.parents) - rotations.shape[-3]
        rest = xp.broadcast_to(xp.eye(3, dtype=rotations.dtype), (*rotations.shape[:-3], missing, 3, 3))
        own = xp.concat([rotations, rest], axis=-3)
        levels = self._levels()
        turns = [own[..., levels[0], :, :]]
        shifts = [pivots[..., levels[0], :] - _apply(turns[0], pivots[..., levels[0], :])]
        for parents, level in itertools.pairwise(levels):  # level by level, so that there is little to compile
            above = [parents.index(self.parents[bone]) for bone in level]
            parent_turn, parent_shift = turns[-1][..., above, :, :], shifts[-1][..., above, :]
            turn = parent_turn @ own[..., level, :, :]
            pivot = pivots[..., level, :]
            turns.append(turn)
            shifts.append(_apply(parent_turn, pivot) + parent_shift - _apply(turn, pivot))
        order = np.argsort(list(itertools.chain(*levels)))
        return xp.concat(turns, axis=-3)[..., order, :, :], xp.concat(shifts, axis=-2)[..., order, :]

    def _levels(self) -> list[list[int]]:
        """Return the bones by their distance from the root."""
        depth = [0]
        for parent in self.parents[1:]:
            depth.append(depth[parent] + 1)
        return [[bone for bone, at in enumerate(depth) if at == level] for level in range(max(depth) + 1)]


def mirrored(model: HandModel) -> HandModel:
    """Return the other hand: the model reflected in the plane x = 0, with the faces turned so that they
    look outwards.
    """
    flip = np.array([-1.0, 1.0, 1.0], dtype=model.pivots_m.dtype)

    def points(source: SkinnedPoints) -> SkinnedPoints:
        if source.pose_m is not None:
            raise ValueError("mirroring a model with pose corrections is not defined; load the other hand's own model")
        return dataclasses.replace(source, rest_m=source.rest_m * flip, shape_m=source.shape_m * flip)

    return HandModel(
        parents=model.parents,
        pivots_m=model.pivots_m * flip,
        shape_pivots_m=model.shape_pivots_m * flip,
        skin=points(model.skin),
        joints=points(model.joints),
        faces=np.ascontiguousarray(model.faces[:, ::-1]),
        joint_regressor=model.joint_regressor,
    )


def mirrored_pose(pose: Float[Any, "*batch r"]) -> Float[Any, "*batch r"]:
    """Return the pose that makes the mirrored model the mirror image: axis-angle (x, y, z) becomes (x, -y, -z)."""
    xp = pose.__array_namespace__()
    vectors = pose.reshape(*pose.shape[:-1], -1, 3)
    return (vectors * xp.asarray([1.0, -1.0, -1.0], dtype=pose.dtype)).reshape(pose.shape)


def _matrices(pose: Float[Any, "*batch r"]) -> Float[Any, "*batch k 3 3"]:
    """Return rotation matrices of a pose in axis-angle."""
    return axis_angle_to_matrix(pose.reshape(*pose.shape[:-1], -1, 3))


def _apply(turn: Any, points: Any) -> Any:
    return (turn @ points[..., None])[..., 0]


def _shaped(xp: Any, rest_m: np.ndarray, shape_m: np.ndarray, shape: Any) -> Any:
    """Return the rest points (p, 3) with the displacements (s, p, 3) of a shape (..., s) added."""
    moved = xp.tensordot(shape, _asarray(xp, shape_m, shape), axes=1)
    return xp.broadcast_to(_asarray(xp, rest_m, shape), moved.shape) + moved


def _asarray(xp: Any, values: np.ndarray, like: Any) -> Any:
    return xp.asarray(values, dtype=like.dtype)
