import json
from pathlib import Path

import pytest

from occrobnet_jax.runs.experiment import WandbConfig
from occrobnet_jax.training.metric_writer import MetricWriter, keep_lines_until


def writer(workdir, step=0, is_lead=True):
    return MetricWriter(workdir, WandbConfig(), {}, step=step, last_step=100, is_lead=is_lead)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_each_write_is_a_line_of_json(tmp_path, capsys, monkeypatch):
    now_s = iter([1000.0, 1010.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now_s))
    with writer(tmp_path) as metrics:
        metrics.write(10, {"loss": 1.25, "images_per_s": 3})
        metrics.write(20, {"loss": 1.0, "val/mpjpe_mm": float("nan")})
        assert len(lines(tmp_path)) == 2  # already, not only at the end
        metrics.summarize({"step": 20})
    assert lines(tmp_path) == [
        {"step": 10, "loss": 1.25, "images_per_s": 3.0},
        {"step": 20, "loss": 1.0, "val/mpjpe_mm": None},
    ]
    assert capsys.readouterr().out.splitlines() == [
        "step 10 of 100: loss 1.25, images_per_s 3",
        "step 20 of 100, 01:20 left: loss 1, val/mpjpe_mm nan",
    ]


def test_a_resumed_run_continues_the_record_without_duplicates(tmp_path):
    with writer(tmp_path) as metrics:
        for step in (10, 20, 30, 40):
            metrics.write(step, {"loss": float(step)})
    with writer(tmp_path, step=20) as metrics:
        metrics.write(30, {"loss": 31.0})
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(10, 10), (20, 20), (30, 31)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's disk that is always full")
def test_a_full_disk_is_told_with_file_and_step_and_ends_the_report(tmp_path):
    metrics, ended, full = writer(tmp_path), [], Path("/dev/full")
    metrics._journal._file.close()
    metrics._journal._file, metrics._wandb.finish = full.open("ab"), lambda failed: ended.append(failed)
    with pytest.raises(OSError, match=r"step 7 can't be recorded in .*jsonl \(No space left on device\): make room"):
        metrics.write(7, {"loss": 1.0})
    with pytest.raises(OSError, match="No space left"):
        metrics.__exit__(OSError)
    assert ended == [True]


@pytest.mark.parametrize("tail", ['{"step": 2, "lo', "nonsense", "{}", "[3]", ""])
def test_half_written_lines_are_dropped(tmp_path, tail):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n' + tail)
    keep_lines_until(path, 5)
    assert path.read_text() == '{"step": 1}\n'


def test_hosts_that_do_not_lead_write_nothing(tmp_path):
    with writer(tmp_path, is_lead=False) as metrics:
        metrics.write(1, {"loss": 1.0})
        metrics.write_images(1, {"val/overlays": []})
        metrics.summarize({})
        assert not metrics.shows_images
    assert not list(tmp_path.iterdir())
