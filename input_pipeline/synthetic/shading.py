"""Colour of the points that rays hit: skin, sleeves and prints under one light and a sky.

Inside, vectors are (3, n): NumPy is several times faster on long rows than on many rows of three.
"""

import functools

import cv2
import numpy as np

from input_pipeline.synthetic.look import Look
from input_pipeline.synthetic.raycast import Hits, RayCaster
from input_pipeline.synthetic.stage import GLOSS, NORMAL, OBJECT, REST, Stage

_AMBIENT_RAYS, _AMBIENT_REACH_M = 9, 0.09
_REMAPPED_ROW = 1024  # points; OpenCV takes fewer than 32,768
_UNDER_SKIN = np.array([1.0, 0.45, 0.3], np.float32)
"""Light that wanders under the skin reddens."""


def shaded(stage: Stage, look: Look, hits: Hits, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ambient and direct color where rays hit, and whether the light reaches it (0 or 1); all rays must hit."""
    corner = stage.faces[hits.triangle]
    value = _interpolated(stage.attributes, corner, hits.barycentric)
    view = -_unit(rays.T)
    normal = _unit(value[NORMAL])
    normal -= np.minimum(_dot(normal, view), 0) * np.float32(1.02) * view
    is_object = stage.owner[hits.triangle] == OBJECT
    color, gloss = _surface(value, is_object, stage, look)

    cosine = look.to_light @ normal
    wrap = np.where(is_object, np.float32(0), np.float32(0.22)) * _UNDER_SKIN[:, None]
    lambert = np.maximum((cosine + wrap) / (1 + wrap), 0)
    alike = np.clip(_dot(normal, _unit(view + look.to_light[:, None])), 0, 1)
    highlight = alike ** np.where(is_object, np.float32(60), np.float32(22)) * gloss * (cosine > 0)
    occlusion = _interpolated(stage.openness[:, None], corner, hits.barycentric)
    bounce = color * (1 - occlusion) * 0.35  # light between close surfaces takes on their colour
    ambient = color * look.ambient(normal) * np.clip(occlusion + bounce, 0, 1)
    direct = (color * lambert + highlight) * look.light[:, None]

    lit = np.flatnonzero(cosine > -0.2)
    position = rays[lit] * hits.distance_m[lit, None] + np.float32(6e-4) * view.T[lit]
    key = np.zeros(len(rays), np.float32)
    key[lit] = ~stage.caster.blocked(position, normal.T[lit], np.broadcast_to(look.to_light, position.shape))
    return ambient.T, direct.T, key


def _interpolated(values: np.ndarray, corner: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    """Return values (v, c) of vertices at points of triangles: (c, n)."""
    total = values.take(corner[:, 0], axis=0) * barycentric[:, :1]
    for k in (1, 2):
        total += values.take(corner[:, k], axis=0) * barycentric[:, k, None]
    return np.ascontiguousarray(total.T)


def _surface(value: np.ndarray, is_object: np.ndarray, stage: Stage, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """Return the reflectance and gloss where rays hit: skin, sleeve, or the object's print."""
    rest, color, gloss = value[REST], look.skin(value), value[GLOSS]
    sleeve = ~is_object & (rest[1] < look.sleeve_start_m)
    if sleeve.any():
        weave = 1 + 0.05 * np.sin(rest[:, sleeve] * 1500.0).sum(0)
        color[:, sleeve] = look.sleeve_color[:, None] * weave
        gloss[sleeve] = 0.0
    if is_object.any():
        gloss[is_object] = look.print_gloss
        color[:, is_object] = _printed(rest[:, is_object].T, stage, look).T
    return color, gloss


def _printed(rest: np.ndarray, stage: Stage, look: Look) -> np.ndarray:
    """Return the object's colour at points of its rest surface: the print wrapped around z."""
    half = np.abs(stage.attributes[stage.faces[stage.owner == OBJECT].ravel()][:, REST]).max(0)
    across = np.arctan2(rest[:, 1] / half[1], rest[:, 0] / half[0]) / (2 * np.pi) + 0.5
    along = rest[:, 2] / (2 * half[2]) + 0.5
    size = len(look.print_)
    padding = (0, -len(rest) % _REMAPPED_ROW)
    columns, rows = (
        np.pad(at.astype(np.float32), padding).reshape(-1, _REMAPPED_ROW)
        for at in (across * (size - 1), (1 - along) * (size - 1))
    )
    printed: np.ndarray = cv2.remap(look.print_.astype(np.float32), columns, rows, cv2.INTER_LINEAR)
    return printed.reshape(-1, 3)[: len(rest)]


def openness(caster: RayCaster, points: np.ndarray, normals: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the share of the hemisphere above each wanted vertex (that faces the camera) that nothing near covers;
    else 1.
    """
    facing = (points * normals).sum(-1) < 0.2 * np.linalg.norm(points, axis=-1)
    facing = np.flatnonzero(facing & wanted)
    repeated = np.repeat(normals[facing], _AMBIENT_RAYS, 0)
    spread = np.tile(_sphere(_AMBIENT_RAYS), (len(facing), 1))
    directions = _unit((np.float32(1.02) * repeated + spread).T).T
    origins = np.repeat(points[facing] + np.float32(4e-4) * normals[facing], _AMBIENT_RAYS, 0)
    covered = caster.blocked(origins, repeated, directions, _AMBIENT_REACH_M)
    free = np.ones(len(points), np.float32)
    free[facing] = 1 - 0.85 * covered.reshape(-1, _AMBIENT_RAYS).mean(1)
    return free


@functools.cache
def _sphere(count: int) -> np.ndarray:
    """Return evenly spread unit vectors (Fibonacci)."""
    k = np.arange(count) + 0.5
    z, turn = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], -1).astype(np.float32)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt(_dot(vectors, vectors)), np.float32(1e-9))
