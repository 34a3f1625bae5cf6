"""Procedural objects: meshes, exact signed distances, rest corners and symmetries.

Every family is a box or a solid of revolution about z (its profile a polygon in the half-plane r, z), the mug with a
handle added. The signed distance is that of the same profile, so that contact is measured on the surface that is drawn.
Rest pose: the bounding box is centred on the origin.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY

FAMILIES = ("box", "cylinder", "sphere", "capsule", "cone", "mug", "bottle")
HELD_OUT_FAMILY = "bottle"
"""Occurs in the test split only."""
INSTANCES_PER_FAMILY = 1000
"""object_id is 1000 times (1 + the family's index) plus the instance's number."""

SEGMENTS = 40
_SMOOTH_COSINE = np.cos(np.deg2rad(40.0))


@dataclasses.dataclass(frozen=True)
class Solid:
    """One object in its rest pose (metres)."""

    family: str
    half_extent_m: Float[np.ndarray, " 3"]
    profile_m: Float[np.ndarray, "k 2"] | None  # (r, z) polygon, from the axis below round to the axis above
    handle_m: Float[np.ndarray, " 4"] | None  # x of its centre, z of its centre, its radius, its thickness
    verts_m: Float[np.ndarray, "v 3"]
    normals: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]

    @property
    def symmetry(self) -> int:
        """Index into geometry.symmetry.OBJECT_SYMMETRY."""
        names = {"box": "box", "sphere": "sphere", "mug": "none"}
        return OBJECT_SYMMETRY.index(names.get(self.family, "any_turn_z"))

    def corners_m(self) -> Float[np.ndarray, "8 3"]:
        """Return the corners of the bounding box; bits 2, 1, 0 of a corner's number choose +x, +y, +z."""
        low, high = self.verts_m.min(0), self.verts_m.max(0)
        bits = (np.arange(8)[:, None] >> np.array([2, 1, 0])) & 1
        return np.where(bits, high, low).astype(np.float32)

    def signed_distance_m(self, points_m: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
        """Return distance to the surface, negative inside."""
        if self.profile_m is None:
            outside = np.abs(points_m) - self.half_extent_m
            inner = np.minimum(outside.max(-1), 0)
            return np.sqrt((np.maximum(outside, 0) ** 2).sum(-1)) + inner
        radial = np.hypot(points_m[..., 0], points_m[..., 1])
        distance = _polygon_distance(np.stack([radial, points_m[..., 2]], -1), self.profile_m)
        return distance if self.handle_m is None else np.minimum(distance, _torus_distance(points_m, self.handle_m))


def make_solid(family: str, rng: np.random.Generator, two_hands: bool = False) -> Solid:
    """Return an object of the family with random proportions that one hand, or two, can hold."""
    large = 1.35 if two_hands else 1.0
    if family == "box":
        return _box(_distinct_lengths(rng, large))
    if family == "mug":
        return _mug(rng, large)
    return _revolved(family, _centered(_PROFILES[family](rng, large)))


def ellipsoid_solid(radius_m: float, half_length_m: float) -> Solid:
    """Return an ellipsoid about z; of the sphere's family, though it has fewer symmetries."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)
    return _revolved("sphere", np.stack([radius_m * np.cos(angle), half_length_m * np.sin(angle)], -1))


def _distinct_lengths(rng: np.random.Generator, large: float) -> np.ndarray:
    """Draw edge lengths that differ by at least 15 %, so that the box has no further symmetry."""
    while True:
        lengths = np.array(
            [rng.uniform(0.018, 0.065), rng.uniform(0.04, 0.09) * large, rng.uniform(0.07, 0.19) * large]
        )
        ordered = np.sort(lengths)
        if (ordered[1:] / ordered[:-1]).min() > 1.15:
            return lengths


def _cylinder_profile(rng: np.random.Generator, large: float) -> np.ndarray:
    """Return a can whose lid is narrower than its body, so that its ends differ."""
    radius, height = rng.uniform(0.018, 0.04) * large, rng.uniform(0.07, 0.18) * large
    neck, lid = rng.uniform(0.75, 0.92) * radius, rng.uniform(0.06, 0.2) * height
    return np.array(
        [[0, 0], [radius, 0], [radius, height - lid], [neck, height - 0.9 * lid], [neck, height], [0, height]]
    )


def _sphere_profile(rng: np.random.Generator, large: float) -> np.ndarray:
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)
    return rng.uniform(0.025, 0.045) * large * np.stack([np.cos(angle), np.sin(angle)], -1)


def _capsule_profile(rng: np.random.Generator, large: float) -> np.ndarray:
    """Return two round ends of different radius."""
    low, length = rng.uniform(0.02, 0.034) * large, rng.uniform(0.05, 0.14) * large
    high = low * rng.uniform(0.5, 0.85)
    tilt = np.arcsin((low - high) / length)
    lower, upper = np.linspace(-np.pi / 2, tilt, 10), np.linspace(tilt, np.pi / 2, 9)
    bottom = low * np.stack([np.cos(lower), np.sin(lower)], -1)
    return np.concatenate([bottom, high * np.stack([np.cos(upper), np.sin(upper)], -1) + [0, length]])


def _cone_profile(rng: np.random.Generator, large: float) -> np.ndarray:
    """Return a tumbler, wider above."""
    low, height = rng.uniform(0.02, 0.03) * large, rng.uniform(0.08, 0.15) * large
    high = low * rng.uniform(1.25, 1.6)
    return np.array(
        [
            [0, 0],
            [low * 0.9, 0],
            [low, 0.004],
            [high, height],
            [high * 0.93, height],
            [high * 0.9, height * 0.94],
            [0, height * 0.94],
        ]
    )


def _bottle_profile(rng: np.random.Generator, large: float) -> np.ndarray:
    radius, height = rng.uniform(0.022, 0.036) * large, rng.uniform(0.15, 0.2) * large
    neck, shoulder = rng.uniform(0.3, 0.5) * radius, rng.uniform(0.5, 0.65) * height
    step = np.linspace(0, np.pi / 2, 7)
    curve = np.stack([neck + (radius - neck) * np.cos(step), shoulder + 0.2 * height * np.sin(step)], -1)
    cap = neck * 1.15
    return np.concatenate(
        [
            [[0, 0], [0.93 * radius, 0], [radius, 0.006]],
            curve,
            [[neck, 0.9 * height], [cap, 0.9 * height], [cap, height], [0, height]],
        ]
    )


_PROFILES = {
    "cylinder": _cylinder_profile,
    "sphere": _sphere_profile,
    "capsule": _capsule_profile,
    "cone": _cone_profile,
    "bottle": _bottle_profile,
}


def _centered(profile: np.ndarray) -> np.ndarray:
    profile = profile.astype(np.float64)
    profile[:, 1] -= (profile[:, 1].min() + profile[:, 1].max()) / 2
    return profile


def _box(lengths: np.ndarray) -> Solid:
    half = lengths / 2
    verts: list[np.ndarray] = []
    normals, faces = [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            u, v = (axis + 1) % 3, (axis + 2) % 3
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, u], corners[:, v] = [-1, 1, 1, -1], [-1, -1, 1, 1]
            base = 4 * len(verts)
            verts.append(corners * half)
            normals.append(np.tile(np.eye(3)[axis] * sign, (4, 1)))
            order = [[0, 1, 2], [0, 2, 3]] if sign > 0 else [[0, 2, 1], [0, 3, 2]]
            faces += [[base + k for k in triangle] for triangle in order]
    return Solid("box", half, None, None, np.concatenate(verts), np.concatenate(normals), np.array(faces, np.int32))


def _mug(rng: np.random.Generator, large: float) -> Solid:
    radius, height = rng.uniform(0.032, 0.042) * large, rng.uniform(0.08, 0.105) * large
    wall, floor = 0.9 * radius, 0.15 * height
    profile = _centered(np.array([[0, 0], [radius, 0], [radius, height], [wall, height], [wall, floor], [0, floor]]))
    handle = np.array([radius * 1.02, 0.0, 0.3 * height, 0.005 * large])
    body = _revolved("mug", profile)
    verts, normals, faces = torus_mesh(handle)
    return dataclasses.replace(
        body,
        handle_m=handle,
        verts_m=np.concatenate([body.verts_m, verts]),
        normals=np.concatenate([body.normals, normals]),
        faces=np.concatenate([body.faces, faces + len(body.verts_m)]),
    )


def _revolved(family: str, profile: np.ndarray) -> Solid:
    edge = np.diff(profile, axis=0)
    edge_normal = np.stack([edge[:, 1], -edge[:, 0]], -1) / np.linalg.norm(edge, axis=-1, keepdims=True)
    angle = np.linspace(0, 2 * np.pi, SEGMENTS, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    verts, normals, faces = [], [], []
    for i in range(len(edge)):
        for end in (0, 1):
            r, z = profile[i + end]
            nr, nz = _end_normal(edge_normal, i, end)
            verts.append(np.column_stack([r * circle, np.full(SEGMENTS, z)]))
            normals.append(np.column_stack([nr * circle, np.full(SEGMENTS, nz)]))
        low = 2 * i * SEGMENTS + np.arange(SEGMENTS)
        after = 2 * i * SEGMENTS + (np.arange(SEGMENTS) + 1) % SEGMENTS
        faces += [np.stack([low, after, after + SEGMENTS], -1), np.stack([low, after + SEGMENTS, low + SEGMENTS], -1)]
    verts_m = np.concatenate(verts)
    half = np.array([profile[:, 0].max(), profile[:, 0].max(), np.ptp(profile[:, 1]) / 2])
    return Solid(family, half, profile, None, verts_m, np.concatenate(normals), np.concatenate(faces).astype(np.int32))


def _end_normal(edge_normal: np.ndarray, i: int, end: int) -> np.ndarray:
    """Return the normal at one end of an edge: smooth across flat angles, sharp across steep ones."""
    other = i + (1 if end else -1)
    if not 0 <= other < len(edge_normal) or edge_normal[i] @ edge_normal[other] < _SMOOTH_COSINE:
        return edge_normal[i]
    mean = edge_normal[i] + edge_normal[other]
    return mean / np.linalg.norm(mean)


def torus_mesh(handle: np.ndarray, around: int = 24, across: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return vertices, normals and triangles of a ring about y: x and z of its center, its radius, its thickness."""
    x, z, radius, thickness = handle
    a, b = np.meshgrid(
        np.linspace(0, 2 * np.pi, around, endpoint=False),
        np.linspace(0, 2 * np.pi, across, endpoint=False),
        indexing="ij",
    )
    normals = np.stack([np.cos(a) * np.cos(b), np.sin(b), np.sin(a) * np.cos(b)], -1)
    center = np.stack([x + radius * np.cos(a), np.zeros_like(a), z + radius * np.sin(a)], -1)
    index = np.arange(around * across).reshape(around, across)
    right, up = np.roll(index, -1, 0), np.roll(index, -1, 1)
    diagonal = np.roll(right, -1, 1)
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((index, up, right), (up, diagonal, right))])
    # with x, z spanning the ring and y across it, (a, b) is left-handed: the order above makes the faces look outwards
    return (center + thickness * normals).reshape(-1, 3), normals.reshape(-1, 3), faces.astype(np.int32)


def _polygon_distance(points: np.ndarray, profile: np.ndarray) -> np.ndarray:
    """Return the signed distance in the half-plane (r, z) to the profile, closed along the axis (which is no
    surface).
    """
    r, z = (np.ascontiguousarray(points[..., k], np.float32).reshape(-1) for k in (0, 1))
    (r0, z0), (r1, z1) = (profile[part].astype(np.float32).T[..., None] for part in (slice(-1), slice(1, None)))
    dr, dz = r1 - r0, z1 - z0
    along_r, along_z = r - r0, z - z0  # (edge, point)
    share = along_r * (dr / (dr * dr + dz * dz)) + along_z * (dz / (dr * dr + dz * dz))
    np.clip(share, 0, 1, out=share)
    nearest = ((along_r - share * dr) ** 2 + (along_z - share * dz) ** 2).min(0)
    slope = dr / np.where(dz == 0, 1, dz)
    crossed = ((z0 > z) != (z1 > z)) & (along_r < along_z * slope)
    inside = np.logical_xor.reduce(crossed, axis=0)
    distance = np.sqrt(nearest)
    return np.where(inside, -distance, distance).reshape(points.shape[:-1])


def _torus_distance(points: np.ndarray, handle: np.ndarray) -> np.ndarray:
    x, z, radius, thickness = handle
    ring = np.hypot(points[..., 0] - x, points[..., 2] - z) - radius
    return np.hypot(ring, points[..., 1]) - thickness
