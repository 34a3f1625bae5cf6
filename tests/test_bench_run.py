"""How benchmark results are kept; what is measured needs PyTorch and time."""

import importlib
import json
from pathlib import Path

import pytest

from benchmarks import results, run
from benchmarks.timing import alternate, spread

TIMES = {"ours": [3.0, 2.0, 10.0], "PyTorch eager": [4.0, 6.0, 5.0], "torch.compile": [8.0, 8.0, 8.0]}
CONTEXT = {"commit": "abc", "quick": False}


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

    assert alternate({"ours": lambda: 1.0, "torch.compile": fails}, runs=1) == {"ours": [1.0]}
    with pytest.raises(RuntimeError, match="no compiler"):
        alternate({"ours": fails}, runs=1)


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
    ],
)
def test_only_what_this_commit_measured_is_not_measured_again(kept, quick, current):
    assert run.is_current(row(**kept), "abc", quick) == current
    assert not run.is_current(row(commit="abc" + run.UNFINISHED), "abc" + run.UNFINISHED, quick)


def test_every_benchmark_has_a_file_that_measures_it():
    for name, benchmark in run.BENCHMARKS.items():
        file = Path(results.__file__).with_name(f"{benchmark.module}.py")
        assert "def measure(name: str, runs: int) -> Measurement:" in file.read_text(), name
    assert hasattr(importlib.import_module("benchmarks.render"), "measure")


def test_the_table_says_what_reaches_its_floor():
    lines = results.table([row(), row() | {"ratio": 0.95}, row() | {"ratio": 0.4}]).splitlines()
    assert [line.rsplit("[", 1)[1] for line in lines[1:]] == ["floor]", "MISSED]", "goal]"]
