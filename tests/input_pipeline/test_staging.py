"""Datasets in a bucket: brought here once, whole, and read as those on a disk are."""

import json
import shutil

import numpy as np
import pytest

from input_pipeline import staging
from input_pipeline.config import DataConfig
from input_pipeline.convert.shards import write_dataset
from input_pipeline.manifest import dataset_manifest
from input_pipeline.splits import open_split
from input_pipeline.synthetic.source import SyntheticHands
from occrobnet_jax.files import paths
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.copies import upload
from tests.support.buckets import in_memory


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """A prepared dataset on a disk, and the bucket that it was copied to."""
    write_dataset(SyntheticHands({"train": 2, "val": 1, "test": 1}, 48), tmp_path / "data")
    monkeypatch.setenv(paths.CACHE_VARIABLE, str(tmp_path / "cache"))
    with in_memory() as url:
        place = paths.path_of(f"{url}/data")
        for path in (tmp_path / "data").rglob("*"):
            if path.is_file():
                upload(path, place / path.relative_to(tmp_path / "data").as_posix())
        yield place


def test_examples_and_manifest_are_those_of_the_disk(bucket, tmp_path):
    for split in ("train", "val"):
        here = open_split(DataConfig(data_dir=str(tmp_path / "data")), split)
        there = open_split(DataConfig(data_dir=str(bucket)), split)
        assert len(here) == len(there)
        for index in range(len(here)):
            np.testing.assert_equal(there[index], here[index])
    name = DataConfig().name
    assert dataset_manifest(str(bucket), name) == dataset_manifest(tmp_path / "data", name)


def test_what_is_here_whole_is_not_brought_again(bucket, monkeypatch):
    local = staging.local_data_dir(str(bucket), DataConfig().name)
    brought = []
    monkeypatch.setattr(staging, "download", lambda source, *_: brought.append(source.name))
    staging.local_data_dir(str(bucket), DataConfig().name)
    assert brought == []
    shard = next(local.rglob("*train*.array_record*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    staging.local_data_dir(str(bucket), DataConfig().name)
    assert brought == [shard.name]


def test_a_changed_shard_is_refused_and_not_kept(bucket, tmp_path):
    shard = next(path for path in (tmp_path / "data").rglob("*train*.array_record*"))
    changed = bytearray(shard.read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / "changed").write_bytes(changed)
    relative = shard.relative_to(tmp_path / "data").as_posix()
    upload(tmp_path / "changed", bucket / relative)
    with pytest.raises(ValueError, match=rf"{shard.name} is damaged: its SHA-256"):
        open_split(DataConfig(data_dir=str(bucket)), "train")
    assert not list((tmp_path / "cache").rglob(shard.name))


def test_a_manifest_can_not_name_a_file_outside_of_the_dataset(bucket, tmp_path, monkeypatch):
    manifest = json.loads(next((tmp_path / "data").rglob("manifest.json")).read_text())
    manifest["files"][0]["file"] = "../../escaped"
    monkeypatch.setattr(staging, "read_manifest", lambda _: manifest)
    with pytest.raises(ValueError, match=r"'\.\./\.\./escaped' is not the name of a file in a folder"):
        staging.local_data_dir(str(bucket), DataConfig().name)


def test_another_dataset_in_the_bucket_takes_the_place_of_the_copy(bucket, tmp_path, monkeypatch):
    local = staging.local_data_dir(str(bucket), DataConfig().name)
    (stale,) = local.rglob("features.json")
    stale.write_bytes(b"x" * stale.stat().st_size)  # of the size that the bucket's has
    other = bucket / DataConfig().name / "1.0.0" / staging.MANIFEST_FILE
    write_atomically(other, other.read_bytes() + b"\n")
    staging.local_data_dir(str(bucket), DataConfig().name)
    assert stale.read_bytes() == next((tmp_path / "data").rglob("features.json")).read_bytes()


def test_a_dataset_that_is_not_there_is_told(bucket, tmp_path):
    with pytest.raises(ValueError, match="there is no prepared dataset in s3://bucket/data/ho3d_v2"):
        staging.local_data_dir(str(bucket), "ho3d_v2")
    shutil.rmtree(tmp_path / "data")
