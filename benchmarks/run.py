"""Measures everything: python -m benchmarks.run [--only NAME ...] [--quick] [--again].

Each benchmark has a process of its own. What is in the results file for this commit already is not measured again,
so an interrupted run goes on where it was.
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
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import results
from occrobnet_jax.parallel.host_memory import keep_freed_memory

FULL_RUNS, QUICK_RUNS = 5, 2
LIBRARIES = ("jax", "jaxlib", "flax", "grain", "numpy", "opencv-python-headless", "torch", "torchvision")
RESULTS = Path("runs/bench/results.json")
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
    "cold_start": Benchmark("cold_start", 1.0, 0.5),
    "host_overhead": Benchmark("host_overhead", 1.0, 0.5),
    "growth": Benchmark("growth", 1.1, 1.0),
}
"""In the order of the table in docs/performance.md."""


def main() -> None:
    """Measures what the flags say, and prints the table."""
    flags = parse(sys.argv[1:])
    if flags.child:
        measure_here(flags.only[0], flags.quick, flags.output)
        return
    rows = {row["name"]: row for row in results.read_rows(flags.output)}
    commit = git_commit()
    for name in flags.only or BENCHMARKS:
        if name in rows and is_current(rows[name], commit, flags.quick) and not flags.again:
            print(f"{name}: measured for this commit already; --again measures it anew", flush=True)
            continue
        started_s = time.monotonic()
        print(f"{name} ...", flush=True)
        row = measure_in_child(name, flags.quick)
        if row is not None:
            rows[name] = row
            results.write_rows(flags.output, [rows[known] for known in BENCHMARKS if known in rows])
            print(f"{name}: ratio {row['ratio']:.3f}, in {time.monotonic() - started_s:.0f} s", flush=True)
    print(results.table(rows[name] for name in BENCHMARKS if name in rows))
    sys.exit(any(name not in rows for name in flags.only or BENCHMARKS))


def parse(arguments: list[str]) -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(BENCHMARKS), metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_RUNS} runs instead of {FULL_RUNS}")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the results file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def is_current(row: dict[str, Any], commit: str, quick: bool) -> bool:
    """Whether a row was measured for this commit, with at least as many runs as are wanted now."""
    return row["commit"] == commit and not commit.endswith(UNFINISHED) and (quick or not row["quick"])


def measure_in_child(name: str, quick: bool) -> dict[str, Any] | None:
    """The row that a process of its own found, or None where it failed, which is said."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "row.json"
        command = [sys.executable, "-m", "benchmarks.run", "--child", "--only", name, "--output", str(output)]
        done = subprocess.run(command + ["--quick"] * quick, env=child_environment(), check=False)
        if done.returncode == 0:
            return results.read_rows(output)[0]
    print(f"{name} FAILED with status {done.returncode}", flush=True)
    return None


def child_environment() -> dict[str, str]:
    """Both sides on the CPU, with what they compile kept for the next time."""
    cache = Path(tempfile.gettempdir()).resolve() / f"occrobnet_bench_{os.getuid()}"
    return {"JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor")} | dict(os.environ)


def measure_here(name: str, quick: bool, output: Path) -> None:
    """Measures one benchmark in this process and writes its row. Both sides have train.py's memory settings."""
    keep_freed_memory()
    benchmark = BENCHMARKS[name]
    module = importlib.import_module(f"benchmarks.{benchmark.module}")
    found = module.measure(name, QUICK_RUNS if quick else FULL_RUNS)
    results.write_rows(output, [results.as_row(name, benchmark.floor, benchmark.goal, found, context(quick))])


def context(quick: bool) -> dict[str, Any]:
    """What a number means nothing without."""
    versions = {"python": sys.version.split()[0]}
    for library in LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"quick": quick, "commit": git_commit(), "date": now, "machine": results.machine(), "versions": versions}


def git_commit() -> str:
    """The commit of the code that runs, marked where files differ from it; "unknown" outside a checkout."""
    try:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = ["git", "status", "--porcelain", "--untracked-files=no"]
        is_changed = subprocess.run(changes, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown" + UNFINISHED
    return commit + (UNFINISHED if is_changed else "")


if __name__ == "__main__":
    main()
