"""How benchmark results are kept; what is measured needs PyTorch and time."""

import importlib
import json
from pathlib import Path

import pytest

from benchmarks import results, run
from benchmarks.timing import alternate, spread

TIMES = {"ours": [3.0, 2.0, 10.0], "PyTorch eager": [4.0, 6.0, 5.0], "torch.compile": [8.0, 8.0, 8.0]}
MACHINE, VERSIONS = {"processor": "EPYC", "cores": 2}, {"jax": "0.10.2", "torch": "2.14.1"}
CONTEXT = {"commit": "abc", "quick": False, "machine": MACHINE, "versions": VERSIONS}


def row(name: str = "ciet", **context: object) -> dict[str, object]:
    return results.as_row(name, 0.9, 0.5, results.measurement(TIMES, "s/pass", 2, flops=9e9), CONTEXT | context)


def test_medians_are_compared_with_the_better_competitor():
    found = row()
    assert (found["ours"], found["competitor"], found["ratio"]) == (1.5, 2.5, 0.6)
    assert (found["competitor_is"], found["runs"], found["unit"]) == ("PyTorch eager", 3, "s/pass")
    assert found["spread"] == {"ours": pytest.approx(8 / 3), "competitor": pytest.approx(2 / 5)}
    assert found["gflops_per_s"] == pytest.approx(6.0)
    assert found["details"]["torch.compile s/pass"] == 4.0


def test_contestants_take_turns_and_warm_up_first():
    calls = []
    times = alternate({"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), 7.0)[1]}, runs=2, warm_up=1)
    assert calls == ["a", "b"] * 3
    assert times["b"] == [7.0, 7.0]  # a contestant's own clock counts
    assert len(times["a"]) == 2
    assert spread([1.0, 2.0, 4.0]) == 1.5


def test_a_competitor_that_fails_is_left_out_but_not_ours():
    def fails() -> None:
        raise RuntimeError("no compiler")

    times = alternate({"ours": lambda: 1.0, "PyTorch eager": lambda: 2.0, "torch.compile": fails}, runs=1)
    assert times == {"ours": [1.0], "PyTorch eager": [2.0]}
    found = results.as_row("ciet", 0.9, 0.5, results.measurement(times, "s/pass"), CONTEXT)
    assert found["left_out"] == {"torch.compile": "RuntimeError: no compiler"}
    assert results.table([found]).endswith(" PyTorch eager, without torch.compile [goal]")
    with pytest.raises(RuntimeError, match="no compiler"):
        alternate({"ours": fails}, runs=1)
    with pytest.raises(ValueError, match=r"nothing to compare with.*no compiler"):
        results.measurement(alternate({"ours": lambda: 1.0, "torch.compile": fails}, runs=1), "s/pass")


def test_a_competitor_that_fails_later_ends_the_benchmark():
    seconds = iter([1.0, 2.0])
    with pytest.raises(StopIteration):
        alternate({"ours": lambda: 1.0, "torch.compile": lambda: next(seconds)}, runs=2, warm_up=1)


def test_results_are_written_whole_and_read_back(tmp_path):
    path = tmp_path / "bench" / "results.json"
    assert results.read_rows(path) == []
    results.write_rows(path, [row()])
    assert results.read_rows(path) == [row()]
    assert [file.name for file in path.parent.iterdir()] == ["results.json"]
    path.write_text(json.dumps({"name": "ciet"}))
    with pytest.raises(ValueError, match="delete it"):
        results.read_rows(path)


@pytest.mark.parametrize(
    ("kept", "quick", "current"),
    [
        ({}, False, True),
        ({"quick": True}, False, False),
        ({"quick": True}, True, True),
        ({"commit": "older"}, False, False),
        ({"commit": "abc" + run.UNFINISHED}, False, False),
        ({"machine": MACHINE | {"cores": 8}}, False, False),
        ({"versions": VERSIONS | {"jax": "0.10.1"}}, True, False),
        ({"machine": {}, "versions": {"jax": "0.10.2"}}, False, True),  # what isn't recorded
    ],
)
def test_only_what_this_commit_measured_here_is_not_measured_again(kept, quick, current):
    now = CONTEXT | {"quick": quick}
    assert run.is_current(row(**kept), now) == current
    changed = {"commit": "abc" + run.UNFINISHED}
    assert not run.is_current(row(**changed), now | changed)


@pytest.mark.parametrize(
    ("kept", "now", "is_new", "remark"),
    [
        ({}, {}, False, ""),
        ({"commit": "0123456789abcdef"}, {}, False, "at 0123456789, in full"),
        ({"commit": "0123456789abcdef+changes", "quick": True}, {}, True, "at 0123456789+changes, --quick"),
        ({"commit": "abc+changes"}, {"commit": "abc+changes"}, False, "at abc+changes, in full"),
        ({"commit": "abc+changes"}, {"commit": "abc+changes"}, True, ""),
        ({"quick": True}, {}, False, "at abc, --quick"),
        ({}, {"quick": True}, False, "at abc, in full"),
        ({"quick": True}, {"quick": True}, False, ""),
        (
            {"machine": MACHINE | {"cores": 8}, "versions": {"jax": "0.10.1", "flax": "1"}},
            {},
            False,
            "at abc, in full, cores 8, jax 0.10.1, flax 1",
        ),
    ],
)
def test_rows_that_were_measured_otherwise_have_a_remark(kept, now, is_new, remark):
    assert run.remark(row(**kept), CONTEXT | now, is_new) == remark


def test_the_table_says_what_its_rows_are_of():
    older = {"commit": "0123456789abcdef", "quick": True}
    rows = [row("backbone", **older), row("ciet"), row("render", **older), row("growth", machine={"cores": 1})]
    head, _, *lines = run.report(rows, CONTEXT, measured=["ciet"]).splitlines()
    assert head == "at abc, in full:"
    assert [line.rsplit("[", 1)[1] for line in lines[:4]] == ["floor] (1)", "floor]", "floor] (1)", "floor] (2)"]
    assert lines[4:] == ["(1) at 0123456789, --quick", "(2) at abc, in full, cores 1"]


def test_the_context_is_that_of_the_machine_before_measuring(monkeypatch, tmp_path):
    def measure(name: str, runs: int) -> results.Measurement:
        monkeypatch.setattr(results, "machine", lambda: {"cores": 1})  # as a benchmark does that keeps to one core
        return results.measurement(TIMES, "s/example")

    monkeypatch.setattr(results, "machine", lambda: {"cores": 2})
    monkeypatch.setattr(run, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(importlib.import_module("benchmarks.render"), "measure", measure)
    run.measure_here("render", quick=False, output=tmp_path / "row.json")
    (found,) = results.read_rows(tmp_path / "row.json")
    assert found["machine"] == {"cores": 2, "jax_platforms": "cpu"}


def test_a_benchmark_that_fails_ends_in_an_error_beside_its_older_row(monkeypatch, tmp_path, capsys):
    path = tmp_path / "results.json"
    results.write_rows(path, [row("ciet", commit="0123456789abcdef")])
    monkeypatch.setattr("sys.argv", ["run", "--only", "ciet", "render", "--output", str(path)])
    monkeypatch.setattr(run, "measure_in_child", lambda name, quick: None if name == "ciet" else row("render"))
    monkeypatch.setattr(run, "context", lambda quick: CONTEXT | {"quick": quick})
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 1
    assert "[floor] (1)\nrender " in capsys.readouterr().out
    assert [found["name"] for found in results.read_rows(path)] == ["ciet", "render"]


def test_every_benchmark_has_a_file_that_measures_it():
    for name, benchmark in run.BENCHMARKS.items():
        file = Path(results.__file__).with_name(f"{benchmark.module}.py")
        assert "def measure(name: str, runs: int) -> Measurement:" in file.read_text(), name
    assert hasattr(importlib.import_module("benchmarks.render"), "measure")


def test_the_table_says_what_reaches_its_floor():
    lines = results.table([row(), row() | {"ratio": 0.95}, row() | {"ratio": 0.4}]).splitlines()
    assert [line.rsplit("[", 1)[1] for line in lines[1:]] == ["floor]", "MISSED]", "goal]"]


def test_a_gpu_has_its_own_file_and_list_and_is_held_to_pytorchs_time(monkeypatch):
    settings: dict[str, dict[str, str]] = {}
    written: dict[str, int] = {}

    def measure_in_child(name: str, quick: bool) -> dict[str, object]:
        settings[name] = {variable: run.child_environment()[variable] for variable in run.ON_CUDA}
        return row(name)

    monkeypatch.setattr("sys.argv", ["run", "--device", "cuda"])
    monkeypatch.setattr(run, "measure_in_child", measure_in_child)
    monkeypatch.setattr(results, "read_rows", lambda path: [])
    monkeypatch.setattr(results, "write_rows", lambda path, rows: written.update({str(path): len(rows)}))
    for name in run.ON_CUDA:
        monkeypatch.setenv(name, "as it was")  # so that it is put back
    with pytest.raises(SystemExit) as ended:
        run.main()
    assert ended.value.code == 0
    assert settings == dict.fromkeys(run.ON_GPU, run.ON_CUDA)
    assert written == {"runs/bench/results_cuda.json": len(run.ON_GPU)}
    assert run.bounds(run.BENCHMARKS["ciet"]) == (1.0, 1.0)


def test_a_cpu_keeps_its_floors():
    assert run.parse([]).output == Path("runs/bench/results.json")
    assert run.bounds(run.BENCHMARKS["ciet"]) == (0.9, 0.5)
