"""Things that are no hands, some of them of skin: what a network must not take for a hand."""

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.objects import FAMILIES, make_solid
from input_pipeline.synthetic.patches import PRINT, SKIN
from input_pipeline.synthetic.scene import random_rotation
from input_pipeline.synthetic.stage import Prop

_SKIN_SHARE = 0.6


def sample_props(
    count: int, depth_m: tuple[float, float], intrinsics: Float[np.ndarray, "3 3"], rng: np.random.Generator
) -> list[Prop]:
    """Return some props within the picture.

    Args:
        count: of them.
        depth_m: nearest and farthest distance of their centers.
        intrinsics: of the camera; the picture is twice as large as its principal point is far from the corner.
        rng: draws all of it.
    """
    return [_prop(rng.uniform(*depth_m), intrinsics, rng) for _ in range(count)]


def _prop(depth_m: float, intrinsics: np.ndarray, rng: np.random.Generator) -> Prop:
    """Return a solid of random size, squeezed and turned, in front of the camera."""
    solid = make_solid(FAMILIES[rng.integers(len(FAMILIES))], rng)
    size_px = 2 * intrinsics[0, 2]
    share = np.exp(rng.uniform(np.log(0.08), np.log(0.7)))
    squeeze = share * size_px * depth_m / intrinsics[0, 0] / np.ptp(solid.verts_m, axis=0).max()
    squeeze = squeeze * rng.uniform(0.6, 1.4, 3)
    turn = random_rotation(rng)
    pixel = np.array([*rng.uniform(-0.05, 1.05, 2) * size_px, 1.0])
    center = np.linalg.inv(intrinsics) @ pixel * depth_m
    normals = (solid.normals / squeeze) @ turn.T
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    patch = SKIN if rng.random() < _SKIN_SHARE else PRINT
    skin = np.column_stack([_wrapped(solid.verts_m, patch), np.zeros(len(normals))])
    return Prop((solid.verts_m * squeeze) @ turn.T + center, normals, solid.faces, skin, rng.uniform(0.02, 0.15))


def _wrapped(verts_m: np.ndarray, patch_px: np.ndarray) -> np.ndarray:
    """Return places in a patch for vertices of a solid about z: once forth and back around it, so without a seam."""
    half = np.abs(verts_m).max(0)
    around = np.abs(np.arctan2(verts_m[:, 1] / half[1], verts_m[:, 0] / half[0])) / np.pi
    along = verts_m[:, 2] / (2 * half[2]) + 0.5
    return patch_px[0] + np.stack([around, along], axis=-1) * (patch_px[1] - patch_px[0])
