"""Manifest, verification and report of a prepared dataset."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from input_pipeline.convert.manifest import make_manifest, report
from input_pipeline.convert.shards import write_dataset
from input_pipeline.manifest import dataset_folder, dataset_manifest, verify
from input_pipeline.manifest_file import content_hash, own_hash
from input_pipeline.prepare import alone, main, parse_options
from occrobnet_jax.files.readers import decode_image
from tests.input_pipeline.convert.test_shards import Numbers
from tests.official_ho3d import write_h2o3d, write_ho3d
from tests.official_interhand import write_interhand
from tests.support.fake_datasets import write_fake_dataset
from tests.support.limits import HANG_S


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_dataset(Numbers(), tmp_path_factory.mktemp("written"), show_progress=False)


@pytest.fixture
def folder(written, tmp_path):
    return Path(shutil.copytree(written, tmp_path / "numbers" / "1.2.3"))


def test_a_complete_dataset_has_a_hash_and_nothing_lacking(folder, tmp_path):
    found = dataset_manifest(tmp_path, "numbers")
    assert found.keys() == {"content_sha256", "partial", "version", "occlusion"}
    assert found["occlusion"] == "numbers: known in 0 of 450 of train, 0 of 3 of val"
    assert (found["partial"], found["version"]) == ([], "1.2.3")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [shard["examples"] for shard in manifest["splits"]["train"]["shards"]] == [113, 113, 112, 112]
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            assert (folder / shard["file"]).stat().st_size == shard["bytes"]
    assert verify(folder, show_progress=False) == []
    assert sorted(path.name for path in folder.iterdir() if ".array_record-" not in path.name) == [
        *("dataset_info.json", "features.json", "manifest.json", "settings.json")
    ]


def test_the_hash_tells_content_apart(folder, tmp_path):
    same = write_dataset(Numbers(settings={"other": 1}), tmp_path / "same", show_progress=False)
    fewer = write_dataset(Numbers(splits={"train": 449, "val": 3}), tmp_path / "fewer", show_progress=False)
    hashes = [json.loads((each / "manifest.json").read_text())["content_sha256"] for each in (folder, same, fewer)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_several_datasets_have_one_manifest(folder, tmp_path):
    write_dataset(Numbers(name="others", version="2.0.0"), tmp_path, show_progress=False)
    both, reverse = dataset_manifest(tmp_path, "numbers+others"), dataset_manifest(tmp_path, "others+numbers")
    assert both["version"] == "1.2.3+2.0.0"
    assert len({both["content_sha256"], dataset_manifest(tmp_path, "numbers")["content_sha256"]}) == 2
    assert len(reverse["content_sha256"]) == 64


def test_a_dataset_without_a_manifest_says_so(tmp_path):
    write_fake_dataset(tmp_path, 2, 16)
    found = dataset_manifest(tmp_path, "synthetic_hands")
    assert found["content_sha256"] == ""
    assert "has no manifest.json" in found["partial"][0]
    with pytest.raises(ValueError, match="there is no prepared dataset in"):
        dataset_manifest(tmp_path, "ho3d_v2")


SHARD = "numbers-train.array_record-00001-of-00004"


@pytest.mark.parametrize("name", [SHARD, "dataset_info.json", "features.json", "settings.json"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "is missing or can't be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is truncated: "),
        (lambda path: path.write_bytes(b"!" + path.read_bytes()[1:]), "was altered: "),
        (lambda path: path.write_bytes(path.read_bytes() + b"!"), "is longer than it was: "),
    ],
)
def test_every_changed_file_is_found(folder, name, damage, message):
    damage(folder / name)
    (sentence,) = verify(folder, show_progress=False)
    assert sentence.startswith(f"{folder / name} {message}")


@pytest.mark.parametrize(
    "change", [{"partial": ["x"]}, {"content_sha256": "0"}, {"splits": {}}, {"manifest_sha256": ""}]
)
def test_an_altered_manifest_is_found(folder, tmp_path, change):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (sentence,) = verify(folder, show_progress=False)
    assert "manifest.json was altered or damaged" in sentence
    with pytest.raises(ValueError, match="was altered or damaged"):
        dataset_manifest(tmp_path, "numbers")
    path.unlink()
    assert "manifest.json can't be read" in verify(folder, show_progress=False)[0]


ELSEWHERE = {"file": "../x", "examples": 1, "content_sha256": "", "bytes": 1, "sha256": "a"}


@pytest.mark.parametrize(
    "change",
    [
        {"files": None},
        {"splits": {"train": {}}},
        {"splits": {"train": {"shards": [ELSEWHERE]}}},
        {"splits": {"train": {"shards": [{"examples": 1, "content_sha256": ""}]}}},
        {"partial": None},
    ],
    ids=["no files", "no shards", "a file elsewhere", "no file", "no partial"],
)
def test_a_manifest_of_another_form_is_one_sentence_though_its_hashes_are_right(folder, tmp_path, change):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | change
    with contextlib.suppress(KeyError):
        manifest["content_sha256"] = content_hash(manifest["splits"])
    manifest["manifest_sha256"] = own_hash(manifest)
    path.write_text(json.dumps(manifest))
    (sentence,) = verify(folder, show_progress=False)
    assert "manifest.json was altered or damaged" in sentence
    with pytest.raises(ValueError, match="was altered or damaged"):
        dataset_manifest(tmp_path, "numbers")


def test_a_shard_that_is_not_listed_is_told(folder):
    extra = folder / SHARD.replace("00001-of", "00009-of")
    shutil.copy(folder / SHARD, extra)
    assert verify(folder, show_progress=False) == [f"{extra} is a shard that the manifest doesn't list"]


def test_two_conversions_of_one_dataset_at_once_are_refused(tmp_path, capsys):
    arguments = ["synthetic_hands", f"--data_dir={tmp_path}", "--train=1", "--val=1", "--test=1"]
    with alone(parse_options(arguments)):
        assert main(arguments) == 1
    assert "another process prepares the dataset in" in capsys.readouterr().err
    with alone(parse_options(arguments)):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("write", "arguments", "name", "counts"),
    [
        (write_interhand, ["interhand26m"], "interhand26m", {"train": 64, "val": 16, "test": 32}),
        (
            lambda raw: write_ho3d(raw, "v2", 2),
            ["ho3d", "--version=v2"],
            "ho3d_v2",
            {"train": 6, "val": 2, "evaluation": 4},
        ),
        (lambda raw: write_h2o3d(raw, 2), ["h2o3d"], "h2o3d", {"train": 6, "val": 4, "evaluation": 4}),
    ],
)
def test_official_trees_are_converted_from_the_command_line(tmp_path, capsys, write, arguments, name, counts):
    raw, data = write(tmp_path / "raw"), tmp_path / "data"
    options = [*arguments, "--data_dir", str(data), "--num_processes=1"]
    assert main([*options, "--raw", str(raw)]) == 0
    printed = capsys.readouterr().out
    for split, count in counts.items():
        assert len(tfds.data_source(name, data_dir=data, split=split)) == count
        assert f"\n{split:<12}{count:>12}" in printed
    assert "were published" in printed
    assert all("were published" in sentence for sentence in dataset_manifest(data, name)["partial"])
    assert [path.name for path in data.iterdir()] == [name]
    assert report(dataset_folder(data, name)) in printed
    if name == "interhand26m":
        black = sum(decode_image(path.read_bytes(), name="it").max() < 10 for path in raw.rglob("*.jpg"))
        assert black >= 2 * 4
        lines = [line.split() for line in printed.splitlines() if line.split(" ")[0] in counts]
        assert sum(int(words[-2]) for words in lines) == black
    assert main([*options, "--verify"]) == 0
    next(dataset_folder(data, name).glob("*evaluation*" if "evaluation" in counts else "*test*")).unlink()
    assert main([*options, "--verify"]) == 1
    assert "is missing or can't be read" in capsys.readouterr().err


def test_converting_without_a_raw_folder_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["h2o3d", "--data_dir", str(tmp_path)])
    assert "h2o3d needs --raw DIR" in capsys.readouterr().err
    assert main(["h2o3d", "--data_dir", str(tmp_path), "--verify"]) == 1
    assert "there is no prepared dataset" in capsys.readouterr().err
    assert parse_options(["h2o3d", "--raw=~/h2o3d", "--data_dir=~/data"]).raw == Path.home() / "h2o3d"


@pytest.mark.long
def test_killed_conversions_go_on_to_the_same_content(tmp_path):
    """Kill -9 in the middle of shards; KILLS=10 tries ten moments."""
    raw = write_interhand(tmp_path / "raw", "code")
    expected = _converted(raw, tmp_path / "undisturbed")
    killed = 0
    for number in range(int(os.environ.get("KILLS", "2"))):
        process = _start(raw, tmp_path / "killed")
        _wait_for_a_part(process, tmp_path / "killed", number)
        killed += process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert killed
    assert _converted(raw, tmp_path / "killed") == expected


def _start(raw: Path, data: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "input_pipeline.prepare", "interhand26m", f"--raw={raw}", f"--data_dir={data}"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([*command, "--num_processes=1"], start_new_session=True, **quiet)


def _wait_for_a_part(process: subprocess.Popen, data: Path, number: int) -> None:
    """Until tables or a shard are being written; then a little longer each time."""
    wanted = ("*.index", "*/*/settings.json", "*/*/*.incomplete-*", "*/*/*.facts.json", "*/*/*val*.array_record-*")
    deadline = time.monotonic() + HANG_S
    while process.poll() is None and time.monotonic() < deadline:
        if list(data.glob(wanted[number % len(wanted)])):
            break
        time.sleep(0.001)
    time.sleep(0.003 * (number // len(wanted)))


def _converted(raw: Path, data: Path) -> tuple[dict[str, bytes], str]:
    assert _start(raw, data).wait() == 0
    folder = data / "interhand26m" / "1.0.0"
    assert verify(folder, show_progress=False) == []
    assert sorted(path.name for path in data.iterdir()) == ["interhand26m"]
    shards = {path.name: path.read_bytes() for path in folder.iterdir()}
    return shards, dataset_manifest(data, "interhand26m")["content_sha256"]


def test_what_each_shard_lacks_is_counted_and_named():
    def shard(number):
        counts = {"examples": 3, "two_hands": 1, "black": 0, "bytes": 9, "sha256": "a", "content_sha256": "b"}
        return counts | {
            "file": f"{number}",
            "left_out": {"image missing": number},
            "left_out_examples": [f"of {number}"],
        }

    manifest = make_manifest(Numbers(), {"train": [shard(1), shard(2), shard(4)], "val": [shard(0)]}, [])
    train = manifest["splits"]["train"]
    assert (train["left_out"], train["left_out_examples"]) == ({"image missing": 7}, ["of 1", "of 2", "of 4"])
    assert (train["examples"], train["two_hands"]) == (9, 3)
    assert "numbers: train lacks 7 of 450 examples: image missing" in manifest["partial"]
