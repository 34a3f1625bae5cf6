"""Greedy non-maximum suppression on the device, with static shapes: one peak after the other, or in rounds.

One pass of maximum filter and top-k is not greedy suppression: where A suppresses B and B would have suppressed C,
it loses C, and that is where fingers overlap. Two forms are exact. `one_by_one` takes the strongest pixel of each map
and suppresses its disc, as many times as there are slots. `in_rounds` takes every pixel that is the strongest of its
disc, suppresses their discs, and does so again until none is left: few steps on many pixels. On a CPU a round costs
more than all slots one by one (docs/performance.md); accelerators wait for each of a hundred small steps.
"""

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

Peaks = tuple[Float[Array, "b t 2"], Bool[Array, "b t"]]
ROUNDS_AT_ONCE = 4  # whether any map has pixels left is asked of all devices; typical maps are done after so many


def greedy_peaks(
    heatmap: Float[Array, "b hh ww"], threshold: float, radius: float, max_peaks: int, min_peaks: int = 0
) -> Peaks:
    """Find peaks by greedy non-maximum suppression: the strongest pixel above the threshold, then the next outside its
    disc...

    No gradient flows through it. CPUs get `one_by_one`, other platforms `in_rounds`; both give the same.

    Args:
        heatmap: one map an example; without NaN.
        threshold: a peak must be above it.
        radius: pixels within this Euclidean distance of a taken peak are suppressed.
        max_peaks: how many of the strongest are kept.
        min_peaks: where fewer pass the threshold, this many of the strongest are taken all the same.

    Returns:
        Positions (x, y), strongest first, zeros in empty slots; and which slots hold a peak. Ties go to the
        smaller raster index.
    """
    limits = (threshold, radius, max_peaks, min_peaks)
    on_accelerators = dict.fromkeys(("tpu", "cuda", "rocm"), lambda heatmap: in_rounds(heatmap, *limits))
    peaks: Peaks = jax.lax.platform_dependent(
        jax.lax.stop_gradient(heatmap).astype(jnp.float32),
        **on_accelerators,
        default=lambda heatmap: one_by_one(heatmap, *limits),
    )
    return peaks


def one_by_one(
    heatmap: Float[Array, "b hh ww"], threshold: float, radius: float, max_peaks: int, min_peaks: int
) -> Peaks:
    """Take the strongest pixel of every map and suppress its disc, `max_peaks` times."""
    height, width = heatmap.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.int32)

    def take_strongest(remaining: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
        strength, index = _first_maximum(remaining)
        px, py = index[:, None, None] % width, index[:, None, None] // width
        disc = (x[None] - px) ** 2 + (y[None] - py) ** 2 <= radius**2
        return jnp.where(disc, -jnp.inf, remaining), (strength, index)

    _, taken = jax.lax.scan(take_strongest, heatmap, length=max_peaks)
    strength, index = (values.T for values in taken)
    valid = (strength > threshold) | ((jnp.arange(max_peaks)[None] < min_peaks) & jnp.isfinite(strength))
    return _places(index, width, valid), valid


def in_rounds(
    heatmap: Float[Array, "b hh ww"], threshold: float, radius: float, max_peaks: int, min_peaks: int
) -> Peaks:
    """Take every pixel that is the strongest of its disc, suppress their discs, until nothing is left.

    Before the k-th peak (from 0) at most k discs of pixels were suppressed, so that its rank is below k discs' area:
    weaker pixels can't become one of the first peaks and are left out.
    """
    batch, height, width = heatmap.shape
    strength = heatmap.reshape(batch, -1)
    priority = _priorities(strength)
    area = sum(2 * half + 1 for _, half in disc_rows(radius))
    rank = height * width - priority
    hopeful = (strength > threshold) | ((rank < min_peaks * area) & jnp.isfinite(strength))
    undecided = jnp.where(hopeful & (rank < max_peaks * area), priority, 0).reshape(heatmap.shape)
    taken = _taken_in_rounds(undecided, radius).reshape(strength.shape)
    slots = jnp.pad(taken, ((0, 0), (0, max(0, max_peaks - height * width))))
    found, index = jax.lax.top_k(slots, max_peaks)
    strengths = jnp.take_along_axis(strength, index, 1)
    valid = (found > 0) & ((strengths > threshold) | (jnp.arange(max_peaks)[None] < min_peaks))
    return _places(index, width, valid), valid


def _places(index: Int[Array, "b t"], width: int, valid: Bool[Array, "b t"]) -> Float[Array, "b t 2"]:
    """Return (x, y) of raster indices, zeros where they aren't valid."""
    xy = jnp.stack([index % width, index // width], -1)
    return jnp.where(valid[..., None], xy, 0).astype(jnp.float32)


def _priorities(strength: Float[Array, "b n"]) -> Int[Array, "b n"]:
    """Return n for each map's strongest pixel down to 1 for its weakest; of equals the first comes first."""
    strongest_first = jnp.argsort(-strength, axis=1, stable=True)
    return strength.shape[1] - jnp.argsort(strongest_first, axis=1)


def _taken_in_rounds(undecided: Int[Array, "b hh ww"], radius: float) -> Int[Array, "b hh ww"]:
    """Return the priority of each pixel that greedy suppression takes, and 0 elsewhere."""

    def take(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        undecided, taken = carry
        peaks = jnp.where(undecided == disc_maximum(undecided, radius), undecided, 0)
        left = jnp.where(disc_maximum(peaks, radius) > 0, 0, undecided)
        return (left, taken + peaks), None

    def some_rounds(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        return jax.lax.scan(take, carry, length=ROUNDS_AT_ONCE)[0]

    start = (undecided, jnp.zeros_like(undecided))
    return jax.lax.while_loop(lambda carry: jnp.any(carry[0] > 0), some_rounds, start)[1]


def disc_maximum(values: Int[Array, "b hh ww"], radius: float) -> Int[Array, "b hh ww"]:
    """Return the largest of the values, none of them negative, within a Euclidean distance of each pixel.

    A disc is a stack of rows: one filter along x for each of their lengths, and the largest of the shifted results.
    """
    rows = list(disc_rows(radius))
    by_length = {half: _row_maximum(values, half) for half in {half for _, half in rows}}
    reach = len(rows) // 2
    padded = {half: jnp.pad(filtered, ((0, 0), (reach, reach), (0, 0))) for half, filtered in by_length.items()}
    height = values.shape[1]
    result = values
    for dy, half in rows:
        result = jnp.maximum(result, padded[half][:, reach + dy : reach + dy + height])
    return result


def disc_rows(radius: float) -> Iterator[tuple[int, int]]:
    """Yield dy and the largest |dx| of each row of the pixels with dx^2 + dy^2 <= radius^2."""
    reach = math.floor(radius)
    for dy in range(-reach, reach + 1):
        yield dy, math.floor(math.sqrt(radius**2 - dy**2))


def _row_maximum(values: Int[Array, "b hh ww"], half: int) -> Int[Array, "b hh ww"]:
    window, strides = (1, 1, 2 * half + 1), (1, 1, 1)
    return jax.lax.reduce_window(values, np.int32(0), jax.lax.max, window, strides, "SAME")


def _first_maximum(maps: Float[Array, "b hh ww"]) -> tuple[Float[Array, " b"], Int[Array, " b"]]:
    """Return value and raster index of each map's maximum: two plain reductions, which vectorise where argmax does
    not.
    """
    strength = maps.max((1, 2))
    raster = jnp.arange(maps[0].size).reshape(1, *maps.shape[1:])
    return strength, jnp.where(maps == strength[:, None, None], raster, maps[0].size - 1).min((1, 2))
