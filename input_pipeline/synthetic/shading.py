"""Colour of the points that rays hit: skin, sleeves and prints under one light and a sky."""

import functools

import cv2
import numpy as np

from input_pipeline.synthetic.look import Look
from input_pipeline.synthetic.raycast import Hits, RayCaster
from input_pipeline.synthetic.stage import COLOUR, GLOSS, NORMAL, OBJECT, REST, Stage

_AMBIENT_RAYS, _AMBIENT_REACH_M = 12, 0.09
_UNDER_SKIN = np.array([1.0, 0.45, 0.3], np.float32)
"""Light that wanders under the skin reddens."""


def shaded(stage: Stage, look: Look, hits: Hits, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ambient and direct colour where rays hit, and whether the light reaches it (0 or 1); all rays must hit."""
    corner = stage.faces[hits.triangle]
    weight = hits.barycentric[..., None]
    value = sum(weight[:, k] * stage.attributes[corner[:, k]] for k in range(3))
    view = -_unit(rays)
    normal = _unit(value[:, NORMAL])
    away = np.einsum("ni,ni->n", normal, view)
    normal -= np.where(away < 0, np.float32(1.02) * away, 0)[:, None] * view
    is_object = stage.owner[hits.triangle] == OBJECT
    colour, gloss = _surface(value, normal, is_object, stage, look)

    cosine = normal @ look.to_light
    wrap = np.where(is_object, np.float32(0), np.float32(0.22))[:, None] * _UNDER_SKIN
    lambert = np.maximum((cosine[:, None] + wrap) / (1 + wrap), 0)
    alike = np.clip(np.einsum("ni,ni->n", normal, _unit(view + look.to_light)), 0, 1)
    highlight = alike ** np.where(is_object, np.float32(60), np.float32(22)) * gloss * (cosine > 0)
    up = (1 - normal[:, 1:2]) / 2
    hemisphere = up * look.sky + (1 - up) * look.ground
    occlusion = np.einsum("nk,nk->n", stage.openness[corner], hits.barycentric)[:, None]
    bounce = colour * (1 - occlusion) * 0.35  # light between close surfaces takes on their colour
    ambient = colour * hemisphere * np.clip(occlusion + bounce, 0, 1)
    direct = (colour * lambert + highlight[:, None]) * look.light

    lit = np.flatnonzero(cosine > -0.2)
    position = rays[lit] * hits.distance_m[lit, None] + np.float32(6e-4) * view[lit]
    key = np.zeros(len(rays), np.float32)
    key[lit] = ~stage.caster.blocked(position, normal[lit], np.broadcast_to(look.to_light, position.shape))
    return ambient, direct, key


def _surface(
    value: np.ndarray, normal: np.ndarray, is_object: np.ndarray, stage: Stage, look: Look
) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance and gloss where rays hit: skin with fine mottling, sleeve, or the object's print."""
    rest = value[:, REST]
    colour, gloss = value[:, COLOUR].copy(), value[:, GLOSS].copy()
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
    half = np.abs(stage.attributes[stage.faces[stage.owner == OBJECT].ravel()][:, REST]).max(0)
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


def openness(caster: RayCaster, points: np.ndarray, normals: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Share of the hemisphere above each wanted vertex (that faces the camera) that nothing near covers; else 1."""
    facing = (points * normals).sum(-1) < 0.2 * np.linalg.norm(points, axis=-1)
    facing = np.flatnonzero(facing & wanted)
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


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.sqrt(np.einsum("...i,...i", vectors, vectors))[..., None], 1e-9)
