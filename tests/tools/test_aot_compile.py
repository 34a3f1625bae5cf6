"""The training step through the TPU compiler; what needs libtpu (`make testaot`) is skipped elsewhere."""

import dataclasses
import importlib.util
import json

import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.parallel.mesh import MeshConfig
from occrobnet_jax.runs.experiment import Experiment
from tests.support.tiny import INPUT_SIZE_PX, LEAN_MODEL
from tools.aot_compile import bounds_of, compile_report, table
from tools.aot_table import SWITCHED, SWITCHES, cases, switch_cases, switch_table
from tools.aot_table import table as markdown
from tools.tpu.topologies import CHIPS, chip_of

HAS_COMPILER = importlib.util.find_spec("libtpu") is not None
TINY = Experiment(
    model=LEAN_MODEL,
    data=DataConfig(input_size_px=INPUT_SIZE_PX),
    global_batch_size=8,
    teacher_forced_steps=3,
    compute_dtype="bfloat16",
)


@pytest.mark.skipif(HAS_COMPILER, reason="the TPU compiler is here")
def test_without_the_compiler_one_sentence_says_how_to_get_it():
    with pytest.raises(ValueError, match=r"`make aot` installs it \(libtpu\) in \.venv-aot"):
        compile_report(TINY, "v5e:2x2")


@pytest.mark.parametrize("topology", ["v5e", "h100:2x2", ""])
def test_an_unknown_chip_is_refused_with_those_that_are_known(topology):
    with pytest.raises(ValueError, match=r"for example v5e:4x4; chips: \['v5e', 'v6e', 'v5p'\]"):
        chip_of(topology)


def test_the_bound_is_the_longest_of_three_times():
    chip = CHIPS["v5e"]
    bounds = bounds_of(chip, {"tflop": 1.97, "gb_moved": 81.9}, [], images=5)
    assert (bounds["compute_s"], bounds["memory_s"]) == (pytest.approx(0.01), pytest.approx(0.1))
    assert (bounds["limit"], bounds["images_per_s_bound"]) == ("memory", pytest.approx(50))
    assert chip.links_s(200e9) == pytest.approx(1)  # 400 GB/s are both directions together


def test_the_table_has_the_24_cases_of_the_issue():
    named = dict(cases())
    assert len(named) == 24
    assert "--config.global_batch_size=768" in named["v5p_float32_fsdp_768"]


def test_switches_differ_from_their_case_by_one_flag():
    base = set(dict(cases())[SWITCHED])
    assert [sorted(set(flags) - base) for _, flags in switch_cases()] == [[flag] for flag in SWITCHES.values()]
    memory = {"total_gib": 2.0, "temporary_gib": 1.5, "commit": "0123456789abcdef+changes"}
    work = {"tflop": 1.0, "gb_moved": 3.0, "roofline_s": 0.004}
    rows = switch_table(
        {
            SWITCHED: memory | work | {"accumulation_steps": 1},
            f"{SWITCHED}_accumulation_4": memory | {"accumulation_steps": 4},
        }
    ).splitlines()
    assert rows[2] == "| none | 2.00 | 1.50 | 1.00 | 3.0 | 4.0 | 0123456+changes |"
    assert rows[3] == "| accumulation_4 | 2.00 | 1.50 | not said of a loop |  |  | 0123456+changes |"


@pytest.mark.skipif(not HAS_COMPILER, reason="libtpu isn't installed: make testaot")
def test_the_smallest_step_compiles_for_a_tpu_and_sends_gradients_and_statistics_only(shallow_resnet18):
    report, _ = compile_report(TINY, "v5e:2x4")
    assert report["fits"]
    assert 0 < report["temporary_gib"] < report["total_gib"] < 1
    assert report["tflop"] > 0
    assert set(report["collectives"]) == {"all-reduce"}
    assert report["collectives_on_activations"] == 0
    assert report["collectives"]["all-reduce"]["mb"] < 1.1 * report["parameters_mb"]
    assert report["limit"] in table(report)
    assert "all-reduce" in markdown({"tiny": json.loads(json.dumps(report))})


@pytest.mark.skipif(not HAS_COMPILER, reason="libtpu isn't installed: make testaot")
def test_nothing_is_said_of_the_time_of_a_loop_whose_length_the_compiler_does_not_give(shallow_resnet18):
    report, _ = compile_report(dataclasses.replace(TINY, accumulation_steps=2, global_batch_size=16), "v5e:2x4")
    assert 0 < report["temporary_gib"] < report["total_gib"] < 1
    assert not {"tflop", "gb_moved", "roofline_s", "images_per_s_bound"} & set(report)
    assert "collectives are those of one microbatch" in table(report)
    assert report["collectives"]["all-reduce"]["mb"] < 0.6 * report["parameters_mb"]  # bfloat16, as without the loop


@pytest.mark.skipif(not HAS_COMPILER, reason="libtpu isn't installed: make testaot")
def test_fsdp_gathers_parameters_in_the_type_of_computation_and_no_activation(shallow_resnet18):
    """When XLA alone chose what to gather, 15 of 264 collectives were on activations, and 19 exchanged them."""
    report, _ = compile_report(dataclasses.replace(TINY, mesh=MeshConfig(1, -1, 64)), "v5e:2x4")
    assert report["collectives_on_activations"] == 0
    assert set(report["collectives"]) <= {"all-gather", "all-reduce", "reduce-scatter"}
    for one in report["collectives"].values():
        assert one["mb"] < 0.6 * report["parameters_mb"]  # bfloat16: half their size


@pytest.mark.skipif(not HAS_COMPILER, reason="libtpu isn't installed: make testaot")
def test_a_grid_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="--topology=v5e:3x5"):
        compile_report(TINY, "v5e:3x5")
