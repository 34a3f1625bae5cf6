"""Measures everything: python -m benchmarks.run [--only NAME ...] [--quick] [--again].

Each benchmark has a process of its own. What is in the results file for this commit already is not measured again,
so an interrupted run goes on where it was. The table has all that is in the file, with a remark at rows that another
commit, machine or number of runs made.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import jax

from benchmarks import results
from occrobnet_jax.parallel.host_memory import keep_freed_memory

FULL_RUNS, QUICK_RUNS = 5, 2
DEFAULT_PLATFORMS = "cpu"
ON_GPU = ("train_step", "inference_1", "inference_8", "ciet")
"""What --device=cuda measures unless told otherwise, the most telling first: the other parts are the host's."""
ON_CUDA = {"JAX_PLATFORMS": "cuda", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
"""Environment of a benchmark on a GPU; without the second JAX would take three quarters of its memory from PyTorch."""
LIBRARIES = ("jax", "jaxlib", "flax", "grain", "numpy", "opencv-python-headless", "torch", "torchvision")
RESULTS = {"cpu": Path("runs/bench/results.json"), "cuda": Path("runs/bench/results_cuda.json")}
UNFINISHED = "+changes"  # of a commit: such rows are never taken for that commit's


class Benchmark(NamedTuple):
    """The module that measures, and the ratios that are wanted: smaller is better."""

    module: str
    floor: float
    goal: float


BENCHMARKS = {
    "train_step": Benchmark("train_step", 1.8, 1.0),
    "backbone": Benchmark("backbone", 1.6, 1.0),
    "inference_1": Benchmark("inference", 1.0, 0.7),
    "inference_8": Benchmark("inference", 1.0, 0.7),
    "ciet": Benchmark("ciet", 0.9, 0.5),
    "keypoints": Benchmark("keypoints", 0.03, 0.01),
    "pipeline": Benchmark("pipeline", 2.0, 1.33),
    "dataloader": Benchmark("dataloader", 0.7, 0.5),
    "workers": Benchmark("workers", 0.77, 0.59),
    "kypt_config": Benchmark("kypt_config", 1.5, 1.0),
    "render": Benchmark("render", 1.0, 15 / 40),
    "render_v2": Benchmark("render", 1.0, 20 / 40),
    "photo": Benchmark("photo", 1.5, 1.0),
    "first_page": Benchmark("photo", 1.5, 1.0),
    "cold_start": Benchmark("cold_start", 1.0, 0.5),
    "host_overhead": Benchmark("host_overhead", 1.0, 0.5),
    "growth": Benchmark("growth", 1.1, 1.0),
}
"""In the order of the table in docs/performance.md."""


def main() -> None:
    """Measure what the flags say, and print the table."""
    flags = parse(sys.argv[1:])
    if flags.device == "cuda":
        os.environ |= ON_CUDA
    if flags.child:
        measure_here(flags.only[0], flags.quick, flags.output)
        return
    rows = {row["name"]: row for row in results.read_rows(flags.output)}
    now, measured, failed = context(flags.quick), set[str](), set[str]()
    for name in flags.only or (ON_GPU if flags.device == "cuda" else BENCHMARKS):
        if name in rows and is_current(rows[name], now) and not flags.again:
            print(f"{name}: measured for this commit already; --again measures it anew", flush=True)
            continue
        started_s = time.monotonic()
        print(f"{name} ...", flush=True)
        row = measure_in_child(name, flags.quick)
        if row is None:
            failed.add(name)
            continue
        rows[name] = row
        measured.add(name)
        results.write_rows(flags.output, in_order(rows))
        print(f"{name}: ratio {row['ratio']:.3f}, in {time.monotonic() - started_s:.0f} s", flush=True)
    print(report(in_order(rows), now, measured))
    sys.exit(bool(failed))


def in_order(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows in the order of the benchmarks."""
    return [rows[name] for name in BENCHMARKS if name in rows]


def report(rows: list[dict[str, Any]], now: dict[str, Any], measured: Collection[str]) -> str:
    """Return the table, with what the rows without a remark are of, and remarks at the others.

    Args:
        rows: of the results file.
        now: the context of this call.
        measured: the names of what this call measured.
    """
    remarks = {row["name"]: remark(row, now, row["name"] in measured) for row in rows}
    table = results.table(rows, {name: text for name, text in remarks.items() if text})
    return f"at {_short(now['commit'])}, {_length(now)}:\n{table}"


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs instead of {FULL_RUNS}")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--output", type=Path, help="the results file")
    parser.add_argument("--device", choices=tuple(RESULTS), default="cpu", help="of both sides; cuda: in bfloat16")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    flags.output = flags.output or RESULTS[flags.device]
    return flags


def is_current(row: dict[str, Any], now: dict[str, Any]) -> bool:
    """Return whether a row was measured for this commit here, with at least as many runs as are wanted now.

    Args:
        row: of the results file.
        now: the context of this call.
    """
    is_of_this_code = row["commit"] == now["commit"] and not row["commit"].endswith(UNFINISHED)
    return is_of_this_code and not _other_surroundings(row, now) and (now["quick"] or not row["quick"])


def remark(row: dict[str, Any], now: dict[str, Any], is_new: bool) -> str:
    """Return how a row was measured if that is not how this call measures, or nothing.

    Args:
        row: of the results file.
        now: the context of this call.
        is_new: whether this call measured it. Of older rows nobody knows what the changes to their commit were.
    """
    is_of_this_code = row["commit"] == now["commit"] and (is_new or not row["commit"].endswith(UNFINISHED))
    surroundings = _other_surroundings(row, now)
    if is_of_this_code and not surroundings and row["quick"] == now["quick"]:
        return ""
    return ", ".join([f"at {_short(row['commit'])}", _length(row), *surroundings])


def _other_surroundings(row: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the machine and versions of a row as far as they are not those of now; what isn't recorded doesn't
    differ.
    """
    kinds = [(row.get(kind, {}), now[kind]) for kind in ("machine", "versions")]
    return [f"{name} {was}" for kept, current in kinds for name, was in kept.items() if was != current.get(name)]


def _length(row: dict[str, Any]) -> str:
    """Return how long measuring is."""
    return "--quick" if row["quick"] else "in full"


def _short(commit: str) -> str:
    """Return the first characters of a commit, with its mark."""
    return commit.removesuffix(UNFINISHED)[:10] + (UNFINISHED if commit.endswith(UNFINISHED) else "")


def measure_in_child(name: str, quick: bool) -> dict[str, Any] | None:
    """Return the row that a process of its own found, or None where it failed, which is said."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "row.json"
        command = [sys.executable, "-m", "benchmarks.run", "--child", "--only", name, "--output", str(output)]
        done = subprocess.run(command + ["--quick"] * quick, env=child_environment(), check=False)
        if done.returncode == 0:
            return results.read_rows(output)[0]
    print(f"{name} FAILED with status {done.returncode}", flush=True)
    return None


def child_environment() -> dict[str, str]:
    """Return the environment with both sides on the CPU, unless JAX_PLATFORMS says otherwise; what they compile is kept
    for the next time.
    """
    cache = Path(tempfile.gettempdir()).resolve() / f"occrobnet_bench_{os.getuid()}"
    return {"JAX_PLATFORMS": DEFAULT_PLATFORMS, "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor")} | dict(os.environ)


def measure_here(name: str, quick: bool, output: Path) -> None:
    """Measure one benchmark in this process and write its row. Both sides have train.py's memory settings."""
    keep_freed_memory()
    benchmark = BENCHMARKS[name]
    module = importlib.import_module(f"benchmarks.{benchmark.module}")
    measured_here = context(quick)  # before a benchmark keeps itself to one core, and while the code is as it was read
    found = module.measure(name, QUICK_RUNS if quick else FULL_RUNS)
    row = results.as_row(name, *bounds(benchmark), found, measured_here)
    results.write_rows(output, [row | {"device": jax.devices()[0].device_kind}])


def bounds(benchmark: Benchmark) -> tuple[float, float]:
    """Return the floor and the goal: set for CPUs; on a GPU both are PyTorch's time."""
    is_on_gpu = os.environ.get("JAX_PLATFORMS") == ON_CUDA["JAX_PLATFORMS"]
    return (1.0, 1.0) if is_on_gpu else (benchmark.floor, benchmark.goal)


def context(quick: bool) -> dict[str, Any]:
    """Return what a number means nothing without."""
    versions = {"python": sys.version.split()[0]}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    machine = results.machine() | {"jax_platforms": os.environ.get("JAX_PLATFORMS", DEFAULT_PLATFORMS)}
    return {"quick": quick, "commit": git_commit(), "date": now, "machine": machine, "versions": versions}


def git_commit() -> str:
    """Return the commit of the code that runs, marked where files differ from it; "unknown" outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = ["git", "status", "--porcelain", "--untracked-files=no"]
        is_changed = subprocess.run(changes, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown" + UNFINISHED
    return commit + (UNFINISHED if is_changed else "")


if __name__ == "__main__":
    main()
