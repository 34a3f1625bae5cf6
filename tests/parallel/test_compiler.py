"""Options of XLA's CPU compiler, and compilation beside other work."""

import dataclasses
import functools
import threading
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.evaluation.evaluate import make_predict_step
from occrobnet_jax.inference import network, predictor
from occrobnet_jax.parallel.compiler import CPU, fast_programs, quick_compilation
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.restored import Restored
from occrobnet_jax.training.setup import Run, build, compiled_meanwhile
from tests.support.limits import HANG_S
from tests.support.tiny import INPUT_SIZE_PX, tiny_model

pytestmark = pytest.mark.usefixtures("shallow_resnet18")

YNN = "__ynn_fusion"


def program(options) -> str:
    """A convolution with 64 channels and a matrix product, compiled."""

    def function(x, kernel, weights):
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y.reshape(-1, 64) @ weights

    shapes = (jnp.ones(shape) for shape in ((2, 32, 32, 64), (3, 3, 64, 64), (64, 64)))
    return jax.jit(function, compiler_options=options).lower(*shapes).compile().as_text()


def tiny_experiment() -> Experiment:
    return Experiment(model=tiny_model(), data=DataConfig(input_size_px=INPUT_SIZE_PX), global_batch_size=8)


@functools.cache
def tiny_run() -> Run:
    return build(tiny_experiment(), jax.devices()[:1])


def ynn_operations(text: str) -> list[str]:
    return [line for line in text.splitlines() if YNN in line and "fusion(" in line]


def test_convolutions_are_not_ynns_and_products_are():
    assert len(ynn_operations(program(None))) == 2
    (left,) = ynn_operations(program(fast_programs("cpu")))
    assert "dot_general" in left


@pytest.mark.parametrize("platform", ["tpu", "gpu", "cuda"])
def test_other_platforms_have_their_own_defaults(platform):
    assert fast_programs(platform) is None
    assert quick_compilation(platform) is None


@pytest.mark.parametrize("xla_flags", ["overlap", "deterministic"])
def test_this_xla_knows_every_option_for_gpus(xla_flags):
    options = fast_programs("gpu", xla_flags)
    assert options
    lowered = jax.jit(jnp.sin).lower(jnp.ones(3))
    lowered.compile(compiler_options=options)  # of another platform's options only the names are looked at
    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        lowered.compile(compiler_options={"xla_gpu_enable_nonsense": True})


def test_a_switch_never_changes_cpus():
    assert fast_programs("cpu") == fast_programs("cpu", "overlap") == fast_programs("cpu", "deterministic")


def test_the_switch_reaches_training_and_evaluation(monkeypatch):
    seen = {}

    def spy(platform, xla_flags):
        seen[xla_flags] = seen.get(xla_flags, 0) + 1
        return CPU

    monkeypatch.setattr("occrobnet_jax.parallel.compiler.fast_programs", spy)
    experiment = dataclasses.replace(tiny_experiment(), xla_flags="overlap")
    run = build(experiment, jax.devices()[:1])
    make_predict_step(run.experiment, run.model, run.mesh)
    assert seen == {"overlap": 2}


def test_training_evaluation_and_prediction_are_compiled_with_them(monkeypatch):
    seen = {}
    jit = jax.jit

    def spy(function, **options):
        seen[function.__name__ if hasattr(function, "__name__") else "create"] = options.get("compiler_options")
        return jit(function, **options)

    monkeypatch.setattr(jax, "jit", spy)
    run = build(tiny_experiment(), jax.devices()[:1])
    make_predict_step(run.experiment, run.model, run.mesh)
    monkeypatch.setattr(
        "occrobnet_jax.runs.restore.restore_for_inference", lambda *_: Restored(config_of(run.experiment), {}, 1, "")
    )
    monkeypatch.setattr(network, "check_variables", lambda *_: None)  # of which there are none here
    predictor.load_predictor(Path("workdir"))
    assert seen["train_step"] == seen["predict"] == seen["pose"] == fast_programs("cpu")
    assert seen["create"] == quick_compilation("cpu")


class StandIn:
    """Of a step; notes in which thread it is compiled, and may fail there."""

    def __init__(self, error: Exception | None = None):
        self.error, self.threads = error, []

    def trace(self, *_: Any) -> "StandIn":
        return self

    def lower(self) -> "StandIn":
        return self

    def compile(self) -> None:
        self.threads.append(threading.current_thread())
        if self.error:
            raise self.error


def test_the_step_is_compiled_in_a_thread_of_its_own():
    step, done = StandIn(), []
    with compiled_meanwhile(dataclasses.replace(tiny_run(), train_step=step)):
        done.append("body")
    assert len(step.threads) == len(done) == 1
    assert step.threads[0] is not threading.main_thread()


def test_an_error_of_the_compiler_comes_when_the_body_is_done():
    done = []
    with (
        pytest.raises(ValueError, match="no memory"),
        compiled_meanwhile(dataclasses.replace(tiny_run(), train_step=StandIn(ValueError("no memory")))),
    ):
        done.append("body")
    assert done == ["body"]


def test_an_error_of_the_body_does_not_wait_for_the_compiler():
    told = threading.Event()
    step = StandIn()
    step.compile = lambda: told.wait(HANG_S)
    with pytest.raises(KeyError), compiled_meanwhile(dataclasses.replace(tiny_run(), train_step=step)):
        raise KeyError
    assert "compile_0" in [thread.name for thread in threading.enumerate()]
    told.set()
