import dataclasses
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from input_pipeline.convert import shards
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.manifest_file import MANIFEST_FILE
from input_pipeline.prepare import main
from input_pipeline.schema import empty_example


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A source whose examples tell their split and index; it can break down at one of them."""

    splits: dict = dataclasses.field(default_factory=lambda: {"train": 450, "val": 3})
    settings: dict = dataclasses.field(default_factory=lambda: {"flavour": "plain"})
    name: str = "numbers"
    version: str = "1.2.3"
    broken_at: int = -1

    def example(self, split, index):
        if split == "train" and index == self.broken_at:
            raise RuntimeError("out of numbers")
        example = empty_example()
        example["annotation_id"] = np.int64(index)
        example["key"] = f"{split}/{index}"
        example["image"] = bytes([0, 255, 10, 13, index % 256]) * 3
        example["height"] = example["width"] = np.int32(8)
        example["intrinsics"] = np.eye(3, dtype=np.float32)
        example["joints_annotated"] = np.ones((2, 21), np.uint8)
        example["joints_cam_m"] = np.full((2, 21, 3), (1 + index) / 7, np.float32)
        return example


def _contents(folder: Path):
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if "array_record" in path.name and path.suffix != ".json"
    }


def test_what_is_written_is_read_back_by_tfds_without_our_code(tmp_path):
    folder = shards.write_dataset(Numbers(), tmp_path, show_progress=False)
    assert folder == tmp_path / "numbers" / "1.2.3"
    train = tfds.data_source("numbers", data_dir=tmp_path, split="train")
    assert len(train) == 450
    for index in (0, 111, 112, 113, 449):
        expected = Numbers().example("train", index)
        for name, value in train[index].items():
            wanted = expected[name].encode() if isinstance(expected[name], str) else expected[name]
            np.testing.assert_array_equal(value, wanted)
            if np.ndim(wanted):
                assert value.dtype == wanted.dtype, name
    assert len(tfds.data_source("numbers", data_dir=tmp_path, split="val")) == 3


def test_an_interrupted_run_is_no_dataset_and_resumes_to_the_same_bytes(tmp_path):
    whole = shards.write_dataset(Numbers(), tmp_path / "whole", show_progress=False)
    with pytest.raises(RuntimeError, match="out of numbers"):
        shards.write_dataset(Numbers(broken_at=300), tmp_path / "parts", show_progress=False)
    parts = tmp_path / "parts" / "numbers" / "1.2.3"
    assert not (parts / "dataset_info.json").exists()
    assert not list(parts.glob("*incomplete*"))
    finished = {name: os.stat(parts / name).st_mtime_ns for name in _contents(parts)}
    assert 0 < len(finished) < len(_contents(whole))
    (parts / "numbers-train.array_record-00003-of-00004.incomplete-1").write_bytes(b"left by a killed process")
    shards.write_dataset(Numbers(), tmp_path / "parts", show_progress=False)
    assert _contents(parts) == _contents(whole)
    assert all(os.stat(parts / name).st_mtime_ns == time for name, time in finished.items())


class WithoutTheFirst(Numbers):
    """A source that lacks more than its first shard."""

    def example(self, split, index):
        if split == "train" and index < 120:
            raise UnusableExample("image missing", f"number {index} is missing")
        return super().example(split, index)


def test_a_shard_without_examples_takes_nothing_from_its_split(tmp_path):
    folder = shards.write_dataset(WithoutTheFirst(), tmp_path, show_progress=False)
    train = tfds.data_source("numbers", data_dir=tmp_path, split="train")
    assert [train[index]["annotation_id"] for index in (0, 329)] == [120, 449]
    counted = json.loads((folder / MANIFEST_FILE).read_text())["splits"]["train"]
    assert (len(train), counted["examples"], counted["left_out"]) == (330, 330, {"image missing": 120})


def test_a_finished_dataset_is_left_alone(tmp_path):
    folder = shards.write_dataset(Numbers(), tmp_path, show_progress=False)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    shards.write_dataset(Numbers(broken_at=0), tmp_path, show_progress=False)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.parametrize("other", [{"settings": {"flavour": "sweet"}}, {"splits": {"train": 450, "val": 4}}])
def test_other_settings_are_not_mixed_in(tmp_path, other):
    shards.write_dataset(Numbers(), tmp_path, show_progress=False)
    with pytest.raises(ValueError, match=r"other settings.*choose another --data_dir"):
        shards.write_dataset(Numbers(**other), tmp_path, show_progress=False)


def test_a_data_dir_that_is_a_file_is_one_clear_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    status = main(["synthetic_hands", "--data_dir", str(tmp_path / "file"), "--train", "1", "--num_processes", "1"])
    assert status != 0
    assert "can't write" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_prepare_writes_synthetic_hands_in_several_processes(tmp_path, capsys):
    options = ["--train", "2", "--val", "1", "--test", "1", "--image_size_px", "48", "--num_processes", "2"]
    assert main(["synthetic_hands", "--data_dir", str(tmp_path), *options]) == 0
    assert re.search(r"train +2 .*\nval +1 .*\ntest +1 ", capsys.readouterr().out)
    example = tfds.data_source("synthetic_hands", data_dir=tmp_path, split="train")[1]
    assert example["image"][:2] == b"\xff\xd8"
    assert example["height"] == 48
    assert example["key"] == b"synthetic_hands/train/hand_object/000001"


@pytest.mark.parametrize("arguments", [["synthetic_hands"], ["unknown"], ["synthetic_hands", "--train", "0"]])
def test_wrong_arguments_end_with_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as failure:
        main(arguments)
    assert failure.value.code != 0
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("kept", ["array_record-00001-of-00004", "array_record-00001-of-00004.facts.json"])
def test_a_shard_counts_as_written_only_with_its_facts(tmp_path, kept):
    """A process may be killed between the two files."""
    folder = shards.start(Numbers(), tmp_path)
    (folder / f"numbers-train.{kept}").write_text("{}")
    assert len(shards.missing_shards(Numbers(), folder)) == 4 + 1
    whole = shards.write_dataset(Numbers(), tmp_path / "whole", show_progress=False)
    assert _contents(shards.write_dataset(Numbers(), tmp_path, show_progress=False)) == _contents(whole)
