import dataclasses

import jax
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.parallel.chips import Chip
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.training import utilization
from occrobnet_jax.training.setup import build
from tests.support.tiny import INPUT_SIZE_PX, tiny_model

pytestmark = pytest.mark.usefixtures("shallow_resnet18")

EXPERIMENT = Experiment(model=tiny_model(), data=DataConfig(input_size_px=INPUT_SIZE_PX), global_batch_size=8)


@pytest.fixture
def chip(monkeypatch) -> None:
    monkeypatch.setattr(utilization, "chip_of", lambda kind: Chip((kind,), 2.0, 0.5))


def test_where_no_peak_is_published_there_is_no_time_at_it():
    assert build(EXPERIMENT, jax.devices()[:1]).step_at_peak_s is None


@pytest.mark.usefixtures("chip")
def test_a_step_is_three_forward_passes_over_the_peak_of_all_devices():
    run = build(EXPERIMENT, jax.devices()[:4])
    forward = utilization.forward_flops(EXPERIMENT, run.model, run.state.variables)
    assert run.step_at_peak_s == pytest.approx(3 * 8 * forward / (4 * 0.5e12))


@pytest.mark.long
@pytest.mark.usefixtures("chip")
def test_neither_memory_savers_nor_parts_of_a_batch_change_what_the_model_needs():
    plain = build(dataclasses.replace(EXPERIMENT, compute_dtype="bfloat16"), jax.devices()[:1])
    saving = dataclasses.replace(plain.experiment, model=tiny_model(remat="blocks"), accumulation_steps=2)
    assert build(saving, jax.devices()[:1]).step_at_peak_s == plain.step_at_peak_s
