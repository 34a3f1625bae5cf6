import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from occrobnet_jax.evaluation import score as score_command
from occrobnet_jax.evaluation import submit as submit_command
from occrobnet_jax.evaluation.formats.predictions_file import Truth, read_predictions
from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.formats.submission_format import submission_poses
from occrobnet_jax.evaluation.formats.submissions import Submission, write_submission
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import path_of
from occrobnet_jax.skeleton import HO3D, INTERHAND, permutation
from tests.support import buckets
from tests.support.fake_predictions import OPENGL, noisy_records, right_hands, write_ground_truth, write_predictions


def submitted(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    assert submit_command.main([str(each) for each in arguments]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture, output: Path, *arguments: object) -> str:
    assert submit_command.main([*(str(each) for each in arguments), f"--output={output}"]) == 1
    assert list(output.parent.glob(f"*{output.name}*")) == [], "nothing half-written, nothing at all"
    return capsys.readouterr().err


def content_of(archive: Path) -> list:
    with zipfile.ZipFile(archive) as zipped:
        assert zipped.namelist() == ["pred.json"]
        return json.loads(zipped.read("pred.json"))


def test_ho3d_file_is_as_the_server_wants_it(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = right_hands(5)
    path, frames = (
        write_predictions(tmp_path / "p.npz", records),
        write_ground_truth(tmp_path, records) / "evaluation.txt",
    )
    output = tmp_path / "pred.zip"
    submitted(capsys, path, "--server=ho3d_v3", f"--frames={frames}", f"--output={output}")
    joints, vertices = content_of(output)
    assert np.shape(joints) == (5, 21, 3)
    assert np.shape(vertices) == (5, 778, 3)
    assert not np.any(vertices)
    for row in range(5):
        (at,) = np.flatnonzero(records["evaluation_row"] == row)
        own = records["predicted_joints_rel_m"][at, 0].astype(np.float64)
        expected = own - own[20] + records["root_cam_m"][at, 0]
        for place, name in enumerate(HO3D):
            x, y, z = expected[INTERHAND.index(name)]
            assert joints[row][place] == pytest.approx([x, -y, -z], abs=1e-9)
    assert (np.array(joints)[..., 2] < 0).all()  # in front of an OpenGL camera


@pytest.mark.parametrize("root", ["given", "own"])
@pytest.mark.parametrize("suffix", [".zip", ".json"])
def test_reading_back_gives_the_same_numbers(
    root: str, suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    records = right_hands(6)
    rng = np.random.default_rng(2)
    # A wrist that is met exactly has an error of 0 here and of a rounding there, which PCK tells apart.
    for name in ("root_cam_m", "predicted_root_cam_m", "predicted_joints_cam_m"):
        records[name] = records[name] + 0.001
    records["predicted_vertices_rel_m"] = rng.normal(0, 0.05, (6, 2, 778, 3))
    ours, folder = write_predictions(tmp_path / "p.npz", records), write_ground_truth(tmp_path, records)
    output = tmp_path / f"pred{suffix}"
    submitted(
        capsys, ours, "--server=ho3d_v2", f"--frames={folder}/evaluation.txt", f"--output={output}", f"--root={root}"
    )
    found = {}
    for path in (ours, output):
        score_command.main(
            [
                *(str(path), "--protocol=ho3d_v2", f"--truth={folder}/evaluation_xyz.json"),
                *(f"--truth_vertices={folder}/evaluation_verts.json", f"--output={tmp_path}/scores.json"),
            ]
        )
        scores = json.loads((tmp_path / "scores.json").read_text())["scores"]["ho3d_v2/official"]["numbers"]
        found[path] = {name: each["value"] for name, each in scores.items()}
    assert len(found[ours]) == len(found[output]) > 20
    for name, value in found[ours].items():  # the true wrists and the own ones are the same in these records
        assert found[output][name] == pytest.approx(value, abs=1e-6), name


def test_a_submission_may_be_written_to_a_bucket(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = right_hands(3)
    local, folder = write_predictions(tmp_path / "p.npz", records), write_ground_truth(tmp_path, records)
    common = ("--server=ho3d_v2", f"--frames={folder}/evaluation.txt")
    submitted(capsys, local, *common, f"--output={tmp_path}/pred.zip")
    with buckets.in_memory() as url:
        write_atomically(path_of(f"{url}/p.npz"), local.read_bytes())
        submitted(capsys, f"{url}/p.npz", *common, f"--output={url}/pred.zip")
        assert path_of(f"{url}/pred.zip").read_bytes() == (tmp_path / "pred.zip").read_bytes()


def test_an_empty_list_of_vertices_is_none() -> None:
    frame = np.arange(63.0).reshape(21, 3).tolist()
    for text in (f"[[{frame}], []]", f"[[{frame}],[ ]]", f"[[{frame}]]"):
        poses = submission_poses(text, Path("pred.json"))
        assert poses.vertices_m is None
        assert len(poses.joints_m) == 1
    with pytest.raises(ValueError, match="must hold"):
        submission_poses(f"[[{frame}], [], [{frame}]]", Path("pred.json"))


def test_h2o3d_file_is_relative_to_the_right_wrist(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    records = noisy_records(6)
    records["evaluation_row"] = np.array([3, 1, 0, 2, 5, 4], np.int32)
    frames = tmp_path / "evaluation.txt"
    frames.write_text("S/0000\n" * 6)
    path, output = write_predictions(tmp_path / "p.npz", records), tmp_path / "pred.zip"
    submitted(capsys, path, "--server=h2o3d", f"--frames={frames}", f"--output={output}")
    (joints,) = content_of(output)
    assert np.shape(joints) == (6, 21, 6)
    order = permutation(INTERHAND, HO3D)
    for row in range(6):
        (at,) = np.flatnonzero(records["evaluation_row"] == row)
        own = records["predicted_joints_rel_m"][at].astype(np.float64)
        step = records["predicted_relative_translation_m"][at].astype(np.float64)
        right, left = own[0] - own[0, 20], own[1] - own[1, 20] + step
        np.testing.assert_allclose(np.array(joints[row])[:, :3], right[order] * OPENGL, atol=1e-9)
        np.testing.assert_allclose(np.array(joints[row])[:, 3:], left[order] * OPENGL, atol=1e-9)
    numbers = {}
    for read in (path, output):
        score_command.main([str(read), "--protocol=h2o3d", f"--truth={path}", f"--output={tmp_path}/s.json"])
        scores = json.loads((tmp_path / "s.json").read_text())["scores"]["h2o3d/local"]["numbers"]
        numbers[read] = {name: each["value"] for name, each in scores.items()}
    assert numbers[output] == pytest.approx(numbers[path], abs=1e-6)


def test_the_same_predictions_give_the_same_file(tmp_path: Path) -> None:
    submission = Submission(np.random.default_rng(0).normal(size=(4, 1, 21, 3)), None)
    for name in ("a.zip", "b.zip"):
        write_submission(tmp_path / name, submission)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.long
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    def peak(frames: int) -> int:
        submission = Submission(np.zeros((frames, 1, 21, 3)), np.broadcast_to(np.float64(0.1), (frames, 1, 778, 3)))
        tracemalloc.start()
        write_submission(tmp_path / "pred.zip", submission)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    write_submission(tmp_path / "pred.zip", Submission(np.zeros((1, 1, 21, 3)), None))  # what is imported once
    # Threads that other tests left behind are counted too, so the least of some counts.
    peaks = [min(peak(frames) for _ in range(3)) for frames in (10, 60)]
    assert peaks[1] < 2_000_000
    assert peaks[1] - peaks[0] < 30_000  # the text of one frame with its mesh is 20 kB


def spoil(records: Records, name: str, values: object) -> Records:
    return records | {name: np.asarray(values)}


def test_what_a_server_would_refuse_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    records = right_hands(4)
    frames = tmp_path / "evaluation.txt"
    frames.write_text("SM1/0000\nSM1/0001\nSM1/0002\nSM1/0003\n")
    rows = records["evaluation_row"]
    cases = {
        "frame 0 is there 2 times": spoil(records, "evaluation_row", np.where(rows == 1, 0, rows)),
        "frame 0 is there 0 times": spoil(records, "evaluation_row", rows + 1),
        "don't say which frame": spoil(records, "evaluation_row", np.full(4, -1)),
        "predictions don't say which frame": spoil(records, "evaluation_row", np.where(rows == 1, -1, rows)),
        "the wrist of 1 frames isn't given": spoil(
            records, "root_known", np.arange(4)[:, None] != np.array([2, 0])[None]
        ),
        "1 frames aren't finite, the first is frame 2": spoil(
            records,
            "predicted_joints_rel_m",
            np.where((rows == 2)[:, None, None, None], np.nan, records["predicted_joints_rel_m"]),
        ),
        "are the predictions in metres": spoil(
            records, "predicted_joints_rel_m", 1000 * records["predicted_joints_rel_m"]
        ),
        "the wrist of 4 frames isn't given": spoil(records, "root_known", np.zeros((4, 2), bool)),
    }
    for message, spoilt in cases.items():
        path = write_predictions(tmp_path / "p.npz", spoilt)
        assert message in refused(capsys, tmp_path / "x.zip", path, "--server=ho3d_v2", f"--frames={frames}")
    large = write_predictions(tmp_path / "large.npz", cases["are the predictions in metres"])
    assert (
        submit_command.main(
            [str(large), "--server=ho3d_v2", f"--frames={frames}", "--any_size", f"--output={tmp_path}/y.zip"]
        )
        == 0
    )
    path = write_predictions(tmp_path / "p.npz", records)
    assert "each of the 11,524 frames" in refused(capsys, tmp_path / "x.zip", path, "--server=ho3d_v2")
    assert "must end in .zip" in refused(capsys, tmp_path / "x.txt", path, "--server=ho3d_v2", f"--frames={frames}")


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "pred.zip"
    output.write_bytes(b"what was there before")
    texts = iter(["[[0, 0, 0]]"])
    monkeypatch.setattr("occrobnet_jax.evaluation.formats.submissions._text", lambda frame: next(texts))
    with pytest.raises(RuntimeError, match="StopIteration"):
        write_submission(output, Submission(np.zeros((3, 2, 21, 3)), None))
    assert [path.name for path in tmp_path.iterdir()] == ["pred.zip"]
    assert output.read_bytes() == b"what was there before"


def test_a_submission_of_h2o3d_needs_as_many_labels(tmp_path: Path) -> None:
    labels = write_predictions(tmp_path / "p.npz")
    output = tmp_path / "pred.json"
    write_submission(output, Submission(np.zeros((3, 2, 21, 3)), None))
    with pytest.raises(ValueError, match="has 3 frames where the truth has 12"):
        read_predictions(output, Truth(labels))
