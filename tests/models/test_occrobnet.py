"""The whole network: sizes, and what must not change its answer."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from occrobnet_jax.choices import check_choices
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.occrobnet import OccRobNet
from occrobnet_jax.types import Keypoints, Predictions
from tests.support.fake_runs import drawn_for
from tests.support.tiny import INPUT_SIZE_PX, tiny_model

pytestmark = pytest.mark.usefixtures("shallow_resnet18")

KYPT = {
    "neck": "unet",
    "ciet": "off",
    "input_normalisation": "unit",
    "visibility_head": False,
    "joints_2d_head": False,
}


def parameter_counts(config: ModelConfig) -> dict[str, int]:
    image = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.uint8)
    init = functools.partial(OccRobNet(config).init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), image)["params"]
    return {name: sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in shapes.items()}


def test_parameters_of_the_papers_network() -> None:
    counts = parameter_counts(ModelConfig())
    assert counts == {
        "backbone": 23_508_032,  # torchvision's ResNet-50 without its classifier
        "fpn": 1_574_144,
        "ciet": 4_659_968 + 100,  # two blocks and merge; spatial gate
        "rebuilt": 1_180_160,
        "finest": 292_160,
        "heatmap_head": 1_153,
        "object_head": 1_153,
        "tokens": 2_313_408,
        "encoder": 7_890_432,
        "class_head": 209_196,
        "decoder": 1_590_272,
        "pose_heads": 1_191_195,
        "hand_head": 1_050_114,
    }


def test_keypoint_transformer_is_a_configuration() -> None:
    """Counts of the released files (names and shapes), less what is never used there."""
    interhand = ModelConfig(**KYPT, representation="2.5d", with_object=False, max_joint_keypoints=100)
    unused = 1_984 + 134_154 + 132_355 + 66_563  # norm1, linear_shape, linear_cam, linear_hand_type
    assert sum(parameter_counts(interhand).values()) == 49_024_769 - unused
    h2o3d = ModelConfig(**KYPT, left_object_translation=True)
    unused = 1_984 + 134_154 + 135_696 + 66_563  # norm1, linear_shape, linear_obj_corner_proj, linear_hand_type
    assert sum(parameter_counts(h2o3d).values()) == 49_848_162 - unused
    ho3d = ModelConfig(
        **(KYPT | {"neck": "unet_big"}), decoder_layers=6, object_token_mlp=(1024, 512, 256), token_mlp=(1024, 512, 256)
    )
    unused = 7_936 + 134_154 + 135_696 + 66_563
    assert sum(parameter_counts(ho3d).values()) == 121_405_407 - unused


def images(count: int = 2) -> jax.Array:
    shape = (count, INPUT_SIZE_PX, INPUT_SIZE_PX, 3)
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


@functools.cache
def forward(dtype: Any = jnp.float32) -> Callable[[jax.Array, Keypoints], Predictions]:
    """The tiny network, compiled once for all tests that give it its keypoints."""
    _, variables = initialized(tiny_model())
    model = OccRobNet(tiny_model(), dtype)
    return jax.jit(lambda image, forced: model.apply(variables, image, train=False, forced=forced))


@functools.cache
def initialized(config: ModelConfig) -> tuple[OccRobNet, dict]:
    model = OccRobNet(config)
    return model, drawn_for(model)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"representation": "2.5d"},
        {"with_object": False},
        {"neck": "unet", "ciet": "off", "heatmap_stride": 2},
        {"localise_from": "ciet", "heatmap_stride": 2, "ciet_stride": 8},
        {"ciet_self_enhancing_blocks": 1, "ciet_gate": "elementwise", "backbone": "resnet50"},
    ],
    ids=str,
)
def test_shapes_of_every_variant(changes: dict) -> None:
    config = tiny_model(**changes)
    model = OccRobNet(config)
    applied = functools.partial(model.init_with_output, train=False)
    predictions, _ = jax.eval_shape(applied, jax.random.key(0), images())
    side = INPUT_SIZE_PX // config.heatmap_stride
    assert predictions.heatmap.shape == (2, side, side)
    slots = config.max_joint_keypoints + config.with_object * config.max_object_keypoints
    assert predictions.class_logits.shape == (1, 2, slots, config.num_classes)
    assert (predictions.bone_vectors_m is None) == (config.representation == "2.5d")
    assert (predictions.object_map is None) == (not config.with_object)


def keypoints(order: np.ndarray, padding: float) -> Keypoints:
    """Twelve joints in the given order of slots; what is in the other slots must not matter."""
    slots = tiny_model().max_joint_keypoints + tiny_model().max_object_keypoints
    xy = np.full((2, slots, 2), padding, np.float32)
    xy[:, order] = np.random.default_rng(1).uniform(0, 15, (2, 12, 2)).round()
    valid = np.zeros((2, slots), bool)
    valid[:, order] = True
    is_object = np.broadcast_to(np.arange(slots) >= 42, valid.shape)
    return Keypoints(jnp.asarray(xy), jnp.asarray(valid), jnp.asarray(is_object))


def test_order_and_padding_of_tokens_do_not_change_the_pose() -> None:

    def apply(forced: Keypoints) -> jax.Array:
        return forward()(images(), forced).bone_vectors_m

    first = apply(keypoints(np.arange(12), 0.0))
    np.testing.assert_allclose(apply(keypoints(np.arange(30, 42)[::-1], 0.0)), first, atol=1e-6)
    np.testing.assert_allclose(apply(keypoints(np.arange(12), 9.0)), first, atol=1e-6)
    moved = keypoints(np.arange(12), 0.0)
    moved = moved.replace(xy_hm=moved.xy_hm.at[:, 0].add(3.0))
    assert jnp.abs(apply(moved) - first).max() > 1e-6


def test_examples_of_a_batch_do_not_see_each_other() -> None:
    both, forced = images(), keypoints(np.arange(12), 0.0)
    other = jnp.stack([both[0], 255 - both[1]])
    one, two = (forward()(image, forced) for image in (both, other))
    np.testing.assert_allclose(one.bone_vectors_m[:, 0], two.bone_vectors_m[:, 0], atol=1e-6)
    np.testing.assert_allclose(one.heatmap[0], two.heatmap[0], atol=1e-5)
    assert jnp.abs(one.heatmap[1] - two.heatmap[1]).max() > 1e-3


def test_without_any_keypoint_the_output_is_finite() -> None:
    empty = keypoints(np.arange(12), 0.0)
    empty = empty.replace(valid=jnp.zeros_like(empty.valid))
    predictions = forward()(images(), empty)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(predictions))


def test_computation_in_bfloat16_stays_near_float32() -> None:
    forced = keypoints(np.arange(12), 0.0)
    exact, coarse = (forward(dtype)(images(), forced) for dtype in (jnp.float32, jnp.bfloat16))
    assert coarse.class_logits.dtype == jnp.float32
    spread = jnp.abs(exact.class_logits).max()
    assert jnp.abs(coarse.class_logits - exact.class_logits).max() < 0.1 * spread


def test_contradictions_in_the_configuration_are_refused() -> None:
    with pytest.raises(ValueError, match="has no CIET"):
        ModelConfig(neck="unet")
    with pytest.raises(ValueError, match="multiple of"):
        ModelConfig(width=250)
    with pytest.raises(ValueError, match="stride 2"):
        ModelConfig(neck="unet", ciet="off", heatmap_stride=4)


def test_a_value_that_a_choice_does_not_admit_is_refused() -> None:
    @dataclasses.dataclass
    class Record:
        ciet: Literal["dual", "off"]

    check_choices(Record("off"), "model")
    with pytest.raises(ValueError, match=r"model\.ciet='hard' is not one of \['dual', 'off'\]"):
        check_choices(Record("hard"), "model")
