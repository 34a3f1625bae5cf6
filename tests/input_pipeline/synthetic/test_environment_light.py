import numpy as np
import pytest

from input_pipeline.synthetic.appearance import environment_names
from input_pipeline.synthetic.environment_light import (
    ambient,
    environment_light,
    harmonics_of,
    light_of,
    map_directions,
)

NORMALS = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1], [0.6, -0.8, 0], [0, 0.6, 0.8]]).T


def _irradiance_over_pi(radiance):
    """Return the same by summing over all pixels."""
    directions, solid_angle = map_directions(*radiance.shape[:2])
    cosine = np.clip(directions @ NORMALS, 0, None)
    return (radiance.reshape(-1, 3).T * solid_angle) @ cosine / np.pi


def test_harmonics_of_the_second_degree_are_exact():
    x, y, z = map_directions(32, 64)[0].T
    radiance = np.stack([1 + 2 * x * x - y, 2 + x * y + 3 * y * z, 1 + z * z + 0.5 * x * z + z], axis=-1).reshape(
        32, 64, 3
    )
    np.testing.assert_allclose(ambient(harmonics_of(radiance), NORMALS), _irradiance_over_pi(radiance), rtol=0.01)


def test_smooth_light_is_that_of_the_sum_over_all_directions():
    directions, _ = map_directions(32, 64)
    smooth = 1 + directions @ np.array([[0.5, 0.1, 0], [-0.3, 0.2, 0.4], [0.1, 0, 0.3]]) + 0.4 * directions[:, :1] ** 2
    radiance = smooth.reshape(32, 64, 3)
    light = light_of(radiance)
    found = ambient(light.harmonics, NORMALS) + light.key[:, None] * np.clip(light.to_key @ NORMALS, 0, None)
    expected = _irradiance_over_pi(radiance)
    np.testing.assert_allclose(found / found.mean(), expected / expected.mean(), rtol=0.06)


def test_a_lamp_is_found_and_leaves_the_rest_as_it_is():
    directions, _ = map_directions(32, 64)
    lamp = np.array([0.6, -0.64, 0.48])
    radiance = np.full((32 * 64, 3), 0.5)
    radiance[directions @ lamp > np.cos(0.15)] = [40, 30, 20]
    light = light_of(radiance.reshape(32, 64, 3))
    assert light.to_key @ lamp > 0.999
    np.testing.assert_allclose(light.key[0] / light.key[2], 39.5 / 19.5, rtol=1e-3)
    around = ambient(light.harmonics, NORMALS)
    np.testing.assert_allclose(around, np.broadcast_to(around[:, :1], around.shape), rtol=1e-3)


@pytest.mark.parametrize("name", environment_names()[::9])
def test_light_of_places_is_brought_to_one_level(name):
    light = environment_light(name)
    directions, solid_angle = map_directions(16, 32)
    lit = ambient(light.harmonics, directions.T) + light.key[:, None] * np.clip(light.to_key @ directions.T, 0, None)
    np.testing.assert_allclose((lit * solid_angle).sum(1)[1] / (4 * np.pi), 1, rtol=0.05)
