"""The count of a program's products against closed formulas, and XLA's count of the plain program."""

import jax
import jax.numpy as jnp
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.models.ops.attention import softmax_attention
from occrobnet_jax.models.ops.winograd import conv_3x3, pays
from occrobnet_jax.parallel.flops import product_flops
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.training.setup import build
from occrobnet_jax.training.utilization import forward_flops
from tests.support.tiny import INPUT_SIZE_PX, tiny_model

pytestmark = pytest.mark.usefixtures("shallow_resnet18")


def shape(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_products_of_matrices_count_two_operations_a_pair():
    assert product_flops(jnp.matmul, shape(5, 7), shape(7, 11)) == 2 * 5 * 7 * 11
    assert product_flops(jnp.matmul, shape(3, 5, 7), shape(3, 7, 11)) == 3 * 2 * 5 * 7 * 11


def test_convolutions_count_their_taps_also_in_groups():
    def convolve(groups: int):
        return lambda x, kernel: jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
        )

    assert product_flops(convolve(1), shape(2, 8, 8, 6), shape(3, 3, 6, 10)) == 2 * (2 * 4 * 4 * 10) * 9 * 6
    assert product_flops(convolve(2), shape(2, 8, 8, 6), shape(3, 3, 3, 10)) == 2 * (2 * 4 * 4 * 10) * 9 * 3


def test_a_gradient_has_twice_the_products_of_its_function():
    def loss(x, kernel):
        return jnp.sum(jnp.tanh(x @ kernel))

    forward = product_flops(loss, shape(5, 7), shape(7, 11))
    assert product_flops(jax.value_and_grad(loss, argnums=(0, 1)), shape(5, 7), shape(7, 11)) == 3 * forward


def test_a_loop_counts_as_often_as_it_runs_and_the_largest_branch_counts():
    def loop(x):
        return jax.lax.scan(lambda state, _: (state @ state, None), x, length=6)[0]

    def branch(x):
        return jax.lax.cond(x[0, 0] > 0, lambda x: x @ x @ x, lambda x: x, x)

    once = 2 * 4**3
    assert product_flops(jax.jit(loop), shape(4, 4)) == 6 * once
    assert product_flops(branch, shape(4, 4)) == 2 * once


def test_the_form_for_a_cpu_counts_as_the_plain_one():
    heads = shape(2, 256, 4, 16)
    attention = [product_flops(lambda q, k, v, b=b: softmax_attention(q, k, v, b), *[heads] * 3) for b in (0, 64)]
    assert attention == [2 * 2 * (2 * 4 * 256**2 * 16)] * 2
    x, kernel = shape(1, 64, 64, 256), shape(3, 3, 256, 256)
    assert pays(x.shape, kernel.shape, training=False)
    assert product_flops(conv_3x3, x, kernel) == 2 * 64**2 * 9 * 256**2


@pytest.mark.long
@pytest.mark.parametrize("query_block", [0, 4])
def test_the_network_counts_what_xla_counts_in_its_plain_program(query_block):
    experiment = Experiment(
        model=tiny_model(ciet_query_block=query_block), data=DataConfig(input_size_px=INPUT_SIZE_PX)
    )
    run = build(experiment, jax.devices()[:1])
    found = forward_flops(experiment, run.model, run.state.variables)
    plain = build(Experiment(model=tiny_model(), data=experiment.data), jax.devices()[:1]).model
    image = jax.ShapeDtypeStruct((1, INPUT_SIZE_PX, INPUT_SIZE_PX, 3), jnp.uint8)
    lowered = jax.jit(lambda variables, image: plain.apply(variables, image, train=False)).trace(
        run.state.variables, image
    )
    of_xla = lowered.lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]
    assert 0.8 * of_xla < found < 1.2 * of_xla  # XLA counts sums too, and no samples in the padding
