"""Drawing a scene: one ray a pixel that triangles can cover, four more where edges run, shadows, camera.

Colours are linear until `photographed` turns them into 8-bit sRGB-like values.
"""

import dataclasses
import statistics

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from input_pipeline.synthetic.look import Look
from input_pipeline.synthetic.raycast import Hits
from input_pipeline.synthetic.scene import Scene
from input_pipeline.synthetic.shading import openness, shaded
from input_pipeline.synthetic.skin import WRIST_BORDER_M
from input_pipeline.synthetic.stage import NORMAL, REST_Y, Stage
from input_pipeline.synthetic.visibility import OBJECT

_EDGE_SAMPLES = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]], np.float32)
_TILE_PX = 4
_NEAR_M = 0.01
_UPWARDS = np.array([[0], [-1], [0]], np.float32)
_GAMMA = np.linspace(0, 1, 1 << 16, dtype=np.float32) ** np.float32(1 / 2.2)
_NORMAL = np.array([statistics.NormalDist().inv_cdf((k + 0.5) / 256) for k in range(256)], np.float32)
"""A normal distribution in 256 steps, fine enough for noise that ends up in a few of 256 grey levels."""


def draw(
    scene: Scene, stage: Stage, look: Look, size: int, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s"]]:
    """Return the picture (RGB) and its segmentation (0 background, 1 right hand, 2 left hand, 3 object)."""
    image, labels = radiance(scene, stage, look, size)
    return photographed(image, look, rng), labels


def radiance(
    scene: Scene, stage: Stage, look: Look, size: int
) -> tuple[Float[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s"]]:
    """Return the light that reaches each pixel, and the segmentation: the picture that no camera has taken yet."""
    rows, columns = np.nonzero(_covered(stage, scene.intrinsics, size))
    rays = _rays(np.stack([columns, rows], -1), scene.intrinsics)
    hits = stage.caster.nearest(np.zeros_like(rays), rays)
    found = np.flatnonzero(hits.triangle >= 0)
    hits, rays, pixels = hits[found], rays[found], (rows[found], columns[found])
    around = _verts_around(stage.faces, hits.triangle, len(stage.verts_m))
    open_share = openness(stage.caster, stage.verts_m, stage.attributes[:, NORMAL], around)
    stage = dataclasses.replace(stage, openness=open_share)

    labels = np.zeros((size, size), np.uint8)
    labels[pixels] = _labels(stage, hits)
    surface = np.full((size, size), -1, np.int16)
    surface[pixels] = stage.owner[hits.triangle]
    depth = np.full((size, size), 9.0, np.float32)
    depth[pixels] = hits.distance_m

    edge = _edges(surface, depth)
    inner = np.flatnonzero(~edge[pixels])
    hits, rays, pixels = hits[inner], rays[inner], (pixels[0][inner], pixels[1][inner])
    backdrop = look.backdrop * _backdrop_light(scene, stage, look, size)[..., None]
    image = backdrop.copy()
    ambient, direct, key = shaded(stage, look, hits, rays)
    shadow = np.zeros((size, size), np.float32)
    shadow[pixels] = key
    smooth = _blurred_within(shadow, (surface >= 0) & ~edge, look.shadow_blur_px)[pixels]
    image[pixels] = ambient + smooth[:, None] * direct
    _antialias(image, backdrop, edge, scene, stage, look)
    return image, labels


def coarse_labels(
    scene: Scene, stage: Stage, size: int, step_px: int
) -> tuple[UInt8[np.ndarray, " r"], Float[np.ndarray, "r 3"]]:
    """Return the segmentation at every `step_px`-th pixel of either axis, and the rays through these pixels."""
    centers = np.arange(step_px // 2, size, step_px)
    rays = _rays(np.stack(np.meshgrid(centers, centers), -1).reshape(-1, 2), scene.intrinsics)
    hits = stage.caster.nearest(np.zeros_like(rays), rays)
    found = hits.triangle >= 0
    labels = np.zeros(len(rays), np.uint8)
    labels[found] = _labels(stage, hits[found])
    return labels, rays


def _antialias(
    image: np.ndarray, backdrop: np.ndarray, edge: np.ndarray, scene: Scene, stage: Stage, look: Look
) -> None:
    """Replace edge pixels by the mean of four samples each, in place."""
    rows, columns = np.nonzero(edge)
    centers = np.stack([columns, rows], -1).astype(np.float32)
    rays = _rays((centers[:, None] + _EDGE_SAMPLES).reshape(-1, 2), scene.intrinsics)
    hits = stage.caster.nearest(np.zeros_like(rays), rays)
    found = np.flatnonzero(hits.triangle >= 0)
    ambient, direct, key = shaded(stage, look, hits[found], rays[found])
    color = np.repeat(backdrop[rows, columns], len(_EDGE_SAMPLES), axis=0)
    color[found] = ambient + key[:, None] * direct
    image[rows, columns] = color.reshape(len(rows), len(_EDGE_SAMPLES), 3).mean(1)


def _backdrop_light(scene: Scene, stage: Stage, look: Look, size: int) -> np.ndarray:
    """Return how much of the light reaches the wall behind the scene, for each pixel (cast at a quarter of the
    resolution).
    """
    if look.backdrop_gap_m is None or look.to_light[2] > -0.15:
        return np.ones((size, size), np.float32)
    small = max(size // 4, 16)
    step = size / small
    centers = (np.arange(small) + 0.5) * step - 0.5
    rays = _rays(np.stack(np.meshgrid(centers, centers), -1).reshape(-1, 2), scene.intrinsics)
    near = stage.verts_m[stage.attributes[:, REST_Y] > WRIST_BORDER_M, 2]
    wall = rays * (float(near.max(initial=0)) + look.backdrop_gap_m)
    normals = np.broadcast_to(np.array([0, 0, -1.0]), wall.shape)
    towards = np.broadcast_to(look.to_light, wall.shape)
    free = 1 - stage.caster.blocked(wall, normals, towards).reshape(small, small).astype(np.float32)
    blur = 0.8 + 12 * look.backdrop_gap_m * small / 64
    soft = cv2.GaussianBlur(free, (0, 0), blur)
    strength = look.light.mean() / (look.light.mean() + look.ambient(_UPWARDS).mean())
    return 1 - strength * (1 - cv2.resize(soft, (size, size), interpolation=cv2.INTER_LINEAR))


def _blurred_within(values: np.ndarray, mask: np.ndarray, sigma: float) -> np.ndarray:
    """Blur that does not mix in values from outside the mask, where they are 0."""
    weight = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma)
    total = cv2.GaussianBlur(values, (0, 0), sigma)
    return total / np.maximum(weight, 1e-4)


def photographed(image: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """Apply exposure, soft clipping, gamma, lens blur and sensor noise."""
    exposed = image * np.float32(look.exposure)
    exposed /= 1 + np.float32(0.18) * exposed
    exposed *= np.float32(len(_GAMMA) - 1)
    display: np.ndarray = _GAMMA.take(exposed.astype(np.int32), mode="clip")
    if look.blur_px > 0:
        display = cv2.GaussianBlur(display, (0, 0), look.blur_px)
    grain: np.ndarray = cv2.LUT(np.frombuffer(rng.bytes(display.size), np.uint8).reshape(display.shape), _NORMAL)
    grain *= np.float32(look.noise)
    display += grain
    return cv2.convertScaleAbs(np.maximum(display, 0, out=display), alpha=255)


def _labels(stage: Stage, hits: Hits) -> np.ndarray:
    """Return the segmentation where rays hit: owner + 1, but 0 for arms and props."""
    y = np.einsum("nk,nk->n", stage.attributes[stage.faces[hits.triangle], REST_Y], hits.barycentric)
    owner = stage.owner[hits.triangle]
    return np.where((owner == OBJECT) | ((owner < OBJECT) & (y > WRIST_BORDER_M)), owner + 1, 0)


def _edges(surface: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return pixels beside another surface or a jump in depth."""
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


def _covered(stage: Stage, intrinsics: np.ndarray, size: int) -> np.ndarray:
    """Return pixels in those tiles of the image that the triangles' bounding boxes touch."""
    if stage.verts_m[:, 2].min(initial=np.inf) < _NEAR_M:
        return np.ones((size, size), bool)
    pixels = stage.verts_m @ intrinsics.T.astype(np.float32)
    tile = pixels[:, :2] / pixels[:, 2:] / np.float32(_TILE_PX)
    count = -(-size // _TILE_PX)
    a, b, c = (tile[stage.faces[:, k]] for k in range(3))
    margin = np.float32(1 / _TILE_PX)
    low = np.clip(np.floor(np.minimum(np.minimum(a, b), c) - margin), 0, count).astype(int)
    high = np.clip(np.floor(np.maximum(np.maximum(a, b), c) + margin) + 1, 0, count).astype(int)
    (x0, y0), (x1, y1) = low.T, high.T
    corners = np.zeros((count + 1) ** 2, int)  # +1 where a box begins, -1 where it ends: the sums count boxes
    for x, y, sign in ((x0, y0, 1), (x1, y0, -1), (x0, y1, -1), (x1, y1, 1)):
        corners += sign * np.bincount(y * (count + 1) + x, minlength=len(corners))
    tiles = corners.reshape(count + 1, count + 1).cumsum(0).cumsum(1)[:count, :count] > 0
    return tiles.repeat(_TILE_PX, 0).repeat(_TILE_PX, 1)[:size, :size]


def _verts_around(faces: np.ndarray, triangles: np.ndarray, count: int) -> np.ndarray:
    """Return whether each vertex belongs to one of the triangles or to a neighbour of them."""
    touched = np.zeros(count, bool)
    touched[faces[triangles]] = True
    touched[faces[touched[faces[:, 0]] | touched[faces[:, 1]] | touched[faces[:, 2]]]] = True
    return touched


def _rays(pixels: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Return directions with z = 1 through pixels, so that the distance along them is the depth."""
    focal, principal = np.diag(intrinsics)[:2], intrinsics[:2, 2]
    rays = np.ones((len(pixels), 3), np.float32)
    rays[:, :2] = (pixels - principal) / focal
    return rays
