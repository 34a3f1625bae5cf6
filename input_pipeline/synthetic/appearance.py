"""The embedded photographs that pictures are made of: skins, panoramas, and the light in those places; all CC0.

A skin is an atlas: a picture that the hand's skin and forearm are cut out of, the same places in all of them.
"""

import functools
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from occrobnet_jax.files.readers import decode_image

_FOLDER = Path(__file__).with_name("assets")
LINEAR = (np.arange(256, dtype=np.float32) / 255) ** np.float32(2.2)
"""Linear intensity of each 8-bit level."""


@functools.cache
def skin_names() -> tuple[str, ...]:
    """Return the names of all skins, in a fixed order."""
    return tuple(sorted(path.stem for path in (_FOLDER / "skins").glob("*.jpg")))


@functools.cache
def environment_names() -> tuple[str, ...]:
    """Return the names of all environments, in a fixed order."""
    return tuple(sorted(path.stem for path in (_FOLDER / "environments").glob("*.jpg")))


@functools.cache
def skin_atlas(name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return a skin (RGB)."""
    return decode_image((_FOLDER / "skins" / f"{name}.jpg").read_bytes(), name=name)


@functools.cache
def panorama(name: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return an environment's equirectangular picture (RGB), see `direction_to_panorama`."""
    return decode_image((_FOLDER / "environments" / f"{name}.jpg").read_bytes(), name=name)


@functools.cache
def radiance_maps() -> dict[str, Float[np.ndarray, "32 64 3"]]:
    """Return the light of each environment: linear, equirectangular, coarse."""
    with np.load(_FOLDER / "light_64x32.npz") as stored:
        return {name: stored[name].astype(np.float32) for name in environment_names()}


@functools.cache
def atlas_places_px() -> Float[np.ndarray, "v 2"]:
    """Return column and row in the atlas for each vertex of the embedded hand, pixel centers at integers."""
    with np.load(_FOLDER / "atlas.npz") as stored:
        return stored["verts_px"]


def panorama_view(
    name: str, world_from_camera: Float[np.ndarray, "3 3"], focal_share: float, size: int
) -> Float[np.ndarray, "s s 3"]:
    """Return what a camera inside an environment sees, linear.

    Args:
        name: of the environment.
        world_from_camera: rotation; in the world y is down and z is the panorama's middle column.
        focal_share: focal length in sides of the picture.
        size: of the picture.
    """
    source = panorama(name)
    offset = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    x, y = np.meshgrid(offset / np.float32(focal_share), offset / np.float32(focal_share))
    x, y, z = (row[0] * x + row[1] * y + row[2] for row in world_from_camera.astype(np.float32))
    height, width = source.shape[:2]
    columns = (np.arctan2(x, z) / (2 * np.pi) + 0.5) * width - 0.5
    rows = (np.arctan2(y, np.hypot(x, z)) / np.pi + 0.5) * height - 0.5
    seen: np.ndarray = cv2.remap(source, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return LINEAR[seen]
