"""The network's building blocks against independent formulations."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import traverse_util
from flax.linen import initializers
from scipy import ndimage, special

from occrobnet_jax.models import layers, tokens
from occrobnet_jax.models.ciet import Ciet, InjectionBlock
from occrobnet_jax.models.decode import axis_positions
from occrobnet_jax.models.neck import UNet
from occrobnet_jax.models.ops.peaks import greedy_peaks
from occrobnet_jax.models.queries import QueryLayout
from occrobnet_jax.types import Keypoints
from tests.support.tiny import tiny_model


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
def test_convolution_is_flax_convolution_with_pytorch_padding(kernel: int, stride: int) -> None:
    x = random(2, 8, 10, 3)
    ours = layers.Conv(5, kernel, stride, use_bias=True)
    theirs = nn.Conv(5, (kernel, kernel), stride, padding=kernel // 2)
    variables = ours.init(jax.random.key(1), x)
    np.testing.assert_allclose(ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5)


def test_upsampling_is_bilinear_resizing() -> None:
    x = random(2, 4, 6, 3)
    np.testing.assert_allclose(layers.upsample_2x(x), jax.image.resize(x, (2, 8, 12, 3), "bilinear"), atol=1e-6)


def test_sampling_at_pixels_between_them_and_outside() -> None:
    features = random(1, 5, 7, 2)
    xy = jnp.array([[[2.0, 3.0], [2.5, 3.25], [6.0, 4.0], [6.5, 4.0], [-3.0, 0.0]]])
    sampled = tokens.sample_bilinear(features, xy)[0]
    for channel in range(2):
        expected = ndimage.map_coordinates(
            np.asarray(features[0, ..., channel]), np.asarray(xy[0, :, ::-1]).T, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(sampled[:, channel], expected, atol=1e-6)


def test_levels_are_sampled_with_aligned_corners() -> None:
    level = jnp.broadcast_to(jnp.arange(4.0)[None, None, :, None], (1, 4, 4, 1))
    (sampled,) = tokens.sample_levels((level,), jnp.array([[[0.0, 0.0], [127.0, 127.0], [63.5, 0.0]]]), (128, 128))
    np.testing.assert_allclose(sampled[0, :, 0], [0.0, 3.0, 1.5], atol=1e-6)


def test_position_code_counts_from_one_with_temperature_100() -> None:
    code = tokens.position_code(jnp.array([[[4.0, 63.0]]]), (128, 128), 32)[0, 0]
    y_angle, x_angle = 2 * np.pi * 64 / 128, 2 * np.pi * 5 / 128
    np.testing.assert_allclose(code[0:2], [np.sin(y_angle), np.cos(y_angle)], atol=1e-5)
    period = 100 ** (2 / 16)
    np.testing.assert_allclose(code[18:20], [np.sin(x_angle / period), np.cos(x_angle / period)], atol=1e-5)


def greedy_oracle(heatmap: np.ndarray, threshold: float, radius: float, most: int) -> list[tuple[int, int]]:
    heatmap, peaks = heatmap.copy(), []
    y, x = np.mgrid[: heatmap.shape[0], : heatmap.shape[1]]
    while len(peaks) < most and heatmap.max() > threshold:
        py, px = divmod(int(heatmap.argmax()), heatmap.shape[1])
        peaks.append((px, py))
        heatmap[(x - px) ** 2 + (y - py) ** 2 <= radius**2] = -np.inf
    return peaks


def hard_heatmaps() -> np.ndarray:
    """Clusters closer than 10 px, plateaus, ties, flat discs, negative and over-full maps."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    maps = []
    for spread in (2, 4, 6, 8, 10, 20):
        blobs = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 3.125) for cx, cy in rng.normal(32, spread, (42, 2))]
        maps.append(255 * np.sum(blobs, 0) + rng.normal(0, 3, x.shape))
    maps += [np.round(maps[3] / 60) * 60, np.full(x.shape, 30.0), np.full(x.shape, -5.0)]
    maps += [100.0 * ((x - 20) ** 2 + (y - 30) ** 2 < 200), rng.uniform(0, 255, x.shape)]
    chain = np.zeros(x.shape)
    chain[10, [10, 14, 18]] = 200, 150, 100  # A suppresses B, which would have suppressed C
    return np.stack([*maps, chain]).astype(np.float32)


def test_keypoints_are_those_of_greedy_suppression() -> None:
    maps = hard_heatmaps()
    xy, valid = jax.jit(lambda maps: greedy_peaks(maps, 20.0, 5.0, 50))(maps)
    for heatmap, places, good in zip(maps, np.asarray(xy), np.asarray(valid), strict=True):
        assert [tuple(p) for p in places[good].astype(int)] == greedy_oracle(heatmap, 20.0, 5.0, 50)
        assert not places[~good].any()


def test_the_strongest_are_taken_where_none_passes() -> None:
    maps = hard_heatmaps()[:1] / 100
    xy, valid = greedy_peaks(jnp.asarray(maps), 20.0, 5.0, 50, min_peaks=7)
    assert [tuple(p) for p in np.asarray(xy[0, :7]).astype(int)] == greedy_oracle(maps[0], -np.inf, 5.0, 7)
    assert valid[0].sum() == 7


def test_the_parents_initializations_are_on_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(initializers, "normal", initializers.constant)  # what is drawn is the deviation itself

    def deviations(module: nn.Module, inputs: Any) -> dict[str, float]:
        params = jax.jit(lambda: module.init(jax.random.key(0), inputs, train=False)["params"])()
        flat = traverse_util.flatten_dict(params)
        return {path[-2]: float(leaf.mean()) for path, leaf in flat.items() if path[-1] == "kernel"}

    config = tiny_model(neck_init_std=0.001, ciet_init_std=0.1, ciet_mlp_init_std=0.01, ciet_merge_init_std=0.003)
    unet = UNet(dataclasses.replace(config, neck="unet", ciet="off", heatmap_stride=2))
    taps = tuple(jnp.zeros((1, size, size, 64)) for size in (32, 16, 8, 4, 2))
    assert max(abs(std - 0.001) for std in deviations(unet, taps).values()) < 1e-6
    expected = {"query": 0.1, "key": 0.1, "value": 0.1, "mlp_in": 0.01, "mlp_out": 0.01}
    expected |= {"merge_conv1": 0.003, "merge_conv2": 0.003, "merge_shortcut": 0.003}
    drawn = deviations(Ciet(config), jnp.zeros((1, 4, 4, 16)))
    assert {name: drawn[name] for name in expected} == pytest.approx(expected, rel=1e-4)


def injection(gate: str, kind: str, seed: int = 0) -> tuple[InjectionBlock, dict, jax.Array, jax.Array]:
    config = tiny_model(ciet_gate=gate, ciet_init_std=0.2, ciet_heads=2)
    block = InjectionBlock(config, kind)
    x, source = random(1, 6, 8, seed=seed), random(1, 6, 8, seed=seed + 1)
    return block, block.init(jax.random.key(2), x, source, train=False), x, source


def test_sum_before_the_sigmoid_is_the_full_matrix_summed() -> None:
    block, variables, x, source = injection("sum", "dual")
    params = variables["params"]

    def heads(name: str, value: jax.Array) -> np.ndarray:
        return np.einsum("bnd,dhe->bnhe", value, params[name]["kernel"]) + np.asarray(params[name]["bias"])[None, None]

    queries, keys = x + params["query_position"], source + params["key_position"]
    scores = np.einsum("bihd,bjhd->bhij", heads("query", queries), heads("key", keys)) / 2
    gates = np.einsum("bihd,bjhd->bhij", heads("gate_query", queries), heads("gate_key", keys)).sum(-1) / 2
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True) / (1 + np.exp(-gates))[..., None]
    y = np.einsum("bhij,bjhd->bihd", weights, heads("value", source)).reshape(x.shape)
    normed = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + layers.LAYER_NORM_EPSILON)
    hidden = normed @ params["mlp_in"]["kernel"]
    expected = y + hidden * (1 + special.erf(hidden / np.sqrt(2))) / 2 @ params["mlp_out"]["kernel"]
    np.testing.assert_allclose(block.apply(variables, x, source, train=False)[0], expected, atol=1e-5)


def test_an_open_gate_is_plain_attention() -> None:
    block, variables, x, source = injection("sum", "dual")
    plain, _, _, _ = injection("sum", "softmax")
    params = dict(variables["params"])
    params["gate_query"] = jax.tree.map(jnp.zeros_like, params["gate_query"])
    # A bias of the queries along a constant key drives every gate open.
    params["gate_key"] = {"kernel": 0 * params["gate_key"]["kernel"], "bias": 1e3 + 0 * params["gate_key"]["bias"]}
    params["gate_query"]["bias"] = params["gate_query"]["bias"] + 1
    gated = block.apply({"params": params}, x, source, train=False)[0]
    kept = {name: value for name, value in params.items() if not name.startswith("gate")}
    np.testing.assert_allclose(gated, plain.apply({"params": kept}, x, source, train=False)[0], atol=1e-5)


@pytest.mark.parametrize("kind", ["dual", "softmax", "sigmoid", "pointwise", "off"])
def test_ciet_keeps_the_shape_and_off_is_the_identity(kind: str) -> None:
    config = tiny_model(ciet=kind)
    x = random(2, 4, 4, 16)
    run = jax.jit(functools.partial(Ciet(config).init_with_output, train=False))
    enhanced, variables = run(jax.random.key(0), x)
    assert enhanced.features.shape == x.shape
    assert (kind == "off") == (not variables)
    assert (kind == "off") == bool(jnp.array_equal(enhanced.features, x))


def test_saturated_gates_are_counted() -> None:
    block, variables, x, source = injection("sum", "dual")
    assert block.apply(variables, x, source, train=False)[1] < 0.5
    loud = jax.tree.map(lambda p: 100 * p, variables)
    assert block.apply(loud, x, source, train=False)[1] > 0.9


def test_query_masks() -> None:
    layout = QueryLayout.of(tiny_model(representation="2.5d"))
    mask = layout.query_mask()
    assert layout.size == 45
    assert mask[0].nonzero()[0].tolist() == [0, 1, 2, 3]  # a finger sees itself
    assert mask[21].nonzero()[0].tolist() == [21, 22, 23, 24]  # the left thumb is not the right one
    assert mask[20].all()  # the wrist sees all
    assert mask[41].all()
    assert mask[layout.camera].nonzero()[0].tolist() == [42]
    assert mask[layout.object_rotation].all()
    vectors = QueryLayout.of(tiny_model())
    assert vectors.size == 43
    assert vectors.query_mask()[20].nonzero()[0].tolist() == [20, 21, 22, 23]


def test_the_objects_rotation_sees_object_tokens_only_where_there_are_any() -> None:
    valid = jnp.array([[True, True, True, False], [True, True, False, False], [False] * 4])
    is_object = jnp.array([[False, False, True, True]] * 3)
    layout = QueryLayout.of(tiny_model())
    mask = layout.memory_mask(Keypoints(jnp.zeros((3, 4, 2)), valid, is_object))
    rotation = mask[:, layout.object_rotation]
    without = [True, True, False, False]  # where no slot holds a keypoint, those for joints are looked at
    np.testing.assert_array_equal(rotation, [[False, False, True, False], without, without])
    np.testing.assert_array_equal(mask[:, 0], [[True, True, True, False], without, without])


def test_soft_argmax_is_below_the_floor_of_argmax() -> None:
    center = jnp.linspace(20.0, 40.0, 101)
    heatmaps = jnp.exp(-((jnp.arange(64.0)[None] - center[:, None]) ** 2) / (2 * 1.25**2))
    hard, soft = (jnp.abs(axis_positions(heatmaps, kind) - center).mean() for kind in ("argmax", "soft_argmax"))
    assert 0.2 < hard < 0.3  # a quarter of a bin on average
    assert soft < 0.05
