"""Writes the files that HO-3D's and H2O-3D's servers take: checked first, frame by frame, whole or not at all."""

import dataclasses
import itertools
import json
import zipfile
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float, Int

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.formats.submission_format import MEMBER, NUM_VERTICES, OPENGL_FROM_OPENCV, to_submission
from occrobnet_jax.files.atomic import atomic_file
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.geometry.alignment import from_right_wrist
from occrobnet_jax.progress import progress
from occrobnet_jax.skeleton import MIDDLE_BASE, RIGHT, WRIST

DECIMALS = 9  # of metres: what is read back differs by less than 1e-6 mm
PALM_M = (0.03, 0.2)  # plausible lengths from wrist to middle base; outside of it the unit is wrong
ROOTS = ("given", "own", "none")


@dataclasses.dataclass(frozen=True)
class Server:
    """What a benchmark's server expects."""

    name: str
    num_frames: int
    hands: int


SERVERS = (Server("ho3d_v2", 11_524, 1), Server("ho3d_v3", 20_137, 1), Server("h2o3d", 15_342, 2))


@dataclasses.dataclass(frozen=True)
class Submission:
    """Frames in the order of evaluation.txt, our joints and axes, as the server counts hands; metres."""

    joints_m: Float[np.ndarray, "n h 21 3"]
    vertices_m: Float[np.ndarray, "n h 778 3"] | None  # None writes zeros for HO-3D, and nothing for H2O-3D


def submission_of(records: Records, server: Server, num_frames: int, root: str, any_size: bool = False) -> Submission:
    """Return the frames of predictions, in order and checked.

    Args:
        records: of the evaluation split.
        server: where it goes.
        num_frames: that evaluation.txt lists.
        root: HO-3D only. Where the wrist is put: "given", at the one that the evaluation split tells; "own", where
            the network puts it; "none", at the origin. H2O-3D's frames are relative to the right wrist.
        any_size: whether hands may be of any size, as an untrained network's are.

    Raises:
        ValueError: frames are missing, twice there or not finite, or the hands have no size of hands.
    """
    order = _order(records, num_frames)
    relative = records["predicted_joints_rel_m"].astype(np.float64)[order]
    relative = relative - relative[:, :, WRIST : WRIST + 1]
    _check_finite(relative[:, : server.hands])
    if not any_size:
        _check_size(relative[:, : server.hands])
    mesh = records.get("predicted_vertices_rel_m")
    vertices = None if mesh is None else mesh[order].astype(np.float64)[:, : server.hands]
    if server.hands == 2:
        step = records["predicted_relative_translation_m"].astype(np.float64)[order]
        moved = None if vertices is None else from_right_wrist(vertices, step)
        return Submission(from_right_wrist(relative, step), moved)
    wrist = _wrists(records, root)[order][:, None, None]
    return Submission(relative[:, :1] + wrist, None if vertices is None else vertices + wrist)


def write_submission(path: AnyPath, submission: Submission) -> None:
    """Write pred.json, alone or in a zip archive, by the suffix of `path`.

    Raises:
        ValueError: the suffix is neither.
        OSError: the file can't be written.
    """
    if path.suffix not in (".zip", ".json"):
        raise ValueError(f"--output={path} must end in .zip (what servers take) or .json")
    with atomic_file(path) as file:
        if path.suffix == ".json":
            file.writelines(_pieces(submission))
            return
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            member = zipfile.ZipInfo(MEMBER)  # of 1980, so that the same predictions give the same file
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as inner:
                inner.writelines(_pieces(submission))


def _pieces(submission: Submission) -> Iterator[bytes]:
    """Return the JSON file, frame by frame."""
    lists = [_texts(submission.joints_m, to_submission)]
    if submission.vertices_m is not None:
        lists.append(_texts(submission.vertices_m, lambda points: points * OPENGL_FROM_OPENCV))
    elif submission.joints_m.shape[1] == 1:
        lists.append(itertools.repeat(_text(np.zeros((NUM_VERTICES, 3))), len(submission.joints_m)))
    for number, frames in enumerate(lists):
        yield b"[[" if number == 0 else b", ["
        total = len(submission.joints_m)
        for row, frame in enumerate(progress(frames, "writing", total, unit="frame", delay_s=2.0)):
            yield (frame if row == 0 else f", {frame}").encode()
        yield b"]"
    yield b"]\n"


def _texts(points: Float[np.ndarray, "n h p 3"], convert: Callable[[np.ndarray], np.ndarray]) -> Iterator[str]:
    """Return each frame as JSON, the hands' coordinates beside each other."""
    for frame in points:
        yield _text(np.concatenate(list(convert(frame)), axis=-1))


def _text(frame: Float[np.ndarray, "p d"]) -> str:
    return json.dumps(np.round(frame, DECIMALS).tolist(), allow_nan=False)


def _order(records: Records, num_frames: int) -> Int[np.ndarray, " n"]:
    """Return the rows of the records in the order of evaluation.txt."""
    rows = np.asarray(records.get("evaluation_row", np.zeros(0, int)))
    if len(rows) == 0 or rows.min() < 0:
        raise ValueError(
            "the predictions don't say which frame of evaluation.txt each one is; evaluate the dataset's "
            "evaluation split with eval.py"
        )
    seen = np.bincount(rows[rows < num_frames], minlength=num_frames)
    if rows.max() >= num_frames or (seen != 1).any():
        wrong = int(np.argmax(seen != 1)) if (seen != 1).any() else int(rows.max())
        raise ValueError(
            f"the predictions must hold each of the {num_frames:,} frames of evaluation.txt once; {len(rows):,} are "
            f"there, and frame {wrong} is there {int((rows == wrong).sum())} times; "
            "--frames=FILE takes another evaluation.txt"
        )
    return np.argsort(rows)


def _check_finite(relative: Float[np.ndarray, "n h 21 3"]) -> None:
    finite = np.isfinite(relative).all(axis=(1, 2, 3))
    if not finite.all():
        raise ValueError(f"{int((~finite).sum())} frames aren't finite, the first is frame {int(np.argmin(finite))}")


def _check_size(relative: Float[np.ndarray, "n h 21 3"]) -> None:
    palm = np.linalg.norm(relative[:, :, MIDDLE_BASE], axis=-1)
    low, high = PALM_M
    if not low < np.median(palm) < high:
        raise ValueError(
            f"the median length from wrist to middle base is {np.median(palm):.4g} m where hands have {low} to {high}: "
            "are the predictions in metres, and from a trained network? (--any_size writes them all the same)"
        )


def _wrists(records: Records, root: str) -> Float[np.ndarray, "n 3"]:
    if root == "none":
        return np.zeros((len(records["root_cam_m"]), 3))
    if root == "own":
        return records["predicted_root_cam_m"].astype(np.float64)[:, RIGHT]
    known = records["root_known"][:, RIGHT].astype(bool)
    if not known.all():
        raise ValueError(f"the wrist of {int((~known).sum())} frames isn't given; take --root=own or --root=none")
    return records["root_cam_m"].astype(np.float64)[:, RIGHT]
