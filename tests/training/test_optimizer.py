import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from occrobnet_jax.models.backbone import make_backbone
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.runs.experiment import OptimizerConfig
from occrobnet_jax.runs.state import leaves_by_path
from occrobnet_jax.training.optimizer import group_rate, make_optimizer, matrices, schedule, update_average

PLAIN = ModelConfig()
PARAMS = {
    "backbone": {
        "conv1": {"kernel": jnp.array([1.0, -2.0])},
        "bn1": {"bn": {"scale": jnp.array([1.0, 1.5])}},
        "downsample": {"bn": {"bn": {"scale": jnp.array([2.0])}}},
    },
    "unet": {"kernel": jnp.array([0.5])},
    "decoder": {"kernel": jnp.array([[3.0, -1.0]])},
}


def trained(config: OptimizerConfig, model: ModelConfig = PLAIN, steps: int = 5, total_steps: int = 100):
    """Parameters after some steps of the quadratic loss sum(p^2) / 2, whose gradient is p."""
    optimizer = make_optimizer(config, model, total_steps)
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(steps):
        updates, state = optimizer.update(params, state, params)
        params = optax.apply_updates(params, updates)
    return params


def adamw_of_pytorch(parameter, rate, decay=0.01, betas=(0.9, 0.999), steps=5):
    """AdamW as PyTorch documents it, for the gradient p."""
    p, m, v = np.asarray(parameter, np.float64), 0.0, 0.0
    for t in range(1, steps + 1):
        gradient = p
        p = p * (1 - rate * decay)
        m = betas[0] * m + (1 - betas[0]) * gradient
        v = betas[1] * v + (1 - betas[1]) * gradient**2
        p = p - rate * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + 1e-8)
    return p


def test_adamw_is_pytorchs_with_a_lower_rate_for_the_backbone():
    config = OptimizerConfig(learning_rate=0.1, backbone_learning_rate=0.01, weight_decay=0.3)
    after = trained(config)
    for path, rate in (("backbone", 0.01), ("unet", 0.01), ("decoder", 0.1)):
        for got, start in zip(jax.tree.leaves(after[path]), jax.tree.leaves(PARAMS[path]), strict=True):
            np.testing.assert_allclose(got, adamw_of_pytorch(start, rate, 0.3), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [{}, {"neck": "unet", "ciet": "off"}])
def test_only_backbone_and_unet_learn_slowly(config):
    """Read off the real network: a block that is renamed there must not leave its group in silence."""
    model = ModelConfig(**config)
    image = jnp.zeros((1, 256, 256, 3), jnp.uint8)
    shapes = jax.eval_shape(lambda: OccRobNet(model).init(jax.random.key(0), image, train=False))["params"]
    slow = {block for block in shapes if group_rate(OptimizerConfig(), model, (block, "kernel")) == 1e-5}
    assert slow == ({"backbone", "unet"} if config else {"backbone"})
    frozen = [
        path
        for path in leaves_by_path(shapes)
        if group_rate(OptimizerConfig(), ModelConfig(batch_norm="frozen", **config), tuple(path.split("/"))) == 0
    ]
    assert len(frozen) == 2 * (1 + 3 * 16)  # scale and offset of the stem and of 16 blocks of three


@pytest.mark.parametrize("batch_norm", ["affine_frozen", "frozen"])
def test_frozen_batch_norms_neither_learn_nor_decay(batch_norm):
    config = OptimizerConfig(learning_rate=0.1, backbone_learning_rate=0.1, weight_decay=0.5)
    after = trained(config, ModelConfig(batch_norm=batch_norm))["backbone"]
    np.testing.assert_array_equal(after["bn1"]["bn"]["scale"], PARAMS["backbone"]["bn1"]["bn"]["scale"])
    assert after["downsample"]["bn"]["bn"]["scale"] < 2.0  # Keypoint Transformer leaves the shortcuts' free
    assert (np.abs(after["conv1"]["kernel"]) < [1.0, 2.0]).all()


@pytest.mark.parametrize("backbone", ["resnet18", pytest.param("efficientnet_lite0", marks=pytest.mark.long)])
def test_frozen_stages_have_no_gradient_and_do_not_decay_and_the_others_do(backbone):
    """The gradient, which the network stops, and the rates, which the optimizer has, name the same parameters."""
    model = ModelConfig(backbone=backbone, backbone_width=8, batch_norm="frozen", frozen_stages=2)
    image = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3))
    network = make_backbone(model, jnp.float32)
    variables = jax.jit(functools.partial(network.init, train=False))(jax.random.key(0), image)

    def total(params):
        return sum(jnp.square(tap).sum() for tap in network.apply(variables | {"params": params}, image, train=True))

    gradient = jax.jit(jax.grad(total))(variables["params"])
    still = {path for path, values in leaves_by_path(gradient).items() if not jnp.abs(values).max()}
    rates = {path: group_rate(OptimizerConfig(), model, ("backbone", *path.split("/"))) for path in still}
    assert still
    assert set(rates.values()) == {0.0}
    moving = set(leaves_by_path(gradient)) - still
    free = ModelConfig(backbone=backbone, batch_norm="trained", frozen_stages=0)
    kernels = {path for path in moving if path.endswith("kernel")}
    assert kernels
    assert all(group_rate(OptimizerConfig(), model, ("backbone", *path.split("/"))) > 0 for path in kernels)
    assert all(group_rate(OptimizerConfig(), free, ("backbone", *path.split("/"))) > 0 for path in still)
    first_learning = {"resnet18": "layer2_0", "efficientnet_lite0": "layer3_0"}
    assert min(path.split("/")[0] for path in kernels) == first_learning[backbone]


def test_what_is_frozen_takes_no_memory_in_the_optimizer():
    def size(model):
        state = make_optimizer(OptimizerConfig(preconditioner="muon"), model, 10).init(PARAMS)
        return sum(leaf.size for leaf in jax.tree.leaves(state) if leaf.ndim)

    scale = PARAMS["backbone"]["bn1"]["bn"]["scale"].size
    assert size(ModelConfig()) - size(ModelConfig(batch_norm="frozen")) == 2 * scale  # two moments


def test_frozen_stages_need_frozen_statistics():
    with pytest.raises(ValueError, match="needs their statistics frozen"):
        ModelConfig(frozen_stages=2)


def test_muon_steps_by_orthogonal_matrices_of_one_size_and_leaves_the_rest_to_adam():
    rng = np.random.default_rng(0)
    shapes = {"query": (32, 4, 8), "out": (4, 8, 32), "conv": (3, 3, 16, 8)}
    as_matrix = {"query": (32, 32), "out": (32, 32), "conv": (144, 8)}
    params = {name: {"kernel": _well_conditioned(as_matrix[name], rng).reshape(shapes[name])} for name in shapes}
    params |= {
        "queries": rng.normal(size=(43, 32)),
        "last": {"kernel": rng.normal(size=(32, 3)), "bias": rng.normal(size=3)},
    }
    params = jax.tree.map(jnp.float32, params)
    config = OptimizerConfig(learning_rate=0.1, preconditioner="muon", muon_rms=0.3, weight_decay=0.0)
    optimizer = make_optimizer(config, PLAIN, 10)
    steps = leaves_by_path(optimizer.update(params, optimizer.init(params), params)[0])  # the gradient is p

    for name, shape in as_matrix.items():
        step = np.asarray(steps[f"{name}/kernel"], np.float64).reshape(shape)
        gradient = np.asarray(params[name]["kernel"], np.float64).reshape(shape)
        # Muon turns every singular value into one size; its five iterations leave them between 0.7 and 1.2 of that.
        u, _, vt = np.linalg.svd(gradient, full_matrices=False)
        np.testing.assert_allclose(u.T @ step @ vt.T / (-0.1 * 0.3 * max(shape) ** 0.5), np.eye(len(vt)), atol=0.35)
    for path in ("queries", "last/kernel", "last/bias"):
        size = -np.asarray(steps[path]) * np.sign(leaves_by_path(params)[path])  # Adam's first step is all sign
        np.testing.assert_allclose(size, size.flat[0], rtol=1e-4)
        assert 0.1 < size.flat[0] < 0.2  # optax looks ahead (Nesterov) here, so that it is longer than the rate


def _well_conditioned(shape, rng):
    u, _, vt = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    return u * np.linspace(0.5, 2.0, len(vt)) @ vt


def test_muon_takes_the_networks_weight_matrices_and_nothing_else():
    image = jnp.zeros((1, 256, 256, 3), jnp.uint8)
    shapes = jax.eval_shape(lambda: OccRobNet(PLAIN).init(jax.random.key(0), image, train=False))["params"]
    shape_of = {path: leaf.shape for path, leaf in leaves_by_path(shapes).items()}
    expected = {path for path, shape in shape_of.items() if path.endswith("kernel") and shape[-1] >= 8}
    assert _taken_by_muon(shapes) == expected
    assert {"backbone/conv1/kernel", "decoder/layer0/cross_attention/query/kernel"} <= expected
    small = {path for path in expected if np.prod(shape_of[path]) <= 100_000}
    assert _taken_by_muon(shapes, most_elements=100_000) == small
    assert small < expected


def _taken_by_muon(shapes, most_elements=0):
    flat, _ = jax.tree_util.tree_flatten_with_path(
        matrices(shapes, most_elements), is_leaf=lambda x: isinstance(x, optax.contrib.MuonDimensionNumbers)
    )
    return {jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat}


def test_clipping_shortens_the_whole_gradient():
    gradient = {"decoder": {"kernel": jnp.array([[30.0, 40.0]]), "bias": jnp.zeros(2)}}
    changed = {}
    for norm in (0.0, 5.0, 500.0):
        optimizer = make_optimizer(OptimizerConfig(clip_norm=norm), ModelConfig(), 10)
        changed[norm] = optimizer.update(gradient, optimizer.init(gradient), gradient)[1]
    for norm, expected in ((0.0, [[3.0, 4.0]]), (5.0, [[0.3, 0.4]]), (500.0, [[3.0, 4.0]])):
        moments = leaves_by_path(changed[norm])["1/inner_states/rest/inner_state/mu/decoder/kernel"]
        np.testing.assert_allclose(moments, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("constant", {0: 0.1, 4: 0.5, 9: 1.0, 50: 1.0, 99: 1.0}),
        ("drop", {0: 0.1, 9: 1.0, 79: 1.0, 80: 0.1, 99: 0.1, 200: 0.1}),
        ("step", {0: 0.1, 19: 1.0, 20: 0.7, 39: 0.7, 40: 0.49, 99: 0.7**4}),
        ("cosine", {0: 0.1, 50: 0.5, 100: 0.0, 200: 0.0}),
    ],
)
def test_schedules(kind, expected):
    config = OptimizerConfig(schedule=kind, warmup_steps=10, decay_every_steps=20)
    for step, factor in expected.items():
        assert schedule(config, 100, jnp.int32(step)) == pytest.approx(factor, abs=1e-6)


def test_the_schedule_scales_the_step():
    at_once = trained(OptimizerConfig(learning_rate=0.1), steps=1)
    warming = trained(OptimizerConfig(learning_rate=0.1, warmup_steps=10), steps=1)
    moved = [PARAMS["decoder"]["kernel"] - params["decoder"]["kernel"] for params in (at_once, warming)]
    np.testing.assert_allclose(0.1 * moved[0], moved[1], rtol=1e-4)


def test_the_average_follows_the_weights_quickly_when_young_and_slowly_when_old():
    old, new = {"w": jnp.float32(0.0)}, {"w": jnp.float32(1.0)}
    assert update_average(old, new, jnp.int32(1), 0.999)["w"] == pytest.approx(1 - 2 / 11)
    assert update_average(old, new, jnp.int32(100_000), 0.999)["w"] == pytest.approx(0.001, rel=1e-3)
    assert update_average(new, new, jnp.int32(7), 0.999)["w"] == 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.0},
        {"backbone_learning_rate": -1.0},
        {"beta1": 1.0},
        {"average_decay": 1.0},
        {"warmup_steps": -1},
        {"muon_rms": -0.2},
        {"muon_most_elements": -1},
        {"clip_norm": float("nan")},
        {"schedule": "linear"},
        {"decay_factor": 0.0},
        {"decay_factor": 1.5},
    ],
)
def test_wrong_settings_are_named(change):
    (name,) = change
    with pytest.raises(ValueError, match=rf"optimizer\.{name}="):
        dataclasses.replace(OptimizerConfig(), **change)


def test_the_schedule_step_needs_its_length():
    with pytest.raises(ValueError, match=r"optimizer\.decay_every_steps=0 must be 1 or more for 'step'"):
        OptimizerConfig(schedule="step")


def test_the_state_has_no_empty_nodes_that_every_step_would_walk_through():
    image = jnp.zeros((1, 64, 64, 3), jnp.uint8)
    model = OccRobNet(PLAIN)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), image, train=False))["params"]
    optimizer = make_optimizer(OptimizerConfig(), PLAIN, 100)
    state = jax.eval_shape(optimizer.init, params)
    empty = [
        node
        for node in jax.tree.leaves(state, is_leaf=lambda node: isinstance(node, optax.MaskedNode))
        if isinstance(node, optax.MaskedNode)
    ]
    assert not empty
    updates, after = jax.eval_shape(optimizer.update, params, state, params)
    assert jax.tree.structure(updates) == jax.tree.structure(params)
    assert jax.tree.structure(after) == jax.tree.structure(state)
