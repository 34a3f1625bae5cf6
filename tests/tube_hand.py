"""A hand of tubes in MANO's file format: surfaces that rays can be shot at, which random numbers don't give."""

import functools
import tempfile
from pathlib import Path

import numpy as np

from occrobnet_jax.hands.mano_model import TIP_VERTS, Mano, load_mano
from occrobnet_jax.skeleton import FINGERS, LEFT, RIGHT
from tests.support.fake_datasets import BONE_LENGTHS_M, SPREAD_RAD
from tests.support.fake_mano import mano_record, write_both_hands
from tests.support.official_frames import MANO_ROOT_M

RINGS, SIDES, RADIUS_M = 6, 6, 0.009
NUM_VERTS, NUM_FACES = 778, 1538
BONE_FINGERS = ("index", "middle", "pinky", "ring", "thumb")  # MANO's order


def write_tube_hands(folder: Path) -> Path:
    """Writes MANO_RIGHT.pkl and MANO_LEFT.pkl."""
    return write_both_hands(folder, tube_hand)


@functools.cache
def tube_mano() -> Mano:
    """The hands of these files, as they are read."""
    with tempfile.TemporaryDirectory() as folder:
        return load_mano(write_tube_hands(Path(folder)))


def tube_hand(hand: int) -> dict[str, np.ndarray]:
    """The arrays of a file: fingers along -x (x for the left hand), the back of the hand along y."""
    rng = np.random.default_rng(hand)
    record = mano_record(rng)
    verts, faces, bones, tips, ring_of = _tubes()
    order = [vertex for vertex in range(NUM_VERTS) if vertex not in tips]
    for place, vertex in sorted(zip(TIP_VERTS["manopth"][hand], tips, strict=True)):
        order.insert(place, vertex)
    place_of = np.argsort(order)
    mirror = np.array([-1.0 if hand == LEFT else 1.0, 1.0, 1.0])
    regressor = np.zeros((16, NUM_VERTS))
    for joint, ring in ring_of.items():
        regressor[joint, place_of[ring]] = 1 / SIDES
    return record | {
        "v_template": verts[order] * mirror,
        "f": place_of[faces][:, :: -1 if hand == LEFT else 1],
        "weights": np.eye(16)[bones[order]],
        "J_regressor": regressor,
        "shapedirs": rng.normal(0, 5e-4, (NUM_VERTS, 3, 10)),
        "posedirs": rng.normal(0, 2e-4, (NUM_VERTS, 3, 135)),
        "hands_mean": rng.normal(0, 0.1, 45),
    }


def _tubes() -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int], dict[int, np.ndarray]]:
    """Vertices, faces, bone of each vertex, the fingertips' vertices, and the ring around each of MANO's joints."""
    verts, faces, bones, tips, ring_of = [], [], [], [], {}
    for finger in FINGERS:
        sideways = np.array([-np.cos(SPREAD_RAD[finger]), 0.0, -np.sin(SPREAD_RAD[finger])])
        ends = np.cumsum((0.0, *BONE_LENGTHS_M[finger]))
        for level in range(4):
            start = 38 * len(verts)
            bone = 1 + 3 * BONE_FINGERS.index(finger) + level - 1 if level else 0
            verts.append(MANO_ROOT_M[RIGHT] + _tube(sideways, ends[level], ends[level + 1]))
            faces.append(_tube_faces() + start)
            bones += 38 * [bone]
            if level or finger == "middle":
                ring_of[bone] = start + np.arange(SIDES)
        tips.append(start + 37)
    spare = NUM_VERTS - len(bones)
    all_verts = np.concatenate([*verts, np.repeat(MANO_ROOT_M[RIGHT][None], spare, axis=0)])
    unused = np.zeros((NUM_FACES - 72 * len(faces), 3), int)
    return all_verts, np.concatenate([*faces, unused]), np.array(bones + spare * [0]), tips, ring_of


def _tube(along: np.ndarray, start_m: float, end_m: float) -> np.ndarray:
    """Rings of vertices (6 x 6) around a line, then the middle of either end."""
    angle = 2 * np.pi * np.arange(SIDES) / SIDES
    up = np.array([0.0, 1.0, 0.0])
    ring = RADIUS_M * (np.cos(angle)[:, None] * up + np.sin(angle)[:, None] * np.cross(along, up))
    rings = np.linspace(start_m, end_m, RINGS)[:, None, None] * along + ring
    return np.concatenate([rings.reshape(-1, 3), [start_m * along, end_m * along]])


def _tube_faces() -> np.ndarray:
    """Triangles that look outwards."""
    faces = []
    for side in range(SIDES):
        after = (side + 1) % SIDES
        for ring in range(RINGS - 1):
            a, b = SIDES * ring + side, SIDES * ring + after
            faces += [(a, a + SIDES, b), (b, a + SIDES, b + SIDES)]
        last = SIDES * (RINGS - 1)
        faces += [(36, side, after), (37, last + after, last + side)]
    return np.array(faces)[:, ::-1]
