import json
import re
from pathlib import Path
from typing import Any

import pytest

from occrobnet_jax.evaluation import compare as compare_command
from occrobnet_jax.evaluation.metrics.protocols.catalogue import find
from occrobnet_jax.evaluation.metrics.published import PUBLISHED
from tests.support.fake_predictions import noisy_records, write_predictions

MMPOSE = "interhand26m/internet_gt_depth"


def write_run(path: Path, protocol: str = MMPOSE, num_examples: int = 100, **switches: Any) -> Path:
    numbers = {"mpjpe_mm/all": {"value": 11.5, "low": 11.2, "high": 11.9, "num_values": 9}}
    about = {
        "dataset": "interhand26m",
        "dataset_version": "1.0.0",
        "dataset_sha256": "abc",
        "partial": [],
        "split": "test",
        "box_source": "stored",
    }
    scores = {protocol: {"words": "", "notes": [], "num_examples": num_examples, "numbers": numbers}}
    path.write_text(json.dumps({"switches": about | switches, "scores": scores}))
    return path


def compared(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, str]:
    status = compare_command.main([str(each) for each in arguments])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_runs_of_the_same_protocol_and_data_stand_beside_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first, second = write_run(tmp_path / "first.json"), write_run(tmp_path / "second.json")
    status, shown = compared(capsys, first, second)
    assert status == 0
    assert shown.count("11.500 [11.200, 11.900]") == 2
    assert f"{MMPOSE}  mpjpe_mm/all" in shown
    assert "mmpose" not in shown


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"dataset_version": "0.0.0"}, "the version of the dataset ('1.0.0' and '0.0.0')"),
        ({"dataset_sha256": "def"}, "the content of the dataset"),
        ({"split": "val"}, "the split"),
        ({"box_source": "joints"}, "the boxes of the crops ('stored' and 'joints')"),
        ({"partial": ["half"]}, "what the dataset lacks"),
        ({"num_examples": 99}, f"the number of examples under {MMPOSE}"),
        ({"protocol": "interhand26m/kypt"}, "no protocol is common to all runs"),
    ],
)
def test_what_differs_is_refused_with_the_reason(
    other: dict, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    status, shown = compared(capsys, write_run(tmp_path / "a.json"), write_run(tmp_path / "b.json", **other))
    assert status == 1
    assert message in shown
    assert "11.5" not in shown


def test_only_the_protocols_asked_for_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    runs = [write_run(tmp_path / name) for name in ("a.json", "b.json")]
    for run in runs:
        content = json.loads(run.read_text())
        content["scores"] |= dict.fromkeys(("interhand26m/kypt+wrist=counted", "own"), content["scores"][MMPOSE])
        run.write_text(json.dumps(content))
    for wanted, protocols in (
        ("interhand26m", {MMPOSE, "interhand26m/kypt+wrist=counted"}),
        ("interhand26m/kypt", {"interhand26m/kypt+wrist=counted"}),
        (MMPOSE, {MMPOSE}),
    ):
        shown = compared(capsys, *runs, f"--protocol={wanted}")[1]
        assert {line for line in shown.splitlines() if line and line[0] != " "} == protocols
    assert "no protocol of those asked for is common" in compared(capsys, *runs, "--protocol=interhand26m/ky")[1]


def test_runs_of_unknown_data_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    unknown = write_run(tmp_path / "a.json")
    content = json.loads(unknown.read_text())
    unknown.write_text(json.dumps(content | {"switches": {}}))
    assert "doesn't say which data" in compared(capsys, unknown, unknown)[1]


def test_published_numbers_stand_beside_a_run_only_where_they_may(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    status, shown = compared(capsys, write_run(tmp_path / "a.json"), "--published")
    assert status == 0
    assert "11.86" in shown  # mmpose: v1.0, the true depth
    assert "9.63" not in shown  # A2J: its data version isn't known
    assert "12.62" not in shown
    assert "A2J-Transformer (2023): its data version is not stated" in shown
    assert "Keypoint Transformer (repository): its protocol is interhand26m/kypt" in shown
    assert "OccRobNet (2025): its protocol is not stated" in shown
    assert "HaMeR" not in shown
    of_kypt = write_run(tmp_path / "b.json", "interhand26m/kypt")
    assert "its data version is 0.0 (its loader reads the withdrawn" in compared(capsys, of_kypt, "--published")[1]
    withdrawn = write_run(tmp_path / "b.json", "interhand26m/kypt", dataset_version="0.0.1")
    assert "12.62" in compared(capsys, withdrawn, "--published")[1]
    left_out = write_run(tmp_path / "c.json", "interhand26m/internet_gt_depth+wrist=left_out")
    assert "11.86" not in compared(capsys, left_out, "--published")[1]
    for change in ({"split": "val"}, {"partial": ["half"]}, {"dataset_version": "1.01"}):
        assert "11.86" not in compared(capsys, write_run(tmp_path / "d.json", **change), "--published")[1]


def test_ho3d_is_compared_on_all_frames_only(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    about = {"dataset": "ho3d", "split": "evaluation"}
    whole = write_run(tmp_path / "a.json", "ho3d_v2/official", 11_524, **about)
    content = json.loads(whole.read_text())
    content["scores"]["ho3d_v2/official"]["numbers"] = {"mpjpe_mm/procrustes": {"value": 9.5}}
    whole.write_text(json.dumps(content))
    shown = compared(capsys, whole, "--published")[1]
    assert "HandOccNet" in shown
    assert "9.1 " in shown
    assert "its alignment is not stated" in shown
    content["scores"]["ho3d_v2/official"]["num_examples"] = 500
    whole.write_text(json.dumps(content))
    shown = compared(capsys, whole, "--published")[1]
    assert "HandOccNet: it is of 11,524 examples, the run of 500" in shown


def test_folders_are_scored_first(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for seed, folder in enumerate(folders):
        write_predictions(folder / "predictions.npz", noisy_records(seed=seed))
    assert "say under which --protocol" in compared(capsys, *folders)[1]
    status, shown = compared(capsys, *folders, "--protocol=interhand26m/own")
    assert status == 0
    assert "interhand26m/own+depth=none  mpjpe_mm/all" in shown
    assert "left_thumb4" not in shown


def test_folders_are_compared_example_by_example(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folders = [tmp_path / name for name in ("a0", "a1", "b0", "b1")]
    for seed, folder in enumerate(folders):
        records = noisy_records(seed=seed)
        records["predicted_joints_rel_m"][:, :, :20] *= 1.0 if folder.name[0] == "a" else 1.2
        write_predictions(folder / "predictions.npz", records)
    shown = compared(capsys, folders[0], folders[2], "--protocol=interhand26m/own", "--by_sequence")[1]
    assert f"{folders[2]} minus {folders[0]}, paired" in shown
    assert re.search(r"mpjpe_mm/all +\+\d", shown)  # the new run, whose joints lie farther off, minus the old one
    assert "beyond the noise; of that sign in 4 of 4 sequences" in shown
    assert "sequence3" in shown
    shown = compared(capsys, *folders[2:], "--protocol=interhand26m/own", "--against", *folders[:2])[1]
    assert "beyond the noise; of that sign in 4 of 4 sequences  seeds +" in shown
    unequal = compared(capsys, *folders[1:], "--protocol=interhand26m/own", "--against", folders[0])
    assert unequal[0] == 1
    assert "3 runs can't be paired with 1" in unequal[1]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"switches": 1, "scores": {}}', '{"switches": {}, "scores": {"x": 1}}']
)
def test_hostile_files_give_one_sentence(content: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "scores.json"
    path.write_text(content)
    status, shown = compared(capsys, path)
    assert status == 1
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1


def test_published_rows_name_conventions_that_exist() -> None:
    for row in PUBLISHED:
        assert row.source
        assert row.sure
        if row.protocol:
            (convention,) = find(row.protocol)
            assert convention.name == row.protocol
            assert row.protocol.startswith(f"{row.benchmark}/")
