"""From the start of train.py's process to its first finished step: the paper's network, the second time."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.results import Measurement, measurement

LIMIT_S, BATCH_SIZE, GIVE_UP_S, POLL_S = 20.0, 8, 900.0, 0.05


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds; the first start, which fills the compilation cache, is in the details."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        times = []
        for run in range(runs + 1):
            times.append(seconds_to_first_step(Path(folder), f"run{run}"))
            print(f"  start {run + 1}: {times[-1]:.1f} s", flush=True)
    sides = {"ours": times[1:], "20 s": [LIMIT_S] * runs}
    return measurement(sides, "s/start", details={"first start in s": times[0]})


def prepare(folder: Path) -> None:
    """Write a small dataset."""
    counts = ["--train", str(2 * BATCH_SIZE), "--val", "4", "--test", "4"]
    command = [sys.executable, "-m", "input_pipeline.prepare", "synthetic_hands", "--data_dir", str(folder / "data")]
    subprocess.run(command + counts, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds_to_first_step(folder: Path, name: str) -> float:
    """Start training in a new workdir, and end it once the step's numbers are written; return how long that took.

    Raises:
        RuntimeError: it ended or took too long without a step.
    """
    workdir = folder / name
    settings = {"data.data_dir": folder / "data", "compilation_cache_dir": folder / "cache", "wandb.mode": "disabled"}
    settings |= {"global_batch_size": BATCH_SIZE, "stop_after_steps": 1, "eval_every_steps": 0}
    command = [sys.executable, "train.py", "--config=configs/synthetic.py", f"--workdir={workdir}"]
    command += [f"--config.{key}={value}" for key, value in settings.items()]
    started_s = time.perf_counter()
    with (workdir.parent / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        while not has_content(workdir / "metrics.jsonl"):
            if process.poll() is not None or time.perf_counter() - started_s > GIVE_UP_S:
                raise RuntimeError(f"no step was finished:\n{(workdir.parent / f'{name}.log').read_text()[-2000:]}")
            time.sleep(POLL_S)
        return time.perf_counter() - started_s
    finally:
        process.kill()
        process.wait()


def has_content(path: Path) -> bool:
    """Return whether a file is there and not empty."""
    return path.exists() and path.stat().st_size > 0
