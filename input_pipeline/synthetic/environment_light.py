"""Light of a surrounding: one dominant direction that casts shadows, and all the rest as spherical harmonics.

Source: Ramamoorthi and Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001: nine
coefficients give the irradiance of a distant surrounding within 1 % for natural light.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float

from input_pipeline.synthetic.appearance import radiance_maps

_COSINE_LOBE = np.repeat([1.0, 2 / 3, 1 / 4], [1, 3, 5])
"""The clamped cosine over pi, in each band."""
_KEY_COSINE = np.cos(np.deg2rad(25.0))
_MOST_KEY = 4.0
"""Times the ambient light, that the dominant light may have: no picture's range is larger."""


@dataclasses.dataclass(frozen=True)
class EnvironmentLight:
    """What a white surface sends back; its mean over all directions, without shadows, is 1 in green."""

    to_key: Float[np.ndarray, " 3"]
    key: Float[np.ndarray, " 3"]  # facing the dominant light, from that alone
    harmonics: Float[np.ndarray, "3 9"]  # from all the rest, as `ambient` reads it

    def turned(self, camera_from_world: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, " 3"]:
        """Return the direction to the dominant light in the camera's frame."""
        return (camera_from_world @ self.to_key).astype(np.float32)


@functools.cache
def environment_light(name: str) -> EnvironmentLight:
    """Return the light of an embedded environment."""
    return light_of(radiance_maps()[name])


def light_of(radiance: Float[np.ndarray, "h w 3"]) -> EnvironmentLight:
    """Split an equirectangular map of linear radiance into its dominant light and the rest."""
    directions, solid_angle = map_directions(*radiance.shape[:2])
    flat = radiance.reshape(-1, 3).astype(np.float64)
    luminance = flat.mean(1)
    near = directions[::7] @ directions.T > _KEY_COSINE
    brightest = near[(near @ (luminance * solid_angle)).argmax()]
    excess = np.clip(flat - np.median(flat, axis=0), 0, None) * brightest[:, None]
    weight = excess.mean(1) * solid_angle
    to_key = weight @ directions
    key = (solid_angle @ excess) / np.pi
    rest = flat - excess
    ambient = solid_angle @ rest / (4 * np.pi)
    key *= min(1.0, _MOST_KEY * ambient.mean() / max(key.mean(), 1e-9))
    level = ambient[1] + key[1] / 4  # the mean of a clamped cosine over all directions
    return EnvironmentLight(
        (to_key / max(np.linalg.norm(to_key), 1e-9)).astype(np.float32),
        (key / level).astype(np.float32),
        (harmonics_of(rest.reshape(radiance.shape)) / level).astype(np.float32),
    )


def harmonics_of(radiance: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "3 9"]:
    """Return what `ambient` makes the light of an equirectangular map of."""
    directions, solid_angle = map_directions(*radiance.shape[:2])
    projected = (_basis(directions.T) * solid_angle) @ radiance.reshape(-1, 3)
    return (projected * _COSINE_LOBE[:, None]).T


def ambient(harmonics: Float[np.ndarray, "3 9"], normals: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
    """Return what white surfaces with these normals (in the world) send back of the light without the dominant one."""
    return np.maximum(harmonics @ _basis(normals), 0)


def map_directions(height: int, width: int) -> tuple[Float[np.ndarray, "p 3"], Float[np.ndarray, " p"]]:
    """Return direction and solid angle of each pixel of an equirectangular map: x right, y down, z in its middle."""
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * 2 * np.pi
    latitude = ((np.arange(height) + 0.5) / height - 0.5) * np.pi  # positive is down
    latitude, longitude = (grid.ravel() for grid in np.meshgrid(latitude, longitude, indexing="ij"))
    level = np.cos(latitude)
    directions = np.stack([level * np.sin(longitude), np.sin(latitude), level * np.cos(longitude)], axis=-1)
    edges = np.sin(np.linspace(-np.pi / 2, np.pi / 2, height + 1))
    return directions, np.repeat(np.diff(edges) * 2 * np.pi / width, width)


def _basis(directions: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "9 n"]:
    """Return the nine real spherical harmonics of bands 0 to 2, orthonormal over the sphere."""
    x, y, z = directions
    rows = [0.282095 * np.ones_like(x)]
    rows += [0.488603 * y, 0.488603 * z, 0.488603 * x]
    rows += [1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1)]
    rows += [1.092548 * x * z, 0.546274 * (x * x - y * y)]
    return np.stack(rows)
