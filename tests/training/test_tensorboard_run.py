"""TensorBoard's event files, read back record by record."""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

from occrobnet_jax.runs.experiment import WandbConfig
from occrobnet_jax.training.metric_writer import MetricWriter
from occrobnet_jax.training.tensorboard_run import check_installed

event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2", reason="pip install tensorboardX")


def events(file: Path) -> list:
    """The records of a file: length, checksum, content, checksum."""
    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        found.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    return found


def scalars(file: Path) -> list[tuple[int, str, float]]:
    return [(event.step, value.tag, value.simple_value) for event in events(file) for value in event.summary.value]


def writer(workdir: Path, step: int = 0, is_lead: bool = True) -> MetricWriter:
    return MetricWriter(workdir, WandbConfig(), {}, step=step, last_step=9, is_lead=is_lead, tensorboard=True)


def test_curves_and_pictures_are_written(tmp_path):
    with writer(tmp_path) as metrics:
        metrics.write(1, {"loss": 2.0, "val/mpjpe_mm": 40.5})
        assert metrics.shows_images
        metrics.write_images(1, {"val/overlays": [np.zeros((4, 6, 3), np.uint8)] * 2})
        metrics.write(2, {"loss": 1.0})
    (file,) = (tmp_path / "tensorboard").iterdir()
    found = scalars(file)
    assert [row for row in found if row[2]] == [(1, "loss", 2.0), (1, "val/mpjpe_mm", 40.5), (2, "loss", 1.0)]
    pictures = [value.image for event in events(file) for value in event.summary.value if value.HasField("image")]
    assert [(picture.height, picture.width) for picture in pictures] == [(4, 6)] * 2


def test_a_resumed_run_takes_back_what_it_writes_again(tmp_path):
    with writer(tmp_path, step=5) as metrics:
        metrics.write(6, {"loss": 1.0})
    (file,) = (tmp_path / "tensorboard").iterdir()
    starts = [event.step for event in events(file) if event.HasField("session_log")]
    assert starts == [6]  # TensorBoard drops what older files have from here on


def test_other_hosts_write_nothing(tmp_path):
    with writer(tmp_path, is_lead=False) as metrics:
        metrics.write(1, {"loss": 1.0})
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_named_with_its_command(monkeypatch):
    check_installed()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"config\.tensorboard=True needs tensorboardX: pip install tensorboardX"):
        check_installed()
