"""What Weights & Biases' server gets of runs, from the real wandb and a stand-in for the server."""

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

TRAINS = """
import json, sys
from pathlib import Path
from occrobnet_jax.runs.experiment import WandbConfig
from occrobnet_jax.training import metric_writer

mode, workdir, start, steps, *asked = sys.argv[1:]
writer = metric_writer.MetricWriter(
    Path(workdir), WandbConfig(mode=mode, group="seeds"), {"seed": 1}, step=int(start), last_step=50, is_lead=True
)
with writer:
    for step in json.loads(steps):
        writer.write(step, {"loss": 100.0 / step, "val/mpjpe_mm": float("nan")})
    if asked:
        writer.end_unfinished(143, preempted=True)
print(writer.wandb_id)
"""


def start(server: Taking, *arguments: str, **environment: str) -> subprocess.Popen:
    ours = {"WANDB_BASE_URL": server.address, "WANDB_API_KEY": "0" * 40, "WANDB_ERROR_REPORTING": "false"}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=REPOSITORY,
        env=os.environ | ours | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen) -> str:
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return out.strip()


def train(server: Taking, mode: str, workdir: Path, first: int, steps: list[int], *asked: str, **env: str) -> str:
    arguments = (mode, str(workdir), str(first), json.dumps(steps), *asked)
    return end(start(server, "-c", TRAINS, *arguments, **env)).splitlines()[-1]


def lines(workdir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def finite(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if isinstance(value, int | float)} for row in rows]


def keep(workdir: Path, step: int) -> None:
    """What a run that has ended leaves beside its record."""
    config = config_of(Experiment(total_steps=50, wandb=WandbConfig(mode="offline", group="seeds")))
    (workdir / "config.json").write_text(json.dumps(config))
    (workdir / "summary.json").write_text(json.dumps({"step": step, "state_sha256": "abc"}))


def test_the_parts_of_an_offline_run_become_one_run_whatever_was_killed(tmp_path):
    """The second part takes steps again that the first, which was killed after its checkpoint, had told W&B already."""
    with taking() as server:
        first = train(server, "offline", tmp_path, 0, [10, 20, 30])
        assert train(server, "offline", tmp_path, 20, [30, 40, 50]) == first
        assert server.runs == {}
        keep(tmp_path, 50)
        for new in (5, 0):  # the second time there is nothing to send
            said = end(start(server, "-m", "occrobnet_jax.runs.sync", str(tmp_path)))
            assert f": {new} new lines" in said
        taken = server.runs[first]
        assert finite(taken.values()) == finite(lines(tmp_path))
        assert [row["step"] for row in taken.values()] == [10, 20, 30, 40, 50]
        assert (taken.group, taken.project, taken.exit_codes) == ("seeds", "occrobnet-jax", [0, 0])
        assert (taken.summary["state_sha256"], taken.summary["loss"], taken.summary["step"]) == ("abc", 2.0, 50)


def test_a_preempted_run_is_given_out_again_and_goes_on_as_itself(tmp_path):
    with taking() as server:
        run = train(server, "online", tmp_path, 0, [10, 20], "asked")
        taken = server.runs[run]
        assert (taken.preempting, taken.exit_codes) == (True, [143])
        assert train(server, "online", tmp_path, 20, [30]) == run
        assert taken.exit_codes == [143, 0]
        assert finite(taken.values()) == finite(lines(tmp_path))


def test_in_a_sweep_the_agents_id_is_kept_and_each_run_has_a_workdir_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    with taking() as server:
        for run in ("run1", "run2"):
            monkeypatch.setenv("WANDB_RUN_ID", run)
            workdir = workdir_of(tmp_path)
            assert workdir == tmp_path / run
            workdir.mkdir()
            (workdir / "wandb_id.txt").write_text("another")  # what a sweep ignores
            assert train(server, "online", workdir, 0, [10, 20]) == run == (workdir / "wandb_id.txt").read_text()
        assert set(server.runs) == {"run1", "run2"}
        assert {taken.sweep for taken in server.runs.values()} == {"sweep1"}
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
