import datetime
import json

import pytest

from occrobnet_jax.training.goodput import STARTED_FILE, goodput, note_start, productive_time_s


def record(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_every_step_counts_once_with_the_mean_time_of_its_line(tmp_path):
    lines = [
        {"step": 10, "loss": 1.0, "step_time_s": 0.5},
        {"step": 14, "step_time_s": 2.0, "val/mpjpe_mm": 7.0},
        {"step": 14, "val/mpjpe_mm": 7.0},  # an evaluation that was made up for
        {"step": 15, "loss": 1.0},  # a step that had to be compiled
        {"step": 20, "step_time_s": 1.0},
    ]
    assert productive_time_s(record(tmp_path / "metrics.jsonl", *lines)) == pytest.approx(5 + 8 + 5)


def test_the_first_start_counts_however_often_the_run_is_started(tmp_path):
    note_start(tmp_path)
    first = (tmp_path / STARTED_FILE).read_text()
    note_start(tmp_path)
    assert (tmp_path / STARTED_FILE).read_text() == first
    began = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1000)
    (tmp_path / STARTED_FILE).write_text(began.isoformat() + "\n")
    record(tmp_path / "metrics.jsonl", {"step": 100, "step_time_s": 2.5})
    found = goodput(tmp_path)
    assert found["productive_s"] == 250
    assert found["since_first_start_s"] == pytest.approx(1000, abs=60)
    assert found["goodput_share"] == pytest.approx(0.25, abs=0.02)
