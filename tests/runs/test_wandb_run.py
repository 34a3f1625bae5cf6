import contextlib
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from occrobnet_jax.runs.experiment import WandbConfig
from occrobnet_jax.runs.wandb_run import SERVICE, WandbRun, run_id
from tests.faults.processes import REPOSITORY, wait_until
from tests.faults.wandb_servers import HOW, server
from tests.support.limits import HANG_S

BLOCK_BYTES, HEADER_BYTES = 32 * 1024, 7


def records(path: Path) -> list[bytes]:
    """Records of an offline run's file: LevelDB's log format after seven bytes that name the file's kind."""
    data, at, whole, parts = path.read_bytes(), HEADER_BYTES, [], b""
    assert data[:4] == b":W&B"
    while at + HEADER_BYTES <= len(data):
        left = BLOCK_BYTES - at % BLOCK_BYTES
        if left < HEADER_BYTES:  # a record's header never straddles two blocks
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + HEADER_BYTES : at + HEADER_BYTES + length]
        at += HEADER_BYTES + length
        if kind in (1, 4):  # complete, or the last part
            whole.append(parts)
            parts = b""
    return whole


def read_run(workdir: Path) -> list:
    """All records of the offline runs in a workdir, oldest run first."""
    from wandb.proto.wandb_internal_pb2 import Record

    files = sorted(workdir.glob("wandb/offline-run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    return [Record.FromString(record) for file in files for record in records(file)]


def as_dict(items) -> dict:
    """Name and value pairs of a protocol buffer; nested names are joined by points."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


@pytest.mark.filterwarnings("ignore")  # what W&B does with its sockets is its own affair
def test_an_offline_run_holds_everything_and_goes_on_after_a_restart(tmp_path, monkeypatch):
    monkeypatch.setattr("occrobnet_jax.runs.wandb_run.FINISH_TIMEOUT_S", 600)  # the machine may be busy
    config = WandbConfig(mode="offline", project="hands", name="a run", tags=("tiny", "test"))
    image = np.zeros((8, 8, 3), np.uint8)
    for first in (10, 20):
        run = WandbRun(config, tmp_path, {"seed": 3, "model": {"ciet": "dual"}})
        run.log({"step": first, "loss": 100.0 / first})
        run.log({"step": first + 5, "loss": 100.0 / (first + 5), "val/mpjpe_mm": 30.0})
        run.log_images(first + 5, {"val/overlays": [image, image]})
        run.summarize({"state_sha256": "abc"})
        run.finish(failed=first == 10)
        time.sleep(1.1)  # wandb names its folders by the second; a restart takes longer
    found = read_run(tmp_path)

    starts = [record.run for record in found if record.HasField("run")]
    assert {start.run_id for start in starts} == {run.id} == {run_id(tmp_path)}
    assert {(start.project, start.display_name, tuple(start.tags)) for start in starts} == {
        ("hands", "a run", ("tiny", "test"))
    }
    assert as_dict(starts[0].config.update)["model"] == {"ciet": "dual"}
    axes = {(r.metric.name or r.metric.glob_name): r.metric.step_metric for r in found if r.HasField("metric")}
    assert axes.get("*") == "step" or axes.get("loss") == "step"
    history = [as_dict(record.history.item) for record in found if record.HasField("history")]
    losses = {row["step"]: row["loss"] for row in history if "loss" in row}
    assert losses == {10: 10.0, 15: 100 / 15, 20: 5.0, 25: 4.0}
    assert [row["val/mpjpe_mm"] for row in history if "val/mpjpe_mm" in row] == [30.0, 30.0]
    assert [row["val/overlays.count"] for row in history if "val/overlays.count" in row] == [2, 2]
    summaries = [as_dict(record.summary.update) for record in found if record.HasField("summary")]
    assert any(summary.get("state_sha256") == "abc" for summary in summaries)
    assert len(list(tmp_path.rglob("*.png"))) >= 1
    assert [record.exit.exit_code for record in found if record.HasField("exit")] == [1, 0]


def test_the_id_of_a_run_is_drawn_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert run_id(tmp_path / "a") == run_id(tmp_path / "a") != run_id(tmp_path / "b")


def test_a_disabled_run_leaves_nothing(tmp_path):
    run = WandbRun(WandbConfig(mode="disabled"), tmp_path, {})
    run.log({"step": 1, "loss": 1.0})
    run.log_images(1, {"val/overlays": [np.zeros((8, 8, 3), np.uint8)]})
    run.summarize({})
    run.finish()
    assert (run.id, list(tmp_path.iterdir())) == ("", [])


@pytest.mark.parametrize("breaks_at", ["init", "define_metric", "log", "finish"])
def test_failures_are_told_once_and_never_raised(tmp_path, monkeypatch, caplog, breaks_at):
    calls = []

    def fake(name, result=None):
        def call(*_, **__):
            calls.append(name)
            if name == breaks_at:
                raise ConnectionError("no route to the server")
            return result

        return call

    reports = {name: fake(name) for name in ("define_metric", "log", "finish")}
    run = types.SimpleNamespace(id="r", **reports, summary={})
    module = types.SimpleNamespace(init=fake("init", run), Settings=lambda **_: None, Image=lambda image: image)
    monkeypatch.setitem(sys.modules, "wandb", module)
    reporting = WandbRun(WandbConfig(mode="online"), tmp_path, {})
    for step in range(3):
        reporting.log({"step": step})
    reporting.summarize({"step": 3})
    reporting.finish()
    assert calls.count(breaks_at) == 1
    assert len([r for r in caplog.records if "no route to the server" in r.getMessage()]) == 1


def test_a_server_that_hangs_does_not_hold_up_the_run(tmp_path, monkeypatch, caplog):
    released = threading.Event()
    module = types.SimpleNamespace(init=lambda **_: released.wait(HANG_S), Settings=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr("occrobnet_jax.runs.wandb_run.FINISH_TIMEOUT_S", 0.05)
    monkeypatch.setattr("occrobnet_jax.runs.wandb_run.MOST_WAITING", 20)
    began = time.monotonic()
    reporting = WandbRun(WandbConfig(mode="online"), tmp_path, {})
    for step in range(10):
        reporting.log({"step": step})
    reporting.finish()
    assert time.monotonic() - began < HANG_S / 2  # half as long as the server hangs
    assert "off for the rest of this process: it hasn't taken everything within 0.05 s" in caplog.text
    assert reporting.id == run_id(tmp_path)
    released.set()
    reporting._worker.join(HANG_S)
    assert caplog.text.count("off for the rest of this process") == 1


REPORTS = """
import os, sys, time
from pathlib import Path
from occrobnet_jax.runs import wandb_run

wandb_run.FINISH_TIMEOUT_S, wandb_run.INIT_TIMEOUT_S = 2.0, 2
run, slowest_s = wandb_run.WandbRun(wandb_run.WandbConfig(mode="online"), Path(sys.argv[1]), {}), 0.0
end_s = time.monotonic() + 600
while not Path(sys.argv[2]).exists() and time.monotonic() < end_s:
    began_s = time.monotonic()
    run.log({"step": 1, "loss": 1.0})
    slowest_s = max(slowest_s, time.monotonic() - began_s)
    time.sleep(0.1)
run.finish()
print(slowest_s, run.id)
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, subprocess.Popen]]]:
    """A process for each server, all at the same time; they report for some seconds, and until one server has left."""
    with contextlib.ExitStack() as servers:
        addresses = {how: servers.enter_context(server(how)) for how in HOW}
        started = {how: start_report(tmp_path_factory.mktemp(how), address) for how, address in addresses.items()}
        wait_until(lambda: not is_there(addresses["leaves"]), HANG_S, "the server's leave")
        time.sleep(2.0)
        for workdir, _ in started.values():
            (workdir / "enough").write_text("")
        yield started
        for _, process in started.values():  # another worker of pytest may have taken the test that reads from it
            process.communicate(timeout=HANG_S)


def start_report(workdir: Path, address: str) -> tuple[Path, subprocess.Popen]:
    command = [sys.executable, "-c", REPORTS, str(workdir), str(workdir / "enough")]
    environment = os.environ | {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return workdir, subprocess.Popen(command, cwd=REPOSITORY, env=environment, text=True, **pipes)


@pytest.mark.long
@pytest.mark.parametrize("how", HOW)
def test_a_process_logs_on_and_ends_whatever_the_server_does(reports, how):
    """With the real wandb."""
    workdir, process = reports[how]
    out, said = process.communicate(timeout=HANG_S)
    assert process.returncode == 0, said
    slowest_s, run = out.split()
    assert run == run_id(workdir)
    assert float(slowest_s) < 1.0
    assert said.count("Weights & Biases is off for the rest of this process") == 1


def is_there(address: str) -> bool:
    host, port = address.removeprefix("http://").split(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def test_a_slow_server_costs_no_memory_without_end(tmp_path, monkeypatch, caplog):
    released = threading.Event()
    module = types.SimpleNamespace(init=lambda **_: released.wait(HANG_S), Settings=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr("occrobnet_jax.runs.wandb_run.MOST_WAITING", 5)
    reporting = WandbRun(WandbConfig(mode="online"), tmp_path, {})
    for step in range(50):
        reporting.log({"step": step})
    assert caplog.text.count("5 records wait to be sent") == 1
    released.set()
    reporting.finish()


def test_an_unknown_mode_is_refused():
    with pytest.raises(
        ValueError, match=r"wandb.mode='of' is not one of \['online', 'shared', 'offline', 'disabled'\]"
    ):
        WandbConfig(mode="of")  # type: ignore[arg-type]


HANGS_AT_THE_END = """
import atexit, pathlib, subprocess, sys, types
from occrobnet_jax.runs import wandb_run

def start(**_):  # as wandb.init does
    atexit.register(subprocess.Popen([f"./{wandb_run.SERVICE}", "600"]).wait)
    return types.SimpleNamespace(id="r", define_metric=lambda *_, **__: None, finish=lambda **_: None)

sys.modules["wandb"] = types.SimpleNamespace(init=start, Settings=lambda **_: None)
wandb_run.EXIT_TIMEOUT_S = 0.5
run = wandb_run.WandbRun(wandb_run.WandbConfig(mode="online"), pathlib.Path(), {})
run.finish()
"""


@pytest.mark.long
def test_a_finished_process_ends_though_wandbs_own_hangs(tmp_path):
    shutil.copy(shutil.which("sleep"), tmp_path / SERVICE)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", HANGS_AT_THE_END], cwd=tmp_path, env=environment, timeout=HANG_S, check=True)
