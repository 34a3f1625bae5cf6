"""Peaks taken in rounds are those that are taken one by one, whatever the maps are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.models.ops.peaks import disc_maximum, greedy_peaks, in_rounds, one_by_one

SHAPE = (15, 18)


def hostile_maps() -> np.ndarray:
    """Noise, ties of few levels, flat maps, ramps (the longest chains), zeros of both signs, holes of -inf."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    levels, holes = rng.integers(0, 4, SHAPE), rng.random(SHAPE) < 0.5
    maps = [rng.normal(0, 20, SHAPE), 10.0 * levels, np.full(SHAPE, 30), np.zeros(SHAPE), 2.0 * (x + y), -2.0 * x]
    maps += [-0.0 * levels, np.where(holes, -np.inf, 25.0), np.full(SHAPE, -np.inf), np.where(holes, np.inf, -1)]
    return np.stack(maps).astype(np.float32)


@pytest.mark.parametrize(
    ("threshold", "radius", "max_peaks", "min_peaks"),
    [(20.0, 5.0, 20, 0), (20.0, 2.5, 9, 4), (1e9, 1.0, 7, 7), (-5.0, 0.0, 300, 0)],  # the last: more slots than pixels
)
def test_rounds_give_what_one_after_the_other_gives(threshold, radius, max_peaks, min_peaks):
    maps = jnp.asarray(hostile_maps())
    limits = (threshold, radius, max_peaks, min_peaks)
    both = jax.jit(lambda maps: (one_by_one(maps, *limits), in_rounds(maps, *limits)))
    (xy, valid), (xy_of_rounds, valid_of_rounds) = both(maps)
    assert valid.any()
    np.testing.assert_array_equal(valid_of_rounds, valid)
    np.testing.assert_array_equal(xy_of_rounds, xy)


@pytest.mark.parametrize("radius", [0.0, 1.0, 2.5, 5.0])
def test_a_disc_is_what_euclid_says(radius):
    y, x = np.mgrid[:23, :23]
    spot = jnp.zeros((1, 23, 23), jnp.int32).at[0, 11, 11].set(7)
    np.testing.assert_array_equal(disc_maximum(spot, radius)[0] == 7, (x - 11) ** 2 + (y - 11) ** 2 <= radius**2)


def test_accelerators_get_rounds_and_cpus_a_loop_over_slots():
    def step(heatmap):
        xy, _ = greedy_peaks(heatmap, 20.0, 5.0, 50)
        return (xy.sum() * heatmap).sum()

    def program(platform):
        traced = jax.jit(jax.grad(step)).trace(jax.ShapeDtypeStruct((2, *SHAPE), jnp.float32))
        return traced.lower(lowering_platforms=(platform,)).as_text()

    for platform, in_rounds_there in (("tpu", True), ("cuda", True), ("cpu", False)):
        text = program(platform)
        assert ("top_k" in text) == in_rounds_there, platform
        assert ("stablehlo.reduce_window" in text) == in_rounds_there, platform
        assert ("dense<50> : tensor<i32>" in text) != in_rounds_there, platform  # the end of the loop over slots
