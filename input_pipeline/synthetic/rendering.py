"""Drawing a scene: one ray a pixel, four more where edges run, shadows, ambient occlusion, camera.

Colours are linear until `_photographed` turns them into 8-bit sRGB-like values.
"""

import dataclasses
import functools

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from input_pipeline.synthetic.backgrounds import background, palette, print_image
from input_pipeline.synthetic.hand import load_hand
from input_pipeline.synthetic.raycast import Hits, RayCaster
from input_pipeline.synthetic.scene import Scene
from input_pipeline.synthetic.skin import WRIST_BORDER_M, Subject, vertex_normals

OBJECT = 2
"""Owner number of the object's triangles; those of the hands are 0 (right) and 1 (left)."""

_NORMAL, _COLOUR, _REST, _GLOSS = slice(0, 3), slice(3, 6), slice(6, 9), 9
_AMBIENT_RAYS, _AMBIENT_REACH_M = 12, 0.09
_EDGE_SAMPLES = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]], np.float32)
_UNDER_SKIN = np.array([1.0, 0.45, 0.3], np.float32)


@dataclasses.dataclass(frozen=True)
class Stage:
    """All triangles of a scene, with what shading needs at each vertex, and the ray caster over them."""

    verts_m: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    owner: Int[np.ndarray, " f"]
    attributes: Float[np.ndarray, "v 10"]
    openness: Float[np.ndarray, " v"]  # share of the hemisphere above a vertex that nothing near covers
    hand_verts: tuple[slice, ...]  # vertices of each of the scene's hands
    caster: RayCaster


@dataclasses.dataclass(frozen=True)
class Look:
    """Everything about a picture that is not geometry."""

    to_light: Float[np.ndarray, " 3"]
    light: Float[np.ndarray, " 3"]
    sky: Float[np.ndarray, " 3"]
    ground: Float[np.ndarray, " 3"]
    backdrop: Float[np.ndarray, "s s 3"]
    backdrop_gap_m: float
    print_: Float[np.ndarray, "p p 3"]
    print_gloss: float
    sleeve_colour: Float[np.ndarray, " 3"]
    sleeve_start_m: float  # rest y where the sleeve begins; below the arm's end: none
    exposure: float
    noise: float
    blur_px: float
    shadow_blur_px: float


def sample_look(size: int, print_rng: np.random.Generator, rng: np.random.Generator) -> Look:
    """Light, colours and camera of one picture; the print comes from the object's own random stream."""
    direction = rng.normal(size=3) + [0, -0.8, -1.4]  # mostly from above, on the camera's side
    warmth = rng.normal(0, 0.12)
    light = np.array([1 + warmth, 1.0, 1 - warmth]) * rng.uniform(0.6, 1.5)
    sky = np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth]) * rng.uniform(0.25, 0.7)
    return Look(
        to_light=(direction / np.linalg.norm(direction)).astype(np.float32),
        light=light.astype(np.float32),
        sky=sky.astype(np.float32),
        ground=(sky * rng.uniform(0.3, 0.9) * (0.7 + 0.3 * palette(rng, 1)[0])).astype(np.float32),
        backdrop=background(rng, size),
        backdrop_gap_m=rng.uniform(0.03, 0.5),
        print_=print_image(print_rng),
        print_gloss=float(print_rng.choice([0.02, 0.1, 0.5])),
        sleeve_colour=(palette(rng, 1)[0] ** 2.2).astype(np.float32),
        sleeve_start_m=-rng.uniform(0.035, 0.12) if rng.random() < 0.6 else -1.0,
        exposure=rng.uniform(0.75, 1.35),
        noise=rng.uniform(0.0, 0.018),
        blur_px=rng.choice([0.0, 0.4, 0.7]) * size / 256,
        shadow_blur_px=rng.uniform(1.0, 4.0) * size / 256,
    )


def build_stage(scene: Scene, subject: Subject) -> Stage:
    """Puts the scene's meshes together."""
    verts, faces, owners, attributes, spans, count = [], [], [], [], [], 0
    for hand in scene.hands:
        model = load_hand().models[hand.side]
        skin, rest = hand.verts_m.astype(np.float32), model.skin.rest_m
        normals = vertex_normals(skin, model.faces)
        verts.append(skin)
        attributes.append(np.column_stack([normals, subject.skin, rest, np.full(len(skin), subject.gloss)]))
        faces.append(model.faces + count)
        owners.append(np.full(len(model.faces), hand.side))
        spans.append(slice(count, count + len(skin)))
        count += len(skin)
    if scene.solid is not None:
        solid = scene.solid
        normals = solid.normals @ scene.object_rotation.T
        verts.append(scene.object_verts_m())
        attributes.append(np.column_stack([normals, np.ones_like(normals), solid.verts_m, np.zeros(len(normals))]))
        faces.append(solid.faces + count)
        owners.append(np.full(len(solid.faces), OBJECT))
    verts_m, all_faces = np.concatenate(verts).astype(np.float32), np.concatenate(faces)
    caster = RayCaster(verts_m, all_faces)
    return Stage(
        verts_m,
        all_faces,
        np.concatenate(owners),
        np.concatenate(attributes).astype(np.float32),
        np.ones(len(verts_m), np.float32),
        tuple(spans),
        caster,
    )


def draw(
    scene: Scene, stage: Stage, look: Look, size: int, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s"]]:
    """The picture (RGB) and its segmentation (0 background, 1 right hand, 2 left hand, 3 object)."""
    stage = dataclasses.replace(stage, openness=_openness(stage.caster, stage.verts_m, stage.attributes[:, _NORMAL]))
    x0, y0, x1, y1 = _box_px(stage.verts_m, scene.intrinsics, size)
    grid = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1).reshape(-1, 2).astype(np.float32)
    hits = stage.caster.nearest(np.zeros((len(grid), 3)), _rays(grid, scene.intrinsics))
    labels = np.zeros((size, size), np.uint8)
    labels[y0:y1, x0:x1] = _labels(stage, hits).reshape(y1 - y0, x1 - x0)

    surface = np.full((size, size), -1, np.int16)
    depth = np.full((size, size), 9.0, np.float32)
    found = hits.triangle >= 0
    surface[y0:y1, x0:x1] = np.where(found, stage.owner[hits.triangle], -1).reshape(y1 - y0, x1 - x0)
    depth[y0:y1, x0:x1] = np.where(found, hits.distance_m, 9.0).reshape(y1 - y0, x1 - x0)
    edge = _edges(surface, depth)

    backdrop = look.backdrop * _backdrop_light(scene, stage, look, size)[..., None]
    image = backdrop.copy()
    colour, key = _shaded(stage, look, hits, _rays(grid, scene.intrinsics))
    shadow = np.ones((size, size), np.float32)
    shadow[y0:y1, x0:x1] = key.reshape(y1 - y0, x1 - x0)
    smooth = _blurred_within(shadow, surface >= 0, look.shadow_blur_px)[y0:y1, x0:x1].reshape(-1, 1)
    inner = image[y0:y1, x0:x1].reshape(-1, 3)
    inner[found] = (colour[0] + smooth * colour[1])[found]
    image[y0:y1, x0:x1] = inner.reshape(y1 - y0, x1 - x0, 3)
    _antialias(image, backdrop, edge, scene, stage, look)
    return _photographed(image, look, rng), labels


def _antialias(
    image: np.ndarray, backdrop: np.ndarray, edge: np.ndarray, scene: Scene, stage: Stage, look: Look
) -> None:
    """Replaces edge pixels by the mean of four samples each, in place."""
    rows, columns = np.nonzero(edge)
    if not len(rows):
        return
    centres = np.stack([columns, rows], -1).astype(np.float32)
    rays = _rays((centres[:, None] + _EDGE_SAMPLES).reshape(-1, 2), scene.intrinsics)
    hits = stage.caster.nearest(np.zeros_like(rays), rays)
    (ambient, direct), key = _shaded(stage, look, hits, rays)
    colour = ambient + key[:, None] * direct
    behind = np.repeat(backdrop[rows, columns], len(_EDGE_SAMPLES), axis=0)
    colour = np.where((hits.triangle >= 0)[:, None], colour, behind)
    image[rows, columns] = colour.reshape(len(rows), len(_EDGE_SAMPLES), 3).mean(1)


def _shaded(stage: Stage, look: Look, hits: Hits, rays: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Ambient and direct colour of each hit, and whether the light reaches it (0 or 1)."""
    found = np.flatnonzero(hits.triangle >= 0)
    triangle = hits.triangle[found]
    weight = hits.barycentric[found][..., None]
    corner = stage.faces[triangle]
    value = sum(weight[:, k] * stage.attributes[corner[:, k]] for k in range(3))
    normal = _unit(value[:, _NORMAL])
    view = -_unit(rays[found])
    normal = np.where(
        ((normal * view).sum(-1) < 0)[:, None], normal - 1.02 * (normal * view).sum(-1)[:, None] * view, normal
    )
    is_object = stage.owner[triangle] == OBJECT
    colour, gloss = _surface(value, normal, is_object, stage, look)

    cosine = normal @ look.to_light
    wrap = np.where(is_object, 0.0, 0.22)[:, None] * np.array(
        [1.0, 0.45, 0.3]
    )  # light that wanders under the skin reddens
    lambert = np.clip((cosine[:, None] + wrap) / (1 + wrap), 0, None)
    half = _unit(view + look.to_light)
    highlight = (
        np.clip((normal * half).sum(-1), 0, 1) ** np.where(is_object, 60, 22).astype(np.float32) * gloss * (cosine > 0)
    )
    up = (1 - normal[:, 1:2]) / 2
    hemisphere = up * look.sky + (1 - up) * look.ground
    occlusion = (stage.openness[corner] * hits.barycentric[found]).sum(-1)[:, None]
    bounce = colour * (1 - occlusion) * 0.35  # light between close surfaces takes on their colour
    ambient = colour * hemisphere * np.clip(occlusion + bounce, 0, 1)
    direct = (colour * lambert + highlight[:, None]) * look.light

    position = rays[found] * hits.distance_m[found, None]
    lit = cosine > -0.2
    key = np.zeros(len(found), np.float32)
    towards = np.broadcast_to(look.to_light, (int(lit.sum()), 3))
    key[lit] = ~stage.caster.blocked(position[lit] + 6e-4 * view[lit], normal[lit], towards)
    return (_scattered(ambient, found, len(rays)), _scattered(direct, found, len(rays))), _scattered(
        key, found, len(rays)
    )


def _surface(
    value: np.ndarray, normal: np.ndarray, is_object: np.ndarray, stage: Stage, look: Look
) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance and gloss where rays hit: skin with fine mottling, sleeve, or the object's print."""
    rest = value[:, _REST]
    colour, gloss = value[:, _COLOUR].copy(), value[:, _GLOSS].copy()
    mottle = np.sin(rest * 1900.0).sum(-1) * np.sin(rest[:, ::-1] * 1130.0).sum(-1)
    colour *= 1 + 0.012 * mottle[:, None]
    sleeve = ~is_object & (rest[:, 1] < look.sleeve_start_m)
    weave = 1 + 0.05 * np.sin(rest[sleeve] * 1500.0).sum(-1)
    colour[sleeve] = look.sleeve_colour * weave[:, None]
    gloss[sleeve] = 0.0
    gloss[is_object] = look.print_gloss
    if is_object.any():
        colour[is_object] = _printed(rest[is_object], stage, look)
    return colour, gloss


def _printed(rest: np.ndarray, stage: Stage, look: Look) -> np.ndarray:
    """The object's colour at points of its rest surface: the print wrapped around z."""
    half = np.abs(stage.attributes[stage.faces[stage.owner == OBJECT].ravel()][:, _REST]).max(0)
    across = np.arctan2(rest[:, 1] / half[1], rest[:, 0] / half[0]) / (2 * np.pi) + 0.5
    along = rest[:, 2] / (2 * half[2]) + 0.5
    size = len(look.print_)
    columns, rows = across * (size - 1), (1 - along) * (size - 1)
    return cv2.remap(
        look.print_.astype(np.float32),
        columns.astype(np.float32)[None],
        rows.astype(np.float32)[None],
        cv2.INTER_LINEAR,
    )[0]


def _openness(caster: RayCaster, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Share of the hemisphere above each vertex (of those that face the camera) that nothing near covers."""
    facing = np.flatnonzero((points * normals).sum(-1) < 0.2 * np.linalg.norm(points, axis=-1))
    directions = _unit(normals[facing, None] * np.float32(1.02) + _sphere(_AMBIENT_RAYS)).reshape(-1, 3)
    repeated = np.repeat(normals[facing], _AMBIENT_RAYS, 0)
    origins = np.repeat(points[facing] + np.float32(4e-4) * normals[facing], _AMBIENT_RAYS, 0)
    covered = caster.blocked(origins, repeated, directions, _AMBIENT_REACH_M)
    free = np.ones(len(points), np.float32)
    free[facing] = 1 - 0.85 * covered.reshape(-1, _AMBIENT_RAYS).mean(1)
    return free


@functools.cache
def _sphere(count: int) -> np.ndarray:
    """Evenly spread unit vectors (Fibonacci)."""
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], -1).astype(np.float32)


def _backdrop_light(scene: Scene, stage: Stage, look: Look, size: int) -> np.ndarray:
    """How much of the light reaches the wall behind the scene, for each pixel (cast at a quarter of the resolution)."""
    small = max(size // 4, 16)
    step = size / small
    centres = (np.arange(small) + 0.5) * step - 0.5
    rays = _rays(np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2).astype(np.float32), scene.intrinsics)
    near = stage.verts_m[stage.attributes[:, _REST.start + 1] > WRIST_BORDER_M, 2]
    wall = rays * (float(near.max()) + look.backdrop_gap_m)
    normals = np.broadcast_to(np.array([0, 0, -1.0]), wall.shape)
    towards = np.broadcast_to(look.to_light, wall.shape)
    if look.to_light[2] > -0.15:
        return np.ones((size, size), np.float32)
    free = 1 - stage.caster.blocked(wall, normals, towards).reshape(small, small).astype(np.float32)
    blur = 0.8 + 12 * look.backdrop_gap_m * small / 64
    soft = cv2.GaussianBlur(free, (0, 0), blur)
    strength = look.light.mean() / (look.light.mean() + look.sky.mean())
    return 1 - strength * (1 - cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR))


def _blurred_within(values: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """Blur that does not mix in values from outside the mask."""
    weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
    total = cv2.GaussianBlur(np.where(mask, values, 0).astype(np.float32), (0, 0), sigma)
    return total / np.maximum(weight, 1e-4)


def _photographed(image: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Exposure, soft clipping, gamma, lens blur and sensor noise."""
    exposed = image * look.exposure
    display = cv2.pow(np.clip(exposed / (1 + 0.18 * exposed), 0, 1).astype(np.float32), 1 / 2.2)
    if look.blur_px > 0:
        display = cv2.GaussianBlur(display, (0, 0), look.blur_px)
    display += look.noise * rng.standard_normal(display.shape, np.float32)
    return (np.clip(display, 0, 1) * 255 + 0.5).astype(np.uint8)


def _labels(stage: Stage, hits: Hits) -> np.ndarray:
    """Segmentation of each ray: owner + 1, but 0 for arms and where nothing is hit."""
    found = hits.triangle >= 0
    corner = stage.faces[hits.triangle]
    y = (stage.attributes[corner, _REST.start + 1] * hits.barycentric).sum(-1)
    owner = stage.owner[hits.triangle]
    return np.where(found & ((owner == OBJECT) | (y > WRIST_BORDER_M)), owner + 1, 0)


def _edges(surface: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Pixels beside another surface or a jump in depth."""
    edge = np.zeros(surface.shape, bool)
    for axis in (0, 1):
        jump = (np.diff(surface, axis=axis) != 0) | (np.abs(np.diff(depth, axis=axis)) > 0.006)
        if axis == 0:
            edge[1:] |= jump
            edge[:-1] |= jump
        else:
            edge[:, 1:] |= jump
            edge[:, :-1] |= jump
    return edge


def _box_px(verts_m: np.ndarray, intrinsics: np.ndarray, size: int) -> tuple[int, int, int, int]:
    """Pixels that the meshes can cover; the whole image when part of them lies behind the camera."""
    if verts_m[:, 2].min() < 0.01:
        return 0, 0, size, size
    pixels = verts_m @ intrinsics.T.astype(np.float32)
    pixels = pixels[:, :2] / pixels[:, 2:]
    x0, y0 = np.clip(np.floor(pixels.min(0)).astype(int), 0, size - 1)
    x1, y1 = np.clip(np.ceil(pixels.max(0)).astype(int) + 1, [x0 + 1, y0 + 1], size)
    return int(x0), int(y0), int(x1), int(y1)


def _rays(pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Directions with z = 1 through pixels, so that the distance along them is the depth."""
    focal, principal = np.diag(intrinsics)[:2], intrinsics[:2, 2]
    return np.column_stack([(pixels - principal) / focal, np.ones(len(pixels))]).astype(np.float32)


def _scattered(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    spread = np.zeros((count, *values.shape[1:]), np.float32)
    spread[rows] = values
    return spread


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt(np.einsum("...i,...i", vectors, vectors))[..., None], 1e-9)
