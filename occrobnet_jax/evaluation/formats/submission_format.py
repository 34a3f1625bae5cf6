"""The JSON files of HO-3D's and H2O-3D's servers, read frame by frame: whole, they would fill the memory.

`[xyz, verts]` (H2O-3D also `[xyz]`): metres, OpenGL axes, HO-3D's joint order, the order of evaluation.txt. HO-3D's
frames are [21, 3] and [778, 3], H2O-3D's [21, 6] and [778, 6], the right hand's coordinates before the left one's.
"""

import json
import re
import zipfile
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from occrobnet_jax.evaluation.formats.poses import Poses, labels_of_right_hands, poses_from
from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.files.paths import AnyPath, size_of
from occrobnet_jax.progress import progress
from occrobnet_jax.skeleton import HO3D, INTERHAND, permutation

MAX_BYTES = 8 * 2**30
MEMBER = "pred.json"
OPENGL_FROM_OPENCV = np.array([1.0, -1.0, -1.0])
"""Of camera axes; the same the other way round."""
NUM_VERTICES = 778
FRAME_SHAPES = ((21, 3), (21, 6), (NUM_VERTICES, 3), (NUM_VERTICES, 6))
_BLANK = re.compile(r"[ \t\r\n]*")
_BRACKETS = re.compile(r"[ \t\r\n\[]*")
_DECODER = json.JSONDecoder()


def to_submission(joints_m: Float[np.ndarray, "*b 21 3"]) -> Float[np.ndarray, "*b 21 3"]:
    """Return our joints and axes as submissions have them."""
    return joints_m[..., permutation(INTERHAND, HO3D), :] * OPENGL_FROM_OPENCV


def from_submission(joints_m: Float[np.ndarray, "*b 21 3"]) -> Float[np.ndarray, "*b 21 3"]:
    """Return the joints of a submission in our order and axes."""
    return joints_m[..., permutation(HO3D, INTERHAND), :] * OPENGL_FROM_OPENCV


def read_text(path: AnyPath) -> str:
    """Return the JSON text of a file, or of pred.json in an archive.

    Raises:
        ValueError: it can't be read, is too large, or the archive holds something else.
    """
    try:
        if path.suffix.lower() == ".zip":
            return _read_member(path)
        if size_of(path) > MAX_BYTES:
            raise ValueError(f"{path} has more than {MAX_BYTES:,} bytes")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not JSON text: {error}") from error


def read_frames(text: str, source: AnyPath) -> list[Float[np.ndarray, "n p d"]]:
    """Return the lists of frames of a submission (joints, vertices), or the one list of a ground truth's file.

    An empty list in the place of the vertices is as good as none.

    Raises:
        ValueError: it isn't such a file; says which frame is wrong.
    """
    depth = _depth(text)
    if depth not in (3, 4):
        raise ValueError(f"{source} is not a list of frames: {depth} lists inside each other where 3 or 4 are expected")
    with progress(None, f"reading {source.name}", len(text), unit="B", delay_s=2.0) as bar:

        def frame(at: int, number: int) -> tuple[np.ndarray, int]:
            read, end = _frame(text, at, number, source)
            bar.update(end - at)
            return read, end

        def frames(at: int, number: int) -> tuple[np.ndarray, int]:
            items, end = _items(text, at, frame, source)
            return _stacked(items, source), end

        start = _skip(text, 0)
        if depth == 4:
            arrays, end = _items(text, start, frames, source)
            arrays = [*arrays[:1], *(array for array in arrays[1:] if len(array))]
        else:
            only, end = frames(start, 0)
            arrays = [only]
    if end != len(text):
        raise ValueError(f"{source} goes on after its end")
    return arrays


def submission_poses(text: str, source: AnyPath) -> Poses:
    """Return the poses of a pred.json of HO-3D (right hands) or H2O-3D (both, relative to the right wrist).

    Raises:
        ValueError: it isn't one.
    """
    joints, *vertices = read_frames(text, source)
    shapes = [array.shape for array in (joints, *vertices)]
    if joints.shape[1] != len(HO3D) or len(vertices) > 1 or (vertices and shapes[1] != _vertices_of(joints.shape)):
        raise ValueError(
            f"{source} must hold [n, 21, 3 or 6] joints and then as many [n, {NUM_VERTICES}, 3 or 6] vertices, "
            f"it holds {shapes}"
        )
    hands = from_submission(by_hand(joints))
    if hands.shape[1] == 1:
        hands = np.concatenate([hands, np.zeros_like(hands)], axis=1)
    return poses_from(hands, vertices_m=by_hand(vertices[0]) * OPENGL_FROM_OPENCV if vertices else None)


def ground_truth(joints_text: str, joints_path: AnyPath) -> Records:
    """Return the label columns of HO-3D's evaluation_xyz.json: right hands, complete.

    Raises:
        ValueError: it isn't such a file.
    """
    joints = from_submission(_only(joints_text, joints_path, len(HO3D)))
    return labels_of_right_hands(np.stack([joints, np.zeros_like(joints)], axis=1))


def ground_truth_mesh(text: str, path: AnyPath, frames: int) -> Records:
    """Return the label columns of HO-3D's evaluation_verts.json.

    Raises:
        ValueError: it isn't such a file, or not of so many frames.
    """
    vertices = _only(text, path, NUM_VERTICES)
    if len(vertices) != frames:
        raise ValueError(f"{path} has {len(vertices):,} frames where the joints' ground truth has {frames:,}")
    known = np.tile([True, False], (frames, 1))
    return {"vertices_cam_m": vertices[:, None] * OPENGL_FROM_OPENCV, "vertices_known": known}


def by_hand(points: Float[np.ndarray, "n p d"]) -> Float[np.ndarray, "n h p 3"]:
    """Return [right xyz | left xyz] with an axis of hands."""
    return np.stack(np.split(points, points.shape[2] // 3, axis=2), axis=1)


def _vertices_of(joints_shape: tuple[int, ...]) -> tuple[int, ...]:
    return (joints_shape[0], NUM_VERTICES, joints_shape[2])


def _only(text: str, path: AnyPath, points: int) -> Float[np.ndarray, "n p 3"]:
    arrays = read_frames(text, path)
    if len(arrays) != 1 or arrays[0].shape[1:] != (points, 3):
        raise ValueError(f"{path} must be one list of frames [{points}, 3], it holds {[a.shape for a in arrays]}")
    return arrays[0]


def _read_member(path: AnyPath) -> str:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if names != [MEMBER]:
                raise ValueError(f"{path} must hold {MEMBER} and nothing else, it holds {names[:5]}")
            if archive.getinfo(MEMBER).file_size > MAX_BYTES:
                raise ValueError(f"{path} unpacks to more than {MAX_BYTES:,} bytes")
            return archive.read(MEMBER).decode()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{path} is not a complete zip archive: {error}") from error


def _depth(text: str) -> int:
    """Return how many lists begin one inside the other."""
    beginning = _BRACKETS.match(text)
    return beginning.group().count("[") if beginning else 0


def _items(
    text: str, at: int, read: Callable[[int, int], tuple[np.ndarray, int]], source: AnyPath
) -> tuple[list[np.ndarray], int]:
    """Return the items of the list that begins at `at`, by a function of place and number, and the place after the
    list.
    """
    items: list[np.ndarray] = []
    first = _skip(text, at + 1)
    if text[first : first + 1] == "]":
        return items, _skip(text, first + 1)
    mark = ","
    while mark == ",":
        item, at = read(_skip(text, at + 1), len(items))
        items.append(item)
        at = _skip(text, at)
        mark = text[at : at + 1]
    if mark != "]":
        raise ValueError(f"{source}: a list ends after item {len(items) - 1}, perhaps an incomplete download")
    return items, _skip(text, at + 1)


def _frame(text: str, at: int, number: int, source: AnyPath) -> tuple[np.ndarray, int]:
    try:
        value, end = _DECODER.raw_decode(text, at)
        frame = np.asarray(value, np.float64)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{source}: frame {number} can't be read, perhaps an incomplete download: {error}") from error
    if frame.shape not in FRAME_SHAPES or not np.isfinite(frame).all():
        raise ValueError(
            f"{source}: frame {number} must be 21 or {NUM_VERTICES} rows of 3 or 6 finite numbers, it is {frame.shape}"
        )
    return frame, end


def _stacked(frames: list[np.ndarray], source: AnyPath) -> Float[np.ndarray, "n p d"]:
    for number, frame in enumerate(frames):
        if frame.shape != frames[0].shape:
            raise ValueError(f"{source}: frame {number} is {frame.shape}, the first one {frames[0].shape}")
    return np.stack(frames) if frames else np.zeros((0, 0, 0))


def _skip(text: str, at: int) -> int:
    """Return the next place that is no white space."""
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at
