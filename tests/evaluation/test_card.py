import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from occrobnet_jax.evaluation import verify as verify_command
from occrobnet_jax.evaluation.card import write_card
from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.records import Setting
from occrobnet_jax.evaluation.metrics.metrics import PROTOCOL, compute_metrics
from occrobnet_jax.runs.checksums import seal_sha256, write_checksums
from tests.support.fake_predictions import SWITCHES, write_predictions
from tests.support.fake_records import SIZE_PX

CONFIG = {"seed": 3, "model": {"ciet": "dual"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """WORKDIR/eval/test of a run, with its checkpoint beside it."""
    folder = tmp_path / "run" / "eval" / "test"
    predictions = write_predictions(folder / "predictions.npz")
    metrics = compute_metrics([records_file.load(predictions)[0]], Setting(SIZE_PX))
    content = metrics | {"protocol": {"words": PROTOCOL, "switches": SWITCHES | {"step": 7}}}
    (folder / "metrics.json").write_text(json.dumps(content))
    checkpoint = tmp_path / "run" / "checkpoints" / "7"
    (checkpoint / "variables").mkdir(parents=True)
    (checkpoint / "variables" / "arrays").write_bytes(b"weights")
    write_checksums(checkpoint)
    write_card(folder, CONFIG, 7, seal_sha256(checkpoint), {"git_sha": "1234", "jax": "0"})
    return folder


def verdict(folder: Path, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    status = verify_command.main([str(folder)])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def change(path: Path, edit: Callable[[Any], None]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_card_names_what_its_numbers_come_from(folder: Path, capsys: pytest.CaptureFixture) -> None:
    card = json.loads((folder / "card.json").read_text())
    assert card["data"] == {"name": "interhand26m", "version": "1.0.0", "content_sha256": "abc"}
    assert card["config"] == CONFIG
    assert card["code"]["git_sha"] == "1234"
    assert card["checkpoint"]["step"] == 7
    assert card["protocol"]["switches"]["split"] == "test"
    status, said = verdict(folder, capsys)
    assert status == 0
    assert "is true; checked: metrics from the stored predictions" in said
    assert "checkpoint" in said


def test_a_card_travels_without_its_workdir(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    shutil.copytree(folder, tmp_path / "elsewhere")
    status, said = verdict(tmp_path / "elsewhere", capsys)
    assert status == 0
    assert "checkpoint" not in said


def test_an_embellished_number_is_found(folder: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("card.json", "metrics.json"):
        before = (folder / name).read_text()
        change(folder / name, lambda content: content.get("metrics", content).__setitem__("mpjpe_mm", 5.4))
        status, said = verdict(folder, capsys)
        assert status == 1
        assert "mpjpe_mm is 5.4 in" in said
        (folder / name).write_text(before)
    assert verdict(folder, capsys)[0] == 0


def test_other_predictions_are_found_even_with_numbers_that_fit_them(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    records, setting = records_file.load(folder / "predictions.npz")
    records["predicted_joints_rel_m"] = records["joints_cam_m"]
    records_file.save(folder / "predictions.npz", [records], setting)
    better = compute_metrics([records], setting)
    change(folder / "metrics.json", lambda content: content.update(better))
    change(folder / "card.json", lambda content: content["metrics"].update(better))
    status, said = verdict(folder, capsys)
    assert status == 1
    assert "holds other values than those that the card was made for" in said
    assert "mpjpe_mm" not in said


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda card: card["config"].__setitem__("seed", 4), "config has another hash"),
        (lambda card: card["metrics"].pop("mpjpe_mm"), "don't have the same numbers: mpjpe_mm"),
        (lambda card: card["metrics"].__setitem__("invented_mm", 1.0), "invented_mm is 1.0 in the card"),
        (lambda card: card["protocol"]["switches"].__setitem__("split", "val"), "different protocols"),
        (lambda card: card["checkpoint"].__setitem__("sha256", "0"), "the checkpoint of step 7 is another one"),
        (lambda card: card.__setitem__("metrics", 3), "the card has no numbers"),
    ],
)
def test_each_part_of_a_card_is_checked(edit, message: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    change(folder / "card.json", edit)
    status, said = verdict(folder, capsys)
    assert status == 1
    assert message in said


def test_a_damaged_checkpoint_is_found(folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder.parents[1] / "checkpoints" / "7" / "variables" / "arrays").write_bytes(b"Weights")
    status, said = verdict(folder, capsys)
    assert status == 1
    assert "the checkpoint of step 7 is damaged: variables/arrays has changed" in said


def test_the_checkpoint_is_found_from_the_split_of_one_dataset_of_several(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(folder, folder.parent / "h2o3d" / "val")
    assert verdict(folder.parent / "h2o3d" / "val", capsys)[1].endswith("hash of the config, checkpoint\n")


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": "x"}', '{"format": "occrobnet-result-card-1"}', "[" * 10_000]
)
def test_hostile_cards_give_one_sentence(content: str, folder: Path, capsys: pytest.CaptureFixture) -> None:
    (folder / "card.json").write_text(content)
    status, said = verdict(folder, capsys)
    assert status == 1
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_what_is_missing_is_named(folder: Path, capsys: pytest.CaptureFixture) -> None:
    for name in ("metrics.json", "predictions.npz", "card.json"):
        (folder / name).unlink()
        status, said = verdict(folder, capsys)
        assert status == 1
        assert name in said


def test_a_rounding_is_no_lie(folder: Path, capsys: pytest.CaptureFixture) -> None:
    change(
        folder / "metrics.json", lambda content: content.__setitem__("mpjpe_mm", np.nextafter(content["mpjpe_mm"], 99))
    )
    assert verdict(folder, capsys)[0] == 0
