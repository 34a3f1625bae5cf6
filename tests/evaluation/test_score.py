import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from occrobnet_jax.evaluation import compare as compare_command
from occrobnet_jax.evaluation import labels as labels_command
from occrobnet_jax.evaluation import score as score_command
from occrobnet_jax.evaluation.formats import records as records_of
from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.predictions_file import Truth, read_predictions
from occrobnet_jax.evaluation.formats.submission_format import read_frames
from occrobnet_jax.evaluation.metrics.protocols.catalogue import CONVENTIONS, find
from occrobnet_jax.evaluation.metrics.scores import is_of_a_joint
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import path_of
from occrobnet_jax.skeleton import HO3D, INTERHAND, OPENPOSE, permutation
from tests.conftest import REPOSITORY
from tests.support import buckets
from tests.support.fake_datasets import write_fake_dataset
from tests.support.fake_predictions import (
    noisy_records,
    official_order,
    right_hands,
    write_ground_truth,
    write_predictions,
)


def scored(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[str, str]:
    assert score_command.main([str(each) for each in arguments]) == 0
    captured = capsys.readouterr()
    return captured.out, captured.err


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    assert score_command.main([str(each) for each in arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1, "one sentence"
    return captured.err


def numbers_of(path: Path, protocol: str) -> dict[str, float]:
    scores = json.loads(path.read_text())["scores"]
    return {name: each["value"] for name, each in scores[protocol]["numbers"].items()}


def test_every_line_of_numbers_carries_its_protocol(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_predictions(tmp_path / "predictions.npz")
    output = tmp_path / "scores.json"
    shown, errors = scored(capsys, path, "--protocol=interhand26m", "--protocol=object/own", "--output", output)
    figures = [line for line in shown.splitlines() if "n=" in line]
    assert len(figures) > 50
    named = ("interhand26m/", "object/own")
    assert all(line.startswith(named) for line in figures)
    assert "not scored under interhand26m/kypt: none of the" in errors  # no example has a MANO fit
    content = json.loads(output.read_text())
    assert content["scores"].keys() >= {"interhand26m/own+depth=none", "interhand26m/two_hand_mesh", "object/own"}
    assert content["switches"]["dataset_version"] == "1.0.0"
    number = content["scores"]["interhand26m/own+depth=none"]["numbers"]["mpjpe_mm/all"]
    assert number["low"] < number["value"] < number["high"]
    assert "interhand26m/own+depth=none  mpjpe_mm/all " in shown
    assert "left_thumb4" not in shown
    assert "left_thumb4" in scored(capsys, path, "--protocol=interhand26m/own", "--joints")[0]


def test_predictions_and_scores_may_lie_in_a_bucket(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    local = write_predictions(tmp_path / "predictions.npz")
    with buckets.in_memory() as url:
        write_atomically(path_of(f"{url}/predictions.npz"), local.read_bytes())
        arguments = ("--protocol=object/own", f"--output={url}/scores.json")
        shown, _ = scored(capsys, f"{url}/predictions.npz", *arguments)
        assert shown == scored(capsys, local, "--protocol=object/own")[0]
        assert compare_command.main([f"{url}/scores.json", f"{url}/scores.json"]) == 0
        assert f"{url}/scores.json" in capsys.readouterr().out
        assert f"{url}/absent.npz" in refused(capsys, f"{url}/absent.npz", "--protocol=object/own")


def test_what_only_disks_can_hold_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for flag in ("--object_models=s3://b/models", "--truth=ftp://b/labels.npz"):
        with pytest.raises(SystemExit):
            score_command.main([str(tmp_path / "p.npz"), "--protocol=object/own", flag])
        assert flag.split("=")[1] in capsys.readouterr().err


def test_partial_data_is_named_with_the_numbers(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_predictions(tmp_path / "predictions.npz", partial=["test lacks 3 of 12 frames"])
    assert "partial data: test lacks 3 of 12 frames" in scored(capsys, path, "--protocol=h2o3d")[0]


def test_only_numbers_of_single_joints_wait_to_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """h2o3d's names end in the wrist that is aligned."""
    path = write_predictions(tmp_path / "predictions.npz")
    shown, _ = scored(capsys, path, "--protocol=h2o3d")
    for name in ("mpjpe_mm/own_wrist ", "mpjpe_mm/own_wrist/left ", "auc_0_50mm/own_wrist ", "mpjpe_mm/right_wrist "):
        assert f"h2o3d/local  {name}" in shown
    assert [name for name in ("mpjpe_mm/all/right_wrist", "mpjpe_mm/procrustes/wrist") if not is_of_a_joint(name)] == []
    assert not is_of_a_joint("mpjpe_mm/all/left")


def test_a_convention_that_needs_fits_says_where_they_come_from(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_predictions(tmp_path / "predictions.npz")
    said = refused(capsys, path, "--protocol=interhand26m/kypt_gt_depth")
    assert "asks for frames with a MANO fit" in said
    assert "prepare the dataset with --mano=DIR" in said


def test_list_shows_every_protocol_and_every_switch(capsys: pytest.CaptureFixture) -> None:
    shown, _ = scored(capsys, "--list")
    for convention in CONVENTIONS:
        assert convention.name in shown
        assert find(convention.name) == [convention]
    assert "+depth=rootnet|ground_truth|own" in shown


def test_it_starts_without_jax(tmp_path: Path) -> None:
    """On a machine without jax the command works; here, nothing that it imports is it."""
    path = write_predictions(tmp_path / "predictions.npz")
    script = (
        "import sys; from occrobnet_jax.evaluation import score, submit, compare, verify; "
        f"status = score.main([{str(path)!r}, '--protocol=interhand26m/own']); "
        "heavy = {'jax', 'flax', 'orbax', 'tensorflow_datasets', 'grain'} & sys.modules.keys(); "
        "sys.exit(f'imported {heavy}' if heavy else status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_ho3d_submissions_are_scored_against_the_released_truth(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """The file is in HO-3D's order and axes; the numbers are those of the hands in ours."""
    records = right_hands(5)
    write_ground_truth(tmp_path, records)
    order = np.argsort(records["evaluation_row"])
    relative = records["predicted_joints_rel_m"][order, 0].astype(np.float64)
    own = relative - relative[:, 20:] + records["predicted_root_cam_m"][order, :1]
    truth = records["joints_cam_m"][order, 0].astype(np.float64)
    pred = tmp_path / "pred.json"
    pred.write_text(json.dumps([official_order(own), np.zeros((5, 778, 3)).tolist()]))
    arguments = [f"--truth={tmp_path}/evaluation_xyz.json", f"--frames={tmp_path}/evaluation.txt"]
    meshes = f"--truth_vertices={tmp_path}/evaluation_verts.json"
    output = tmp_path / "scores.json"
    shown, _ = scored(capsys, pred, "--protocol=ho3d_v2", *arguments, meshes, "--output", output)
    found = numbers_of(output, "ho3d_v2/official")
    assert found["mpjpe_mm/unaligned"] == pytest.approx(1000 * np.linalg.norm(own - truth, axis=-1).mean(), abs=1e-6)
    assert found["mpvpe_mm/unaligned"] > 100
    assert found["f_score_15mm/unaligned"] == 0
    assert "no mesh" in shown
    assert "5 frames where the evaluation split has 11,524" in shown
    archive = tmp_path / "pred.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.write(pred, "pred.json")
    scored(capsys, archive, "--protocol=ho3d_v2", *arguments, meshes, "--output", output)
    assert numbers_of(output, "ho3d_v2/official") == found
    # Our own file of the same predictions, whose rows are shuffled, takes the truth from the same place.
    for name in ("joints_cam_m", "joint_annotated"):
        records[name] = np.zeros_like(records[name])
    ours = write_predictions(tmp_path / "predictions.npz", records)
    scored(capsys, ours, "--protocol=ho3d_v2", *arguments, "--output", output)
    again = numbers_of(output, "ho3d_v2/official")
    assert {name: found[name] for name in again} == pytest.approx(again, abs=1e-6)


@pytest.mark.parametrize("order", ["interhand", "ho3d", "openpose"])
@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_the_plain_format_gives_the_numbers_of_ours(
    order: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The same poses, their rows reversed, in another joint order, in mm and OpenGL axes."""
    records = noisy_records()
    ours = write_predictions(tmp_path / "predictions.npz", records)
    names = {"interhand": INTERHAND, "ho3d": HO3D, "openpose": OPENPOSE}[order]
    flip = np.array([1000, -1000, -1000])
    joints = records["predicted_joints_rel_m"].astype(np.float64)[:, :, permutation(INTERHAND, names)]
    content = {
        "format": "hand-poses-1",
        "keys": [key.decode() for key in records["key"]][::-1],
        "joints": (joints * flip)[::-1],
        "joint_order": order,
        "axes": "opengl",
        "unit": "mm",
        "relative_translation": (records["predicted_relative_translation_m"].astype(np.float64) * flip)[::-1],
        "hand_probability": records["predicted_hand_probability"][::-1],
        "object_rotation": (flip / 1000)[:, None] * records["predicted_object_rotation"].astype(np.float64)[::-1],
        "object_translation": (records["predicted_object_translation_m"].astype(np.float64) * flip)[::-1],
    }
    plain = tmp_path / f"plain{suffix}"
    if suffix == ".npz":
        np.savez(plain, **content)
    else:
        plain.write_text(json.dumps({k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in content.items()}))
    protocols = ["--protocol=interhand26m/own", "--protocol=h2o3d", "--protocol=object/own"]
    scored(capsys, ours, *protocols, f"--output={tmp_path}/ours.json")
    scored(capsys, plain, *protocols, f"--truth={ours}", f"--output={tmp_path}/theirs.json")
    for protocol in ("interhand26m/own+depth=none", "h2o3d/local", "object/own"):
        expected = numbers_of(tmp_path / "ours.json", protocol)
        assert numbers_of(tmp_path / "theirs.json", protocol) == pytest.approx(expected, abs=1e-6)


def test_keys_may_be_the_bytes_that_our_own_files_have(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = noisy_records()
    ours = write_predictions(tmp_path / "predictions.npz", records)
    content = {"joints": records["predicted_joints_rel_m"], "joint_order": "interhand", "axes": "opencv", "unit": "m"}
    np.savez(tmp_path / "plain.npz", format="hand-poses-1", keys=records["key"], **content)
    protocol = "--protocol=interhand26m/own+depth=none"
    scored(capsys, ours, protocol, f"--output={tmp_path}/ours.json")
    scored(capsys, tmp_path / "plain.npz", protocol, f"--truth={ours}", f"--output={tmp_path}/theirs.json")
    found = [numbers_of(tmp_path / f"{name}.json", "interhand26m/own+depth=none") for name in ("ours", "theirs")]
    assert found[1]["mpjpe_mm/all"] == pytest.approx(found[0]["mpjpe_mm/all"])
    np.savez(tmp_path / "plain.npz", format="hand-poses-1", keys=np.array([b"\xff"] * 2), **content)
    assert score_command.main([str(tmp_path / "plain.npz"), protocol, f"--truth={ours}"]) == 1
    assert "the key b'\\xff' is not UTF-8 text" in capsys.readouterr().err


def test_labels_of_another_crop_leave_2p5d_poses_in_their_own(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Pixels and intrinsics go together; a labels file that was made with other crops has neither."""
    records = noisy_records()
    ours = write_predictions(tmp_path / "predictions.npz", records, representation="2.5d")
    other = records | {"intrinsics": 2 * records["intrinsics"], "joints_px": 2 * records["joints_px"]}
    other["joint_in_crop"] = np.zeros_like(records["joint_in_crop"])
    labels = write_predictions(tmp_path / "labels.npz", records_of.select(other, slice(None, None, -1)))
    protocols = ["--protocol=interhand26m/own+joints=crop+depth=ground_truth"]
    scored(capsys, ours, *protocols, f"--output={tmp_path}/a.json")
    scored(capsys, ours, *protocols, f"--truth={labels}", f"--output={tmp_path}/b.json")
    name = "interhand26m/own+joints=crop+depth=ground_truth"
    assert numbers_of(tmp_path / "b.json", name) == pytest.approx(numbers_of(tmp_path / "a.json", name))


def test_numbers_are_of_the_data_that_the_labels_are_of(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """v0.0 and v1.0 of InterHand2.6M have the same keys, and must not share a table's row."""
    ours = write_predictions(tmp_path / "predictions.npz", dataset_version="0.0.0")
    labels = write_predictions(tmp_path / "labels.npz", partial=["test lacks 3 of 12 frames"])
    shown, _ = scored(capsys, ours, "--protocol=interhand26m/own", f"--truth={labels}", f"--output={tmp_path}/s.json")
    assert json.loads((tmp_path / "s.json").read_text())["switches"]["dataset_version"] == "1.0.0"
    assert "partial data: test lacks 3 of 12 frames" in shown


def test_a_wrong_joint_order_shows(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = noisy_records()
    ours = write_predictions(tmp_path / "predictions.npz", records)
    content = {
        "format": "hand-poses-1",
        "keys": [key.decode() for key in records["key"]],
        "joints": records["predicted_joints_rel_m"].tolist(),
        "joint_order": "openpose",
        "axes": "opencv",
        "unit": "m",
    }
    (tmp_path / "plain.json").write_text(json.dumps(content))
    output = tmp_path / "scores.json"
    scored(capsys, tmp_path / "plain.json", "--protocol=interhand26m/own", f"--truth={ours}", "--output", output)
    assert numbers_of(output, "interhand26m/own+depth=none")["mpjpe_mm/all"] > 50


def test_labels_of_a_prepared_dataset(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = write_fake_dataset(tmp_path / "data", 4)
    arguments = ["synthetic_hands", f"--data_dir={folder}", "--split=train", f"--output={tmp_path}/labels.npz"]
    assert labels_command.main(arguments) == 0
    labels, setting = records_file.load_labels(tmp_path / "labels.npz")
    assert labels["joints_cam_m"].shape == (4, 2, 21, 3)
    assert (setting.switches["dataset"], setting.switches["split"]) == ("synthetic_hands", "train")
    assert labels["sequence"].tolist() == 4 * [b"fake"]
    assert labels_command.main([*arguments[:2], "--split=nothing", arguments[3]]) == 1
    assert "no split 'nothing'" in capsys.readouterr().err
    with buckets.in_memory() as url:
        assert labels_command.main([*arguments[:3], f"--output={url}/labels.npz"]) == 0
        assert path_of(f"{url}/labels.npz").read_bytes() == (tmp_path / "labels.npz").read_bytes()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("interhand26m/kipt", "near are interhand26m/kypt"),
        ("interhand26m/kypt+wrist=maybe", "must be one of counted, left_out"),
        ("interhand26m/kypt+wirst=counted", "no switch 'wirst'"),
        ("interhand26m/kypt+wrist", "must look like"),
        ("interhand26m/kypt+wrist=", "must look like"),
        ("ho3d_v2/official+wrist=counted", "its switches are none"),
        ("grasp", "lack vertices_known"),
        ("interhand26m/internet+subset=H", "--annotation_ids"),
    ],
)
def test_wrong_protocols_are_refused(name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_predictions(tmp_path / "predictions.npz")
    assert message in refused(capsys, path, f"--protocol={name}")


def test_what_must_be_given_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert "name a predictions file" in refused(capsys)
    assert "name a predictions file" in refused(capsys, tmp_path / "x.npz")
    assert "x.npz" in refused(capsys, tmp_path / "x.npz", "--protocol=grasp")
    (tmp_path / "pred.json").write_text(json.dumps([np.zeros((1, 21, 3)).tolist()]))
    assert "--truth=evaluation_xyz.json" in refused(capsys, tmp_path / "pred.json", "--protocol=ho3d_v2")
    path = write_predictions(tmp_path / "predictions.npz")
    assert "give --truth as well" in refused(capsys, path, "--protocol=h2o3d", "--frames=evaluation.txt")
    (tmp_path / "ids.txt").write_text("12\nthirteen\n")
    ids = f"--annotation_ids={tmp_path}/ids.txt"
    assert "it holds 'thirteen'" in refused(capsys, path, "--protocol=interhand26m/internet+subset=H", ids)


FRAME = np.zeros((21, 3)).tolist()
BAD_JSON = {
    "empty": "",
    "no_json": "[[[[0, 0",
    "truncated": json.dumps([[FRAME, FRAME], []])[:-40],
    "number": "7",
    "text": '"pred"',
    "object": "{}",
    "flat": "[1, 2, 3]",
    "no_frames": "[[], []]",
    "wrong_joints": json.dumps([[FRAME[:20]]]),
    "ragged": json.dumps([[FRAME, [*FRAME[:20], [0, 0]]]]),
    "not_finite": json.dumps([[FRAME]]).replace("0.0", "NaN", 1),
    "infinite": json.dumps([[FRAME]]).replace("0.0", "1e999", 1),
    "words": json.dumps([[FRAME]]).replace("0.0", '"x"', 1),
    "too_much": json.dumps([[FRAME], np.zeros((1, 778, 3)).tolist(), [FRAME]]),
    "verts_first": json.dumps([np.zeros((1, 778, 3)).tolist(), [FRAME]]),
    "fewer_verts": json.dumps([[FRAME, FRAME], np.zeros((1, 778, 3)).tolist()]),
    "goes_on": json.dumps([[FRAME]]) + " [1]",
    "deep": "[" * 100_000,
    "deep_object": '{"a":' * 100_000,
    "long_number": json.dumps([[FRAME]]).replace("0.0", "9" * 5000, 1),
}


@pytest.mark.parametrize("kind", BAD_JSON)
def test_hostile_json_gives_one_sentence(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    truth = write_ground_truth(tmp_path, right_hands(2)) / "evaluation_xyz.json"
    path = tmp_path / "pred.json"
    path.write_text(BAD_JSON[kind])
    assert "pred.json" in refused(capsys, path, "--protocol=ho3d_v2", f"--truth={truth}")


def test_hostile_archives_give_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    truth = write_ground_truth(tmp_path, right_hands(2)) / "evaluation_xyz.json"
    path = tmp_path / "pred.zip"
    arguments = (path, "--protocol=ho3d_v2", f"--truth={truth}")
    path.write_bytes(b"PK\x03\x04 no archive")
    assert "not a complete zip archive" in refused(capsys, *arguments)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../evil.json", "[]")
    assert "must hold pred.json and nothing else" in refused(capsys, *arguments)


def test_hostile_predictions_give_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_predictions(tmp_path / "predictions.npz")
    with np.load(path) as file:
        content = dict(file)
    bad = {
        "joints_cam_m": np.zeros((12, 2, 20, 3)),
        "hand_present": np.zeros((11, 2), bool),
        "predicted_joints_rel_m": np.full((12, 2, 21, 3), np.nan),
        "object_id": np.array(["x"] * 12),
        "switches": np.array("{not json"),
        "input_size_px": np.zeros(3),
    }
    for name, values in bad.items():
        np.savez(path, **(content | {name: values}))
        message = refused(capsys, path, "--protocol=interhand26m/own")
        assert name in message or "aren't finite" in message
    np.savez(path, **{name: values for name, values in content.items() if name != "joints_px"})
    assert "lacks ['joints_px']" in refused(capsys, path, "--protocol=interhand26m/own")
    objects = np.empty(12, object)
    objects[:] = [{"pickled": 1}] * 12
    np.savez(path, **(content | {"key": objects}), allow_pickle=True)  # type: ignore[arg-type]
    assert "is not a predictions file" in refused(capsys, path, "--protocol=interhand26m/own")
    whole = write_predictions(path).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(30):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 20):
            broken[place] ^= 0xFF
        path.write_bytes(bytes(broken[: rng.integers(1, len(whole))]))
        refused(capsys, path, "--protocol=interhand26m/own")


def test_plain_files_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = noisy_records()
    ours = write_predictions(tmp_path / "predictions.npz", records)
    keys = [key.decode() for key in records["key"]]
    good = {
        "format": "hand-poses-1",
        "keys": keys,
        "joints": np.zeros((12, 2, 21, 3)).tolist(),
        "joint_order": "ho3d",
        "axes": "opencv",
        "unit": "m",
    }
    path = tmp_path / "plain.json"
    cases = {
        "unit='feet' must be one of m, cm, mm": {"unit": "feet"},
        "unknown: ['joint']": {"joint": 1},
        "joints has the shape": {"joints": [[0.0]]},
        "the key 'x' is there twice": {"keys": ["x"] * 12},
        "keys must be a list of texts": {"keys": [1, 2]},
        "object_rotation and object_translation belong together": {"object_translation": np.zeros((12, 3)).tolist()},
        "lacks 12 of 12 labelled examples": {"keys": [f"other{row}" for row in range(12)]},
        "neither a submission nor the plain format": {"format": "mine"},
    }
    for message, change in cases.items():
        path.write_text(json.dumps(good | change))
        assert message in refused(capsys, path, "--protocol=interhand26m/own", f"--truth={ours}")


def test_what_follows_the_end_is_not_overlooked() -> None:
    with pytest.raises(ValueError, match=r"pred.json goes on after its end"):
        read_frames(BAD_JSON["goes_on"], Path("pred.json"))


def test_frames_are_read_as_json_reads_them() -> None:
    rng = np.random.default_rng(0)
    joints, vertices = rng.normal(size=(3, 21, 3)), rng.normal(size=(3, 778, 3))
    for indent in (None, 1):
        text = "\n " + json.dumps([joints.tolist(), vertices.tolist()], indent=indent) + " \n"
        for found, expected in zip(read_frames(text, Path("x")), (joints, vertices), strict=True):
            np.testing.assert_array_equal(found, expected)
        (only,) = read_frames(json.dumps(joints.tolist(), indent=indent), Path("x"))
        np.testing.assert_array_equal(only, joints)


def test_old_files_without_facts_are_still_read(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = {name: values for name, values in noisy_records().items() if name not in records_of.FACTS}
    path = write_predictions(tmp_path / "predictions.npz", records)
    (found,), _ = read_predictions(path, Truth())
    assert found.keys() == records.keys()
    shown, _ = scored(capsys, path, "--protocol=interhand26m/own")
    assert "[" not in next(line for line in shown.splitlines() if "mpjpe_mm/all " in line)


@pytest.mark.parametrize(("factor", "message"), [(1e3, "as mm"), (100, "as cm"), (1e-3, "once too often"), (10, "")])
def test_hands_in_another_unit_are_refused_with_the_one_that_fits(
    factor: float, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    records = noisy_records()
    records["predicted_joints_rel_m"] = factor * records["predicted_joints_rel_m"]
    path = write_predictions(tmp_path / "predictions.npz", records)
    if message:
        assert message in refused(capsys, path, "--protocol=interhand26m/own")
    arguments = ("--any_size",) if message else ()  # ten times as large, as an untrained network's, is no unit
    assert "mpjpe_mm/all" in scored(capsys, path, "--protocol=interhand26m/own", *arguments)[0]


def test_hands_relative_to_their_own_wrists_have_no_mrrpe(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = noisy_records()
    labels = write_predictions(tmp_path / "labels.npz", records)
    content = {
        "format": "hand-poses-1",
        "keys": [key.decode() for key in records["key"]],
        "joints": records["predicted_joints_rel_m"].tolist(),
        **{"joint_order": "interhand", "axes": "opencv", "unit": "m"},
    }
    for name, known, has_it in (("a.json", {}, False), ("b.json", {"relative_translation": [[0.1, 0, 0]] * 12}, True)):
        (tmp_path / name).write_text(json.dumps(content | known))
        shown, _ = scored(capsys, tmp_path / name, "--protocol=interhand26m/own", f"--truth={labels}")
        assert "mpjpe_mm/all" in shown
        assert ("mrrpe_mm" in shown) == has_it
