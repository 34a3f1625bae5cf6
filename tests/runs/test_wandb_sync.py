"""What Weights & Biases' server gets of runs, from the real wandb and a stand-in for the server."""

import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment, WandbConfig
from occrobnet_jax.runs.sync import lacking, last_values
from occrobnet_jax.runs.wandb_run import workdir_of
from tests.faults.processes import REPOSITORY
from tests.faults.wandb_servers import Taking, taking
from tests.support.limits import HANG_S

ACTS = """
import json, sys
from pathlib import Path
from occrobnet_jax.runs.experiment import WandbConfig
from occrobnet_jax.runs.sync import main
from occrobnet_jax.training import metric_writer


def train(mode, workdir, first, steps, preempted=False):
    config = WandbConfig(mode=mode, group="seeds")
    writer = metric_writer.MetricWriter(Path(workdir), config, {"seed": 1}, step=first, last_step=50, is_lead=True)
    with writer:
        for step in steps:
            writer.write(step, {"loss": 100.0 / step, "val/mpjpe_mm": float("nan")})
        if preempted:
            writer.end_unfinished(143, preempted=True)
    return writer.wandb_id


acts = {"train": train, "sync": lambda workdir: main([workdir])}
print(json.dumps([acts[name](*given) for name, *given in json.loads(sys.argv[1])]))
"""


def act(server: Taking, *acts: list[Any], **environment: str) -> list[Any]:
    """What calls in a process of its own, which knows the server, return: ["train", mode, ...] or ["sync", workdir]."""
    ours = {"WANDB_BASE_URL": server.address, "WANDB_API_KEY": "0" * 40, "WANDB_ERROR_REPORTING": "false"}
    command = [sys.executable, "-c", ACTS, json.dumps(acts)]
    said = subprocess.run(
        command, cwd=REPOSITORY, env=os.environ | ours | environment, text=True, capture_output=True, timeout=HANG_S
    )
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout.splitlines()[-1])


def lines(workdir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if isinstance(value, int | float)} for row in rows]


def keep(workdir: Path, step: int) -> None:
    """What a run that has ended leaves beside its record."""
    config = config_of(Experiment(total_steps=50, wandb=WandbConfig(mode="offline", group="seeds")))
    (workdir / "config.json").write_text(json.dumps(config))
    (workdir / "summary.json").write_text(json.dumps({"step": step, "state_sha256": "abc"}))


@pytest.mark.long
def test_the_parts_of_an_offline_run_become_one_run_whatever_was_killed(tmp_path):
    """The second part takes a step again that the first, which was killed after its checkpoint, had told W&B already.

    What is synced twice is there once.
    """
    keep(tmp_path, 50)
    parts = ["train", "offline", str(tmp_path), 0, [10, 20, 30]], ["train", "offline", str(tmp_path), 20, [30, 40, 50]]
    with taking() as server:
        run, again, *statuses = act(server, *parts, *2 * [["sync", str(tmp_path)]])
    assert (run == again, statuses) == (True, [0, 0])
    taken = server.runs[run]
    assert finite(taken.values()) == finite(lines(tmp_path))
    assert [row["step"] for row in taken.values()] == [10, 20, 30, 40, 50]
    assert (taken.group, taken.project, taken.exit_codes) == ("seeds", "occrobnet-jax", [0, 0])
    assert (taken.summary["state_sha256"], taken.summary["loss"], taken.summary["step"]) == ("abc", 2.0, 50)


@pytest.mark.long
def test_a_preempted_run_is_given_out_again_and_goes_on_as_itself(tmp_path):
    first, second = (
        ["train", "online", str(tmp_path), 0, [10, 20], True],
        ["train", "online", str(tmp_path), 20, [30]],
    )
    with taking() as server:
        run, again = act(server, first, second)
    taken = server.runs[run]
    assert (run == again, taken.preempting, taken.exit_codes) == (True, True, [143, 0])
    assert finite(taken.values()) == finite(lines(tmp_path))


@pytest.mark.long
def test_in_a_sweep_the_agents_id_is_kept_and_each_run_has_a_workdir_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    with taking() as server, concurrent.futures.ThreadPoolExecutor() as pool:
        given = {}
        for run in ("run1", "run2"):
            monkeypatch.setenv("WANDB_RUN_ID", run)
            workdir = workdir_of(tmp_path)
            assert workdir == tmp_path / run
            workdir.mkdir()
            (workdir / "wandb_id.txt").write_text("another")  # what a sweep ignores
            given[run] = pool.submit(act, server, ["train", "online", str(workdir), 0, [10, 20]], WANDB_RUN_ID=run)
        for run, ids in given.items():
            assert ids.result() == [run] == [(tmp_path / run / "wandb_id.txt").read_text()]
    assert {run: taken.sweep for run, taken in server.runs.items()} == dict.fromkeys(given, "sweep1")
    monkeypatch.delenv("WANDB_SWEEP_ID")
    assert workdir_of(tmp_path) == tmp_path


def test_what_the_server_has_is_left_out_value_by_value():
    there = [{"_step": 0, "step": 10, "loss": 1.0}, {"step": 20, "loss": 2.0, "val/mpjpe_mm": 3.0}, {"_step": 5}]
    rows = [{"step": 10, "loss": 1.0, "val/mpjpe_mm": 4.0}, {"step": 20, "loss": 2.0}, {"step": 30, "loss": None}]
    assert lacking(rows, there) == [{"step": 10, "val/mpjpe_mm": 4.0}, {"step": 30, "loss": None}]
    assert lacking([*rows[:1], *rows[:1]], []) == rows[:1]


def test_the_summary_has_each_names_last_number_though_lines_come_in_any_order():
    rows = [{"step": 20, "loss": 2.0, "a": 1}, {"step": 30, "loss": None}, {"step": 10, "loss": 9.0, "b": 2}]
    assert last_values(rows) == {"step": 30, "loss": 2.0, "a": 1, "b": 2}
