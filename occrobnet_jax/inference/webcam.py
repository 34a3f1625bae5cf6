"""A camera that is watched until its user asks for the end, by q in the window or Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from occrobnet_jax.drawing.window import Window
from occrobnet_jax.files.video import Frame, Video, open_camera


@contextlib.contextmanager
def watched_camera(number: int, title: str, *, is_recorded: bool) -> Iterator[tuple[Video, Callable[[Frame], None]]]:
    """Yield what a camera shows until the end is asked for, and what shows pictures in a window.

    Args:
        number: of the camera.
        title: of the window.
        is_recorded: whether a window may be lacking.

    Raises:
        ValueError: there is no such camera; or no window, and nothing is recorded.
    """
    with _ended_by_ctrl_c() as end, open_camera(number) as video, _shown(title, end, is_recorded) as show:
        yield video._replace(frames=_until(end, video.frames)), show


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[threading.Event]:
    """Yield what the first Ctrl-C sets, instead of ending the program; a second one ends it."""
    end = threading.Event()

    def note(*_: Any) -> None:
        end.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield end
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _shown(title: str, end: threading.Event, is_recorded: bool) -> Iterator[Callable[[Frame], None]]:
    """Yield what shows a picture in a window."""
    try:
        window = Window(title, end.set)
    except ValueError as error:
        if not is_recorded:
            raise ValueError(f"{error}; name a folder with --output to record without one") from error
        print(f"{error}; recording until Ctrl-C")
        yield lambda picture: None
        return
    try:
        yield window.show
    finally:
        window.close()


def _until(end: threading.Event, frames: Iterator[tuple[float, Frame]]) -> Iterator[tuple[float, Frame]]:
    """Yield frames, one at least, until the end."""
    for frame in frames:
        yield frame
        if end.is_set():
            return
