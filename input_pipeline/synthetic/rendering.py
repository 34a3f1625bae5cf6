"""Drawing a scene: one ray a pixel, four more where edges run, shadows, camera.

Colours are linear until `_photographed` turns them into 8-bit sRGB-like values.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import UInt8

from input_pipeline.synthetic.look import Look
from input_pipeline.synthetic.raycast import Hits
from input_pipeline.synthetic.scene import Scene
from input_pipeline.synthetic.shading import openness, shaded
from input_pipeline.synthetic.skin import WRIST_BORDER_M
from input_pipeline.synthetic.stage import NORMAL, OBJECT, REST_Y, Stage

_EDGE_SAMPLES = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]], np.float32)


def draw(
    scene: Scene, stage: Stage, look: Look, size: int, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "s s 3"], UInt8[np.ndarray, "s s"]]:
    """The picture (RGB) and its segmentation (0 background, 1 right hand, 2 left hand, 3 object)."""
    stage = dataclasses.replace(stage, openness=openness(stage.caster, stage.verts_m, stage.attributes[:, NORMAL]))
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
    colour, key = shaded(stage, look, hits, _rays(grid, scene.intrinsics))
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
    (ambient, direct), key = shaded(stage, look, hits, rays)
    colour = ambient + key[:, None] * direct
    behind = np.repeat(backdrop[rows, columns], len(_EDGE_SAMPLES), axis=0)
    colour = np.where((hits.triangle >= 0)[:, None], colour, behind)
    image[rows, columns] = colour.reshape(len(rows), len(_EDGE_SAMPLES), 3).mean(1)


def _backdrop_light(scene: Scene, stage: Stage, look: Look, size: int) -> np.ndarray:
    """How much of the light reaches the wall behind the scene, for each pixel (cast at a quarter of the resolution)."""
    small = max(size // 4, 16)
    step = size / small
    centres = (np.arange(small) + 0.5) * step - 0.5
    rays = _rays(np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2).astype(np.float32), scene.intrinsics)
    near = stage.verts_m[stage.attributes[:, REST_Y] > WRIST_BORDER_M, 2]
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
    display = display + look.noise * rng.standard_normal(display.shape, np.float32)
    return (np.clip(display, 0, 1) * 255 + 0.5).astype(np.uint8)


def _labels(stage: Stage, hits: Hits) -> np.ndarray:
    """Segmentation of each ray: owner + 1, but 0 for arms and where nothing is hit."""
    found = hits.triangle >= 0
    corner = stage.faces[hits.triangle]
    y = (stage.attributes[corner, REST_Y] * hits.barycentric).sum(-1)
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
