"""Sampling of scenes: hands, object, and the camera that looks at them. Everything ends up in the camera's frame.

Views are natural ones: fingers roughly up, palm, back or side towards the camera, with moderate variation, so that the
mean pose is an honest baseline.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.contact import advanced, penetration_m, self_penetration_m
from input_pipeline.synthetic.grasp import MAX_PENETRATION_M, MAX_SELF_PENETRATION_M, grasp, release
from input_pipeline.synthetic.objects import Solid
from occrobnet_jax.geometry.rotations import axis_angle_to_matrix
from occrobnet_jax.hands.embedded_hand import LIMITS_DEG, Pose, PosedHand, clipped_to_limits, load_hand, resting
from occrobnet_jax.skeleton import LEFT, RIGHT

Hands = tuple[PosedHand, ...]
DrawAngles = Callable[[np.random.Generator], np.ndarray]

MAX_HANDS_PENETRATION_M = 0.003
NEAREST_M = 0.12

_SECOND_HAND_TRIALS = 4
_FLAT = np.zeros((5, 4))
_NEIGHBORS = np.linalg.cholesky(0.6 ** np.abs(np.subtract.outer(np.arange(5), np.arange(5))))
"""Makes independent numbers correlate by 0.6 between neighbouring fingers, 0.36 between the next but one."""
_END_BY_MIDDLE = 0.63
"""One tendon bends the two outer joints of a finger: about two degrees of the end joint for three of the middle one."""
_THUMB_SHARE = np.array([0.5, 0.45, 0.3, 0.35])

_X, _Y, _Z = np.eye(3)
_FACING_CAMERA = np.diag([1.0, -1.0, -1.0])  # palm to the camera, fingers up


@dataclasses.dataclass(frozen=True)
class Scene:
    """Hands and object in the camera's frame, seen through `intrinsics`."""

    hands: Hands
    solid: Solid | None
    object_rotation: Float[np.ndarray, "3 3"]
    object_translation_m: Float[np.ndarray, " 3"]
    intrinsics: Float[np.ndarray, "3 3"]

    def moved(self, rotation: np.ndarray, shift_m: np.ndarray) -> "Scene":
        """Return the scene turned about the origin, then shifted."""
        return dataclasses.replace(
            self,
            hands=tuple(hand.moved(rotation, shift_m) for hand in self.hands),
            object_rotation=rotation @ self.object_rotation,
            object_translation_m=rotation @ self.object_translation_m + shift_m,
        )

    def object_verts_m(self) -> Float[np.ndarray, "v 3"]:
        """Return the object's vertices in the camera's frame."""
        if self.solid is None:
            return np.zeros((0, 3))
        return self.solid.verts_m @ self.object_rotation.T + self.object_translation_m


def sample_scene(
    kind: str, shape: np.ndarray, solid: Solid | None, image_size_px: int, rng: np.random.Generator
) -> Scene | None:
    """Return one attempt at a scene of a kind of skeleton.SCENE_KINDS; None where it turned out impossible."""
    scene = arranged(kind, shape, solid, free_angles, rng)
    return None if scene is None else framed(_viewed(scene, rng), image_size_px, rng)


def arranged(
    kind: str, shape: np.ndarray, solid: Solid | None, angles: DrawAngles, rng: np.random.Generator
) -> Scene | None:
    """Return one attempt at the hands (and object) of a scene, that no camera looks at yet.

    Args:
        kind: of skeleton.SCENE_KINDS.
        shape: of the hands.
        solid: the object, where the kind has one.
        angles: draws the fingers of hands that hold nothing.
        rng: draws all the rest.
    """
    if solid is None:
        hands = {"one_hand": _one_hand, "two_hands": _two_hands}[kind](shape, angles, rng)
    else:
        hands = {"hand_object": _hand_object, "two_hands_object": _two_hands_object}[kind](shape, solid, angles, rng)
    return None if hands is None else Scene(hands, solid, np.eye(3), np.zeros(3), np.eye(3))


def free_angles(rng: np.random.Generator) -> np.ndarray:
    """Draw finger angles of a hand that holds nothing, from a flat hand to a fist, with the synergies of real
    fingers.
    """
    for _ in range(30):
        together = rng.beta(0.8, 1.3)
        curl = together + rng.choice([0.07, 0.28]) * (_NEIGHBORS @ rng.normal(size=5))
        base, middle = curl + rng.normal(0, 0.09, 5), curl + rng.normal(0, 0.09, 5)
        angles = np.zeros((5, 4))
        angles[:, 0] = rng.normal(0, 5, 5) + (1 - together) * rng.uniform(-3, 8) * np.array([0, 1, 0.2, -0.6, -1.2])
        angles[:, 1] = -12 + 92 * base
        angles[:, 2] = 95 * middle
        angles[:, 3] = _END_BY_MIDDLE * angles[:, 2] + rng.normal(0, 4, 5)
        lowest, highest = LIMITS_DEG[0].T
        angles[0] = lowest + (highest - lowest) * np.clip(_THUMB_SHARE + _thumb_drift(together, rng), 0, 1)
        angles = clipped_to_limits(np.deg2rad(angles))
        pose = Pose(RIGHT, angles, np.zeros(10, np.float32), np.zeros(3))
        if self_penetration_m(pose.joints_m) < MAX_SELF_PENETRATION_M:
            return angles
    return np.zeros((5, 4))


def _thumb_drift(together: float, rng: np.random.Generator) -> np.ndarray:
    """Return the thumb's angles, as shares of their ranges, away from their means: it bends a little with
    the fingers.
    """
    return 0.3 * (together - 0.4) * np.array([0.5, 0.5, 1.0, 1.0]) + rng.normal(0, 0.17, 4)


def _free_hand(side: int, shape: np.ndarray, angles: DrawAngles, rng: np.random.Generator) -> PosedHand:
    return resting(Pose(side, angles(rng), shape, _forearm(rng)))


def _forearm(rng: np.random.Generator, extended_deg: float = 8.0) -> np.ndarray:
    bend = np.clip([rng.normal(extended_deg, 14), rng.normal(0, 12), rng.normal(0, 9)], -35, 55)
    return np.deg2rad(bend)


def _one_hand(shape: np.ndarray, angles: DrawAngles, rng: np.random.Generator) -> Hands | None:
    return (_free_hand(int(rng.integers(2)), shape, angles, rng),)


def _hand_object(shape: np.ndarray, solid: Solid, angles: DrawAngles, rng: np.random.Generator) -> Hands | None:
    side = int(rng.integers(2))
    if rng.random() < 0.25:
        hand = _beside_object(_free_hand(side, shape, angles, rng), solid, rng)
        return None if hand is None else (hand,)
    held = _held(solid, side, shape, rng)
    return None if held is None else (held,)


def _held(
    solid: Solid, side: int, shape: np.ndarray, rng: np.random.Generator, beside: PosedHand | None = None
) -> PosedHand | None:
    """Return a hand that holds the object, in some scenes with fingers released."""
    held = grasp(solid, Pose(side, _FLAT, shape, _forearm(rng)), rng, beside)
    if held is not None and rng.random() < 0.35:
        held = release(solid, held, rng)
    return None if held is None else held.hand


def _beside_object(hand: PosedHand, solid: Solid, rng: np.random.Generator) -> PosedHand | None:
    """Return a hand whose fingers know nothing of the object, moved towards it from anywhere until they
    nearly touch.
    """
    hand = hand.moved(random_rotation(rng), np.zeros(3))
    verts = hand.verts_m
    center = hand.joints_m[rng.integers(20)]
    direction = random_direction(rng)
    points = verts[load_hand().hand_verts[::3]] - center
    gap = rng.exponential(0.008)
    last = advanced(lambda at: float(solid.signed_distance_m(points + at * direction).min()) - gap, 0.3, 0.0)
    if last is None:
        return None
    moved = dataclasses.replace(hand, wrist_m=hand.wrist_m - center + last * direction)
    return moved if solid.signed_distance_m(moved.verts_m).min() > -0.002 else None


def _two_hands(shape: np.ndarray, angles: DrawAngles, rng: np.random.Generator) -> Hands | None:
    right, left = (_free_hand(side, shape, angles, rng) for side in (RIGHT, LEFT))
    left, approach = _arranged(left, rng)
    near = _approached(right, left, approach, rng)
    return None if near is None else (right, near)


def _arranged(left: PosedHand, rng: np.random.Generator) -> tuple[PosedHand, np.ndarray]:
    """Return the left hand turned against the right one's frame, and the direction from which it will come near."""
    kind = rng.choice(4, p=[0.25, 0.25, 0.25, 0.25])
    turned, in_front, side = _about(_Y, 180.0), np.array([0, 0, 1.0]), np.array([-1.0, 0, 0])
    if kind == 0:  # palms towards each other, fingers parallel or crossed
        rotation, approach = turned @ _about(_Z, rng.choice([-1.0, 1.0]) * rng.uniform(0, 60)), in_front
        left = resting(dataclasses.replace(left.pose, forearm=_forearm(rng, 30.0)))
    elif kind == 1:  # one palm on the other's back
        rotation, approach = _about(_Z, rng.normal(0, 25)), in_front * rng.choice([-1, 1])
    elif kind == 2:  # side by side, partly in front of each other
        rotation = _about(_Y, rng.normal(0, 40)) @ _about(_Z, rng.normal(0, 25))
        approach = side * rng.choice([-1, 1]) + rng.uniform(-0.9, 0.9) * in_front
    else:  # fingers towards each other, interlocking where they are spread
        rotation = _about(_Y, float(rng.choice([0.0, 180.0]))) @ _about(
            _Z, rng.choice([-1.0, 1.0]) * rng.uniform(40, 90)
        )
        approach = np.array([rng.normal(0, 0.5), 1.0, rng.normal(0, 0.5)])
    jitter = axis_angle_to_matrix(np.deg2rad(rng.normal(0, 10, 3)))
    approach = approach + rng.normal(0, 0.25, 3)
    return left.moved(jitter @ rotation, np.zeros(3)), approach / np.linalg.norm(approach)


def _approached(
    right: PosedHand, left: PosedHand, approach: np.ndarray, rng: np.random.Generator, solid: Solid | None = None
) -> PosedHand | None:
    """Return the left hand moved along a direction until it touches the right one (or the object) or nearly does."""
    joints, moving = right.joints_m, left.joints_m
    offset = joints[rng.integers(20)] - moving[rng.integers(20)] + rng.normal(0, 0.01, 3)
    skin = left.verts_m[load_hand().hand_verts[::8]] if solid is not None else None

    def clearance(at: float) -> float:
        shift = offset + at * approach
        free = MAX_HANDS_PENETRATION_M - float(penetration_m(joints, moving + shift))
        if solid is None or free < 0:
            return free
        return min(free, float(solid.signed_distance_m(skin + shift).min()) - 0.001)

    last = advanced(clearance, 0.35, -0.03)
    if last is None:
        return None
    gap = rng.exponential(0.02) if rng.random() < 0.4 else 0.0
    return left.moved(np.eye(3), offset + (last + gap) * approach)


def _two_hands_object(shape: np.ndarray, solid: Solid, angles: DrawAngles, rng: np.random.Generator) -> Hands | None:
    first = RIGHT if rng.random() < 0.5 else LEFT
    held = _held(solid, first, shape, rng)
    if held is None:
        return None
    for _ in range(_SECOND_HAND_TRIALS):
        if rng.random() < 0.6:
            second = _held(solid, 1 - first, shape, rng, held)
        else:
            free = _free_hand(1 - first, shape, angles, rng).moved(held.rotation @ _random_tilt(rng, 40.0), np.zeros(3))
            second = _approached(held, free, random_direction(rng), rng, solid)
        if second is not None and _apart(held, second, solid):
            return (held, second) if first == RIGHT else (second, held)
    return None


def _apart(first: PosedHand, second: PosedHand, solid: Solid) -> bool:
    """Return whether two hands and an object do not enter each other more than touching flesh does."""
    if penetration_m(first.joints_m, second.joints_m) > MAX_HANDS_PENETRATION_M:
        return False
    return float(solid.signed_distance_m(second.verts_m).min()) > -MAX_PENETRATION_M


def _viewed(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return the scene turned so that a hand is seen in a natural way, with the fingers of both roughly up."""
    hand = scene.hands[rng.integers(len(scene.hands))]
    palm = hand.rotation[:, 2]
    fingers = hand.rotation[:, 1] + sum(0.8 * other.rotation[:, 1] for other in scene.hands if other is not hand)
    upward = fingers - (fingers @ palm) * palm
    upward /= np.linalg.norm(upward)
    upright = np.stack([np.cross(upward, palm), upward, palm])
    yaw = rng.choice([0.0, 180.0, 90.0, -90.0], p=[0.58, 0.3, 0.06, 0.06]) + rng.normal(0, 20)
    view = _about(_Z, rng.normal(0, 14)) @ _about(_X, rng.normal(-6, 13)) @ _about(_Y, yaw)
    return scene.moved(view @ _FACING_CAMERA @ upright, np.zeros(3))


def framed(scene: Scene, image_size_px: int, rng: np.random.Generator) -> Scene | None:
    """Return the scene at a distance from the camera, and intrinsics under which it fills part of the image."""
    points = np.concatenate([hand.verts_m[load_hand().hand_verts] for hand in scene.hands])
    shown = np.concatenate([points, scene.object_verts_m()])
    center = (shown.min(0) + shown.max(0)) / 2
    shift = np.array([0, 0, rng.uniform(0.35, 1.1)]) - center
    shown = shown + shift
    if shown[:, 2].min() < NEAREST_M:
        return None
    flat = shown[:, :2] / shown[:, 2:]
    low, high = flat.min(0), flat.max(0)
    share = rng.uniform(0.5, 0.85)
    focal_px = share * image_size_px / (high - low).max()
    aspect = rng.uniform(0.99, 1.01)
    principal = (image_size_px - 1) / 2 + rng.normal(0, 0.02, 2) * image_size_px
    room = 1 - share * (high - low) / (high - low).max()
    reach = 1.25 if rng.random() < 0.15 else 0.8  # some scenes leave the image
    target_px = (image_size_px - 1) / 2 + rng.uniform(-0.5, 0.5, 2) * room * reach * image_size_px
    aim = (low + high) / 2 - (target_px - principal) / focal_px
    intrinsics = np.array([[focal_px * aspect, 0, principal[0]], [0, focal_px / aspect, principal[1]], [0, 0, 1]])
    return dataclasses.replace(aimed(scene.moved(np.eye(3), shift), aim), intrinsics=intrinsics)


def aimed(scene: Scene, aim: Float[np.ndarray, " 2"]) -> Scene:
    """Return the scene turned about the camera so that the direction (x, y, 1) becomes the optical axis."""
    forward = np.array([aim[0], aim[1], 1.0]) / np.sqrt(1 + aim @ aim)
    right = np.cross([0, 1.0, 0], forward)
    right /= np.linalg.norm(right)
    return scene.moved(np.stack([right, np.cross(forward, right), forward]), np.zeros(3))


def _about(axis: np.ndarray, angle_deg: float) -> np.ndarray:
    return axis_angle_to_matrix(np.deg2rad(angle_deg) * axis)


def _random_tilt(rng: np.random.Generator, spread_deg: float) -> np.ndarray:
    return axis_angle_to_matrix(np.deg2rad(rng.normal(0, spread_deg / np.sqrt(3), 3)))


def random_direction(rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    """Return a unit vector, uniform over the sphere."""
    direction = rng.normal(size=3)
    return direction / np.linalg.norm(direction)


def random_rotation(rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
    """Return a rotation, uniform over all of them."""
    quaternion = rng.normal(size=4)
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return axis_angle_to_matrix(2 * np.arccos(np.clip(w, -1, 1)) * np.array([x, y, z]) / max(np.sqrt(1 - w * w), 1e-9))
