"""Videos: hands keep their identity, tremble less where they are smoothed, and broken files are told."""

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

import predict as predict_script
from occrobnet_jax.files.video import open_video
from occrobnet_jax.inference.one_euro import OneEuro, Smoothed
from occrobnet_jax.inference.predictor import Photo, Prediction, Predictor
from occrobnet_jax.inference.tracks import SeenHand, Tracker
from occrobnet_jax.skeleton import LEFT, RIGHT
from tests.support.seen_hands import HAND_PX, HEIGHT, WIDTH, prediction

FPS, FRAMES = 25.0, 30
NOISE_PX = 1.0


class TwoHands(Predictor):
    """Sees two hands that pass each other, in no fixed order, each joint off by some noise."""

    def predict_photo(self, photo: Photo, box, focal_px=None) -> list[Prediction]:
        index = int(photo.name.split()[1])
        rng = np.random.default_rng(index)
        centers = {RIGHT: (15 + 2 * index, 15), LEFT: (80 - 2 * index, 48)}
        said = [prediction(hand, HAND_PX + at + rng.normal(0, NOISE_PX, (21, 2))) for hand, at in centers.items()]
        return said if index % 2 else said[::-1]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "<b>clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (WIDTH, HEIGHT))
    for index in range(FRAMES):
        writer.write(np.full((HEIGHT, WIDTH, 3), 8 * index, np.uint8))
    writer.release()
    return path


def test_a_video_becomes_json_and_overlay_and_trembles_less(clip, tmp_path, capsys):
    predictor = TwoHands(None, 7, None)
    entry = predict_script.predict_video(
        predictor, clip, tmp_path / "clip", Path("net"), predict_script.Asked(one_euro=OneEuro())
    )
    assert len(entry["crops"]) == 2
    content = json.loads((tmp_path / "clip.json").read_text())
    assert (content["format"], content["version"]) == ("occrobnet-jax/video", 2)
    assert (content["width"], content["height"], content["frames_per_s"]) == (WIDTH, HEIGHT, FPS)
    assert content["one_euro"] == {"min_cutoff_hz": 1.0, "beta": 10.0}
    assert [frame["index"] for frame in content["frames"]] == list(range(FRAMES))
    assert content["frames"][10]["time_s"] == pytest.approx(0.4)
    sides = [{hand["track"]: hand["hand"] for hand in frame["hands"]} for frame in content["frames"]]
    assert all(side == sides[0] and len(side) == 2 for side in sides)
    said = capsys.readouterr().out
    before, after = (float(word) for word in said.split() if word.replace(".", "").isdigit())
    assert 2.5 < before < 3.7  # the mean length of second differences of such noise, 1 px in x and y, is 3.1 px
    assert after < before / 2
    with open_video(tmp_path / "clip.mp4") as video:
        drawn = [frame for _, frame in video.frames]
    assert len(drawn) == FRAMES
    assert drawn[-1].mean() > 100
    assert np.ptp(drawn[0]) > 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no video that can be read"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\nhttp://example.org/a.ts\n", "is no video that can be read"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "is no video that can be read"),
        (b"\0\0\0\x18ftypmp42" + bytes(300), "can't be read as a video; it is damaged"),
        (b"RIFF\xff\xff\xff\x7fAVI LIST" + bytes(300), "can't be read as a video; it is damaged"),
    ],
)
def test_what_is_no_video_is_told_and_leaves_nothing(content, message, tmp_path):
    path, output = tmp_path / "a.mp4", tmp_path / "out"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        predict_script.predict_video(TwoHands(None, 7, None), path, output / "a", Path("net"), predict_script.Asked())
    assert not list(output.glob("*"))


def test_half_a_video_is_told(clip, tmp_path):
    content = clip.read_bytes()
    (tmp_path / "half.avi").write_bytes(content[: len(content) // 2])
    with open_video(tmp_path / "half.avi") as video, pytest.raises(ValueError, match=r"ends after \d+ of 30 frames"):
        list(video.frames)


def track(hands: Sequence[tuple[int, float]], tracker: Tracker, time_s: float) -> list[int]:
    """The identities of hands that are given by side and place."""
    seen = [SeenHand(prediction(hand, HAND_PX + x), hand) for hand, x in hands]
    return [number for number, _ in tracker.add(seen, time_s)]


def test_identities_last_through_gaps_and_mistaken_sides():
    tracker = Tracker()
    assert track([(RIGHT, 20.0), (LEFT, 60.0)], tracker, 0.0) == [0, 1]
    assert track([(LEFT, 61.0)], tracker, 0.1) == [1]
    assert track([(RIGHT, 62.0), (LEFT, 21.0)], tracker, 0.2) == [1, 0]  # both sides mistaken
    assert track([], tracker, 0.5) == []
    assert track([(RIGHT, 22.0)], tracker, 0.6) == [0]
    assert track([(RIGHT, 22.0)], tracker, 2.0) == [2]  # after so long it may be anybody's
    assert track([(RIGHT, 22.0), (LEFT, 23.0)], tracker, 2.1) == [2, 3]


def test_of_two_hands_that_overlap_each_keeps_its_side():
    tracker = Tracker()
    assert track([(RIGHT, 20.0), (LEFT, 26.0)], tracker, 0.0) == [0, 1]
    assert track([(LEFT, 23.0), (RIGHT, 23.0)], tracker, 0.1) == [1, 0]


def test_the_filter_is_the_paper_s():
    """One step by hand, Casiez et al. 2012, equations 1 to 5."""
    smoothed = Smoothed(OneEuro(1.0, 2.0))
    assert smoothed(np.array([1.0]), 0.0) == 1.0
    alpha_speed = 1 / (1 + 1 / (2 * np.pi * 1.0 * 0.1))
    speed = alpha_speed * (3.0 - 1.0) / 0.1
    alpha = 1 / (1 + 1 / (2 * np.pi * (1.0 + 2.0 * speed) * 0.1))
    np.testing.assert_allclose(smoothed(np.array([3.0]), 0.1), alpha * 3 + (1 - alpha) * 1)


def test_what_rests_comes_to_rest_and_what_moves_is_followed():
    time_s = np.arange(100) / 25
    rest, moving = Smoothed(OneEuro()), Smoothed(OneEuro())
    still = [rest(np.array([0.5]), time) for time in time_s]
    np.testing.assert_allclose(still, 0.5)
    moved = np.array([moving(np.array([0.5 * time]), time)[0] for time in time_s])
    assert abs(moved[-1] - 0.5 * time_s[-1]) < 0.02  # of the picture, at half a picture a second


@pytest.mark.parametrize("parameters", [(0.0, 1.0), (-1.0, 0.0), (np.nan, 1.0), (1.0, -0.1), (1.0, np.inf)])
def test_parameters_that_are_none_are_told(parameters):
    with pytest.raises(ValueError, match="must be positive and"):
        OneEuro(*parameters)
