"""The training step through the TPU compiler; what needs libtpu (`make testaot`) is skipped elsewhere."""

import dataclasses
import importlib.util
import json

import jax
import jax.numpy as jnp
import pytest

from input_pipeline.config import DataConfig
from occrobnet_jax.models.ops.attention import softmax_attention
from occrobnet_jax.parallel.mesh import MeshConfig, batch_sharding, make_mesh
from occrobnet_jax.runs.experiment import Experiment
from tests.support.tiny import INPUT_SIZE_PX, LEAN_MODEL
from tools import aot_table
from tools.aot_compile import bounds_of, compile_report, table, tpu_devices
from tools.aot_table import (
    SWITCHED,
    SWITCHES,
    cases,
    compile_missing,
    read_rows,
    row_of,
    switch_cases,
    switch_table,
    write_rows,
)
from tools.aot_table import table as table_of
from tools.tpu.memory_traffic import bytes_moved
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


REPORT = {
    **{"topology": "v5e:4x4", "mesh": {"data": 1, "fsdp": 16}, "compute_dtype": "bfloat16", "images": 96.0},
    **{"accumulation_steps": 1, "fits": True, "total_gib": 2.0, "temporary_gib": 1.5, "chip_gib": 16, "tflop": 1.0},
    **{"gb_moved": 3.0, "roofline_s": 0.004, "limit": "memory", "images_per_s_bound": 24000.0},
    "collectives": {"all-gather": {"count": 3, "mb": 10.0}, "all-reduce": {"count": 2, "mb": 4.5}},
    "commit": "0123456789abcdef+changes",
}
OF_LOOP = {name: value for name, value in REPORT.items() if name not in ("tflop", "gb_moved", "roofline_s")}


def test_the_tables_are_made_of_rows_that_were_written_and_read_back(tmp_path):
    reports = {SWITCHED: REPORT, f"{SWITCHED}_accumulation_4": OF_LOOP | {"accumulation_steps": 4}}
    unfit = OF_LOOP | {"fits": False, "reason": "Used 20G of 16G, which is too much"}
    write_rows(tmp_path / "aot.csv", [row_of(name, report) for name, report in (reports | {"unfit": unfit}).items()])
    rows, commit = read_rows(tmp_path / "aot.csv"), "0123456+changes"
    setting = "| v5e:4x4 | fsdp | bfloat16 | 96"
    assert table_of([rows[SWITCHED], rows["unfit"]]).splitlines()[2:] == [
        f"{setting} | 2.00 | 16 | 1.00 | 3.0 | 4.0 | memory | 24000 | 3 all-gather, 2 all-reduce | 14 | {commit} |",
        f"{setting} | does not fit: Used 20G of 16G, which is too much{' | ' * 9}{commit} |",
    ]
    assert switch_table(list(rows.values())[:2]).splitlines()[2:] == [
        "| none | 2.00 | 1.50 | 1.00 | 3.0 | 4.0 | 0123456+changes |",
        "| accumulation_4 | 2.00 | 1.50 | not said of a loop |  |  | 0123456+changes |",
    ]


def test_a_case_that_is_in_the_file_is_not_compiled_again(tmp_path, monkeypatch):
    compiled = []
    monkeypatch.setattr(aot_table, "compile_case", lambda name, flags: compiled.append(name) or row_of(name, REPORT))
    path = tmp_path / "aot.csv"
    assert len(compile_missing(path, "v6e_bfloat16")) == 4
    assert set(compile_missing(path, "bfloat16_data_96")) == set(compiled) == set(read_rows(path))
    assert len(compiled) == len(set(compiled)) == 6


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
    assert "all-reduce" in table_of([row_of("tiny", json.loads(json.dumps(report)))])


@pytest.mark.skipif(not HAS_COMPILER, reason="libtpu isn't installed: make testaot")
def test_the_tpu_compiler_knows_every_option_of_overlap(shallow_resnet18):
    report, _ = compile_report(dataclasses.replace(TINY, xla_flags="overlap"), "v5e:2x2")
    assert set(report["collectives"]) == {"all-reduce"}


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


@pytest.mark.skipif(not HAS_COMPILER, reason="libtpu isn't installed: make testaot")
def test_attention_writes_the_products_of_all_pairs_twice_and_never_in_float32():
    """Weights, and the gradient of the scores: 12.7 passes over an array of that size became 8.7."""
    images, positions, heads = 96, 1024, 4
    weights = 2 * images * heads * positions**2  # bytes a chip

    def with_gradients(q, k, v, dy):
        value, back = jax.vjp(lambda *given: softmax_attention(*given, 0), q, k, v)
        return value, back(dy)

    mesh = make_mesh(MeshConfig(-1, 1), tpu_devices("v5e:2x2"))
    array = jax.ShapeDtypeStruct((4 * images, positions, heads, 64), jnp.bfloat16)
    compiled = jax.jit(with_gradients, in_shardings=batch_sharding(mesh)).lower(*[array] * 4).compile()
    assert bytes_moved(compiled.as_text()) < 9 * weights
    assert compiled.memory_analysis().temp_size_in_bytes < 1.1 * weights
