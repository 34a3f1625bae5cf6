"""A camera and a window that are not there: what is shown and recorded of them, and how it ends."""

import json
import signal
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

import predict as predict_script
from occrobnet_jax.drawing.window import Window
from occrobnet_jax.files.video import open_video
from occrobnet_jax.inference.one_euro import OneEuro
from occrobnet_jax.inference.predictor import Predictor
from tests.inference.test_video import FRAMES, HEIGHT, WIDTH, TwoHands


class Camera:
    """What OpenCV gives for a camera, which shows some frames until Ctrl-C is pressed."""

    is_there = True

    def __init__(self, number: int) -> None:
        assert number == 3
        self.count = 0

    def isOpened(self) -> bool:
        return self.is_there

    def set(self, name: int, value: float) -> None:
        assert (name, value) == (cv2.CAP_PROP_BUFFERSIZE, 1)

    def get(self, name: int) -> float:
        assert name == cv2.CAP_PROP_FPS
        return 100.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.count += 1
        if self.count == FRAMES:
            signal.raise_signal(signal.SIGINT)
        return True, np.full((HEIGHT, WIDTH, 3), 90, np.uint8)

    def release(self) -> None:
        self.count = -1


class FakeTk(types.ModuleType):
    """A Tk without a display, or one whose user presses q at the third picture."""

    TclError = RuntimeError

    def __init__(self, has_display: bool) -> None:
        self.has_display, self.shown, self.keys = has_display, [], {}

    def Tk(self) -> "FakeTk":
        if not self.has_display:
            raise self.TclError("no $DISPLAY environment variable")
        return self

    def Label(self, root: "FakeTk", **_: int) -> "FakeTk":
        return self

    def PhotoImage(self, data: bytes, format: str) -> bytes:
        assert format == "ppm"
        return data

    def configure(self, image: bytes) -> None:
        self.shown.append(image)

    def bind(self, key: str, heard) -> None:
        self.keys[key] = heard

    def update(self) -> None:
        if len(self.shown) == 3:
            self.keys["q"](None)

    def title(self, *_: str) -> None: ...

    def pack(self) -> None: ...

    def protocol(self, *_) -> None: ...

    def destroy(self) -> None:
        self.shown.append(b"closed")


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Predictor:
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    monkeypatch.setattr(predict_script, "_compile", lambda _: None)
    return TwoHands(None, 7, None)


def test_a_camera_is_recorded_until_ctrl_c(predictor, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tkinter", FakeTk(has_display=False))
    before = signal.getsignal(signal.SIGINT)
    predict_script.predict_webcam(predictor, 3, tmp_path, Path("net"), predict_script.Asked(one_euro=OneEuro()))
    assert signal.getsignal(signal.SIGINT) is before
    said = capsys.readouterr().out
    assert "no window can be opened: no $DISPLAY environment variable; recording until Ctrl-C" in said
    content = json.loads((tmp_path / "camera-3.json").read_text())
    times_s = [frame["time_s"] for frame in content["frames"]]
    assert len(times_s) == FRAMES - 1  # the camera's first picture told its size alone
    assert times_s[0] < times_s[1] < times_s[-1]
    assert {hand["track"] for frame in content["frames"] for hand in frame["hands"]} == {0, 1}
    monkeypatch.undo()
    with open_video(tmp_path / "camera-3.mp4") as video:
        assert len(list(video.frames)) == round(times_s[-1] * 100) + 1  # each frame stands until the next one comes
    assert "camera 3" in (tmp_path / "index.html").read_text()


def test_a_camera_s_window_shows_the_hands_until_q(predictor, monkeypatch):
    screen = FakeTk(has_display=True)
    monkeypatch.setitem(sys.modules, "tkinter", screen)
    predict_script.predict_webcam(predictor, 3, None, Path("net"), predict_script.Asked())
    assert len(screen.shown) == 4
    assert screen.shown[-1] == b"closed"
    picture = np.frombuffer(screen.shown[2].removeprefix(b"P6 96 64 255 "), np.uint8)
    assert len(picture) == 3 * 96 * 64
    assert np.ptp(picture) > 100


def test_what_a_camera_lacks_is_told(predictor, monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", FakeTk(has_display=False))
    with pytest.raises(ValueError, match=r"no \$DISPLAY .*; name a folder with --output to record without one"):
        predict_script.predict_webcam(predictor, 3, None, Path("net"), predict_script.Asked())
    monkeypatch.setattr(Camera, "is_there", False)
    with pytest.raises(ValueError, match="there is no camera 3, or another program has it"):
        predict_script.predict_webcam(predictor, 3, None, Path("net"), predict_script.Asked())
    monkeypatch.setitem(sys.modules, "tkinter", None)
    with pytest.raises(ValueError, match="no window can be opened: this Python has no tkinter"):
        Window("a", print)
