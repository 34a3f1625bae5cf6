"""Apache Beam's direct runner; skipped where apache-beam isn't installed (it has requirements of its own)."""

import pytest

pytest.importorskip("apache_beam", reason="apache-beam is not installed; see requirements/beam.txt")

from input_pipeline.manifest import dataset_manifest, verify
from input_pipeline.prepare import main as prepare
from input_pipeline.prepare_beam import main as prepare_beam
from tests.official_ho3d import write_h2o3d

# Beam's older protobuf warns of what TFDS and Beam themselves call.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_beam_writes_the_same_dataset(tmp_path, capsys):
    raw = write_h2o3d(tmp_path / "raw", 2)
    for name, convert in (("plain", prepare), ("beam", prepare_beam)):
        options = ["h2o3d", f"--raw={raw}", f"--data_dir={tmp_path / name}", "--num_processes=1"]
        assert convert(options) == 0
        assert "train+val: 10 examples" in capsys.readouterr().out
    folder = tmp_path / "beam" / "h2o3d" / "1.1.0"
    assert verify(folder, show_progress=False) == []
    assert dataset_manifest(tmp_path / "beam", "h2o3d") == dataset_manifest(tmp_path / "plain", "h2o3d")
    assert prepare_beam(options) == 0  # nothing is left to do


def test_beam_takes_its_own_options_and_names_errors(tmp_path, capsys):
    raw = write_h2o3d(tmp_path / "raw", 1)
    options = ["h2o3d", f"--raw={raw}", f"--data_dir={tmp_path / 'data'}"]
    assert prepare_beam([*options, "--", "--runner=DirectRunner"]) == 0
    (raw / "train.txt").write_text("x")
    assert prepare_beam(options) == 1
    assert "error:" in capsys.readouterr().err
