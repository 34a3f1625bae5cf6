"""Videos, read and written frame by frame, from files and cameras.

What a video file may make its reader open is looked at first: playlists and lists of files, which name other places,
are refused, and so are patterns of file names.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from occrobnet_jax.files.atomic import atomic_file
from occrobnet_jax.files.paths import AnyPath, in_bucket

MAX_SIDE_PX = 8192
MAX_FPS = 1000.0
USUAL_FPS = 25.0  # where a file doesn't say its own
COMPLETE = 0.9  # share of the frames that a file says it has; some count those that are never shown
HEADS = {  # of the containers that are read: where their mark stands, and the mark
    ".mp4, .mov, .m4v": (4, b"ftyp"),
    ".avi": (0, b"RIFF"),
    ".mkv, .webm": (0, b"\x1a\x45\xdf\xa3"),
    ".gif": (0, b"GIF8"),
}

Frame = UInt8[np.ndarray, "h w 3"]  # RGB


class Video(NamedTuple):
    """An open video."""

    width: int
    height: int
    fps: float
    num_frames: int  # as the file says, 0 where it doesn't
    frames: Iterator[tuple[float, Frame]]  # each with its time from the first one, s


@contextlib.contextmanager
def open_video(path: AnyPath) -> Iterator[Video]:
    """Yield a video; its frames can be read once.

    Raises:
        ValueError: it is no video, or one of a size that isn't read.
        OSError: there is no such file.
    """
    if in_bucket(path):
        raise ValueError(f"{path} lies in a bucket, and videos are read from disks; copy it here first")
    with path.open("rb") as file:
        head = file.read(16)
    if not any(head[at : at + len(mark)] == mark for at, mark in HEADS.values()):
        raise ValueError(f"{path} is no video that can be read ({'; '.join(HEADS)})")
    capture = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if not capture.isOpened() or width <= 0 or height <= 0:
            raise ValueError(f"{path} can't be read as a video; it is damaged, or of an unknown codec")
        if max(width, height) > MAX_SIDE_PX:
            raise ValueError(f"{path} has frames of {width} x {height} px; at most {MAX_SIDE_PX} on a side are read")
        fps, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        fps = fps if 0 < fps <= MAX_FPS else USUAL_FPS
        frames = ((index / fps, frame) for index, frame in enumerate(_frames(capture, count, path)))
        yield Video(width, height, fps, max(count, 0), frames)
    finally:
        capture.release()


@contextlib.contextmanager
def open_camera(number: int) -> Iterator[Video]:
    """Yield what a camera shows, as a video that doesn't end by itself, unless the camera is unplugged.

    Args:
        number: of the camera, as the system counts them.

    Raises:
        ValueError: there is no such camera.
    """
    capture = cv2.VideoCapture(number)
    try:
        if not capture.isOpened():
            raise ValueError(f"there is no camera {number}, or another program has it, or this one may not use it")
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # what is new, not what has piled up
        more, first = capture.read()
        if not more:
            raise ValueError(f"camera {number} gives no picture")
        fps = capture.get(cv2.CAP_PROP_FPS)
        yield Video(first.shape[1], first.shape[0], fps if 0 < fps <= MAX_FPS else USUAL_FPS, 0, _live(capture.read))
    finally:
        capture.release()


def _live(read: Callable[[], tuple[bool, Any]]) -> Iterator[tuple[float, Frame]]:
    """Yield what a camera shows until it is gone."""
    more, frame = read()
    start_s = time.monotonic()
    while more:
        yield time.monotonic() - start_s, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        more, frame = read()


def _frames(capture: cv2.VideoCapture, count: int, path: AnyPath) -> Iterator[Frame]:
    num_read, shape = 0, None
    while True:
        more, frame = capture.read()
        if not more:
            break
        shape = shape or frame.shape
        if frame.shape != shape or frame.dtype != np.uint8 or frame.ndim != 3:
            raise ValueError(f"{path} changes its size on the way, from {shape} to {frame.shape}")
        num_read += 1
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    if not num_read:
        raise ValueError(f"{path} holds no frame that can be read")
    if num_read < COMPLETE * count:
        raise ValueError(f"{path} ends after {num_read} of {count} frames; it is truncated or damaged")


@contextlib.contextmanager
def video_writer(path: AnyPath, fps: float, width: int, height: int) -> Iterator[Callable[[float, Frame], None]]:
    """Yield what takes times and frames of an MP4, which gets its name when the block ends.

    A frame that comes late is written as often as it takes to be at its time, one that comes early not at all.

    Raises:
        OSError: it can't be written.
    """
    with tempfile.TemporaryDirectory() as folder, atomic_file(path) as file:
        temporary = Path(folder) / "video.mp4"  # OpenCV takes the container from the ending
        writer = cv2.VideoWriter(str(temporary), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
        try:
            if not writer.isOpened():
                raise OSError(f"{path} can't be written: OpenCV has no encoder for MPEG-4 here")

            count = 0

            def write(time_s: float, frame: Frame) -> None:
                nonlocal count
                while count <= round(time_s * fps):
                    writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
                    count += 1

            yield write
        finally:
            writer.release()
        with temporary.open("rb") as encoded:
            shutil.copyfileobj(encoded, file)
