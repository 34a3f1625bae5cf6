"""The hands of a video: predicted frame by frame, followed, smoothed, and told as JSON.

The JSON of a video (units and frames as in `results`):

    format, version     "occrobnet-jax/video", 2
    video               the file; width, height, frames_per_s
    checkpoint          path and step of the network
    joint_names         order of the 21 joints
    one_euro            null, or the filter's min_cutoff_hz and beta
    frames              all of them, each with index, time_s, intrinsics of the camera, and
        hands               each with
            track               its identity: the same number is the same hand in other frames
            hand                right or left, as this frame shows it
            the other fields of a hand, as for a photo
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from occrobnet_jax.drawing.figures import predicted_hands
from occrobnet_jax.files.video import Frame, Video
from occrobnet_jax.inference.one_euro import OneEuro
from occrobnet_jax.inference.predictor import Photo, Prediction, Predictor
from occrobnet_jax.inference.results import hand_json, overlay, readable_json
from occrobnet_jax.inference.tracks import SeenHand, Tracker
from occrobnet_jax.skeleton import INTERHAND, NUM_HANDS

FORMAT, VERSION = "occrobnet-jax/video", 2


@dataclasses.dataclass(frozen=True)
class FrameHands:
    """What was seen in a frame."""

    index: int
    time_s: float
    photo: Photo
    raw: list[SeenHand]  # as the network says
    hands: list[tuple[int, SeenHand]]  # with their identities, smoothed where that is asked for

    @property
    def predictions(self) -> list[Prediction]:
        """Of each crop, as the network says; two hands may share one."""
        return list({id(seen.prediction): seen.prediction for seen in self.raw}.values())


def hands_of_video(
    predictor: Predictor, video: Video, name: str, focal_px: float | None, one_euro: OneEuro | None
) -> Iterator[FrameHands]:
    """Yield what each frame shows, in turn.

    Raises:
        ValueError: a frame can't be read or predicted.
    """
    tracker = Tracker(one_euro)
    for index, (time_s, frame) in enumerate(video.frames):
        photo = Photo(frame, f"frame {index} of {name}")
        raw = seen_hands(predictor, photo, focal_px)
        yield FrameHands(index, time_s, photo, raw, tracker.add(raw, time_s))


def seen_hands(predictor: Predictor, photo: Photo, focal_px: float | None) -> list[SeenHand]:
    """Return the hands of a photo one by one."""
    predictions = predictor.predict_photo(photo, None, focal_px)
    present = [(prediction, predicted_hands(prediction.hand_probability)) for prediction in predictions]
    return [SeenHand(prediction, int(hand)) for prediction, is_there in present for hand in np.flatnonzero(is_there)]


def frame_json(frame: FrameHands) -> dict[str, Any]:
    """Return what the JSON says of a frame."""
    said = [seen.prediction for _, seen in frame.hands]
    return {
        "index": frame.index,
        "time_s": round(frame.time_s, 6),
        "intrinsics": said[0].intrinsics.tolist() if said else None,
        "hands": [{"track": track, **hand_json(seen.prediction, seen.hand)} for track, seen in frame.hands],
    }


def video_json(
    frames: Sequence[dict[str, Any]], video: Video, name: str, one_euro: OneEuro | None, checkpoint: str, step: int
) -> str:
    """Return the JSON described above, of what `frame_json` returned."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "video": name,
        "width": video.width,
        "height": video.height,
        "frames_per_s": video.fps,
        "checkpoint": {"path": checkpoint, "step": step},
        "joint_names": INTERHAND,
        "one_euro": None if one_euro is None else dataclasses.asdict(one_euro),
        "frames": frames,
    }
    return readable_json(content) + "\n"


def overlaid(frame: FrameHands) -> Frame:
    """Return a frame with its hands, smoothed where that was asked for, drawn over it."""
    alone = [
        dataclasses.replace(
            seen.prediction, hand_probability=seen.prediction.hand_probability * (np.arange(NUM_HANDS) == seen.hand)
        )
        for _, seen in frame.hands
    ]
    return overlay(alone, frame.photo)


class Jitter:
    """How much joints tremble: the mean length of their second differences, before and after they are smoothed."""

    def __init__(self) -> None:
        """Begin with no frame."""
        self._last: dict[int, list[tuple[int, np.ndarray]]] = {}  # of each hand, its last three frames
        self._sums_px, self._count = np.zeros(2), 0

    def add(self, frame: FrameHands) -> None:
        """Take a frame."""
        for raw, (track, seen) in zip(frame.raw, frame.hands, strict=True):
            joints_px = np.stack([raw.joints_px, seen.joints_px])
            last = [*self._last.get(track, []), (frame.index, joints_px)][-3:]
            self._last[track] = last
            if len(last) == 3 and last[0][0] == frame.index - 2:
                bend = last[0][1] - 2 * last[1][1] + last[2][1]
                self._sums_px += np.linalg.norm(bend, axis=-1).mean(axis=1)
                self._count += 1

    def before_and_after_px(self) -> tuple[float, float] | None:
        """Return both, px a frame squared; None where no hand is in three frames in a row."""
        if not self._count:
            return None
        before, after = self._sums_px / self._count
        return float(before), float(after)
