"""`input_pipeline.prepare --data_dir=s3://...`: a bucket gets a dataset when it is whole, and only once."""

import json
import shutil

import numpy as np
import pytest

from input_pipeline import prepare
from input_pipeline.config import DataConfig
from input_pipeline.convert import publish
from input_pipeline.splits import open_split
from occrobnet_jax.files import paths
from occrobnet_jax.files.atomic import write_atomically
from tests.support.buckets import in_memory

COUNTS = [f"--{split}=1" for split in ("train", "val", "test")]


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "cache"))
    with in_memory() as url:
        yield f"{url}/data"


def convert(data_dir, *more):
    return prepare.main(
        ["synthetic_hands", f"--data_dir={data_dir}", "--image_size_px=48", "--num_processes=1", *COUNTS, *more]
    )


def test_a_bucket_gets_what_a_disk_would(bucket, tmp_path, capsys):
    assert convert(bucket) == 0
    assert f"{bucket}/synthetic_hands/1.0.0\n" in capsys.readouterr().out
    assert convert(tmp_path / "disk") == 0
    shutil.rmtree(tmp_path / "cache")
    there, here = (open_split(DataConfig(data_dir=str(place)), "train") for place in (bucket, tmp_path / "disk"))
    np.testing.assert_equal(there[0], here[0])


def test_what_is_there_is_neither_converted_nor_copied_again(bucket, tmp_path, monkeypatch):
    convert(bucket)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(publish, "upload", None)
    assert convert(bucket) == 0
    assert not list((tmp_path / "cache").rglob("*.array_record*"))


def test_other_settings_are_refused_on_another_machine_too(bucket, tmp_path, capsys):
    convert(bucket)
    shutil.rmtree(tmp_path / "cache")
    assert convert(bucket, "--seed=1") == 1
    assert "holds a dataset made with other settings (seed: 0 there, 1 asked for)" in capsys.readouterr().err


def test_a_copy_that_is_cut_short_is_no_dataset_and_made_up_for(bucket, monkeypatch, capsys):
    upload, number = publish.upload, iter(range(100))

    def cut(source, target):
        if next(number) == 3:
            raise OSError(f"{target} can't be reached: the network is down")
        upload(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(publish, "upload", cut)
        assert convert(bucket) == 1
    assert "the network is down" in capsys.readouterr().err
    with pytest.raises(ValueError, match="there is no prepared dataset in s3://bucket/data/synthetic_hands"):
        open_split(DataConfig(data_dir=bucket), "train")
    assert convert(bucket) == 0
    assert len(open_split(DataConfig(data_dir=bucket), "train")) == 1


def test_verify_reads_the_bucket_and_not_the_copy(bucket, capsys):
    convert(bucket)
    assert prepare.main(["synthetic_hands", f"--data_dir={bucket}", "--verify"]) == 0
    version = paths.path_of(bucket) / "synthetic_hands" / "1.0.0"
    shard = json.loads((version / "manifest.json").read_text())["splits"]["val"]["shards"][0]["file"]
    content = bytearray((version / shard).read_bytes())
    content[-1] ^= 1
    write_atomically(version / shard, bytes(content))
    assert prepare.main(["synthetic_hands", f"--data_dir={bucket}", "--verify"]) == 1
    assert f"{version / shard} was altered" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["synthetic_hands", "--data_dir=hf://user/x"], "hf:// is not known here"),
        (["h2o3d", "--raw=gs://b/x", "--data_dir=data"], "gs://b/x must be a local path"),
    ],
)
def test_other_places_are_refused_by_name(arguments, sentence, capsys):
    with pytest.raises(SystemExit, match="2"):
        prepare.main(arguments)
    assert sentence in capsys.readouterr().err
