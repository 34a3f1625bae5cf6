"""Which hand of a video's frame is which hand of the frames before, and each hand smoothed over time."""

import dataclasses

import numpy as np
from jaxtyping import Float

from occrobnet_jax.inference.finder import overlap
from occrobnet_jax.inference.inputs import Box
from occrobnet_jax.inference.one_euro import OneEuro, Smoothed
from occrobnet_jax.inference.predictor import Prediction

SAME_FROM = 0.15  # overlap of two boxes, over their union, from which they may be one hand's
SAME_SIDE = 0.2  # that a hand of the same side is preferred by: the side is sometimes mistaken
FILTERED = ("joints_px", "joints_rel_m", "joints_cam_m")
FORGOTTEN_S = 0.5  # after which a hand that isn't seen is another one when it comes back


@dataclasses.dataclass(frozen=True)
class SeenHand:
    """A hand of one frame."""

    prediction: Prediction
    hand: int  # 0 right, 1 left

    @property
    def box_px(self) -> Box:
        """The box around its joints."""
        (x0, y0), (x1, y1) = (self.joints_px.min(0), self.joints_px.max(0))
        return float(x0), float(y0), float(x1), float(y1)

    @property
    def joints_px(self) -> Float[np.ndarray, "21 2"]:
        """Its joints in the frame."""
        return self.prediction.joints_px[self.hand]


class Track:
    """One hand over frames."""

    def __init__(self, number: int, parameters: OneEuro | None) -> None:
        """Begin with no frame.

        Args:
            number: its identity.
            parameters: of the filter; None keeps joints as they are.
        """
        self.number = number
        self._filters = None if parameters is None else [Smoothed(parameters) for _ in FILTERED]

    def add(self, seen: SeenHand, time_s: float) -> SeenHand:
        """Take this hand of a frame, and return it smoothed."""
        self.box_px, self.hand, self.seen_s = seen.box_px, seen.hand, time_s
        if self._filters is None:
            return seen
        said, side_px = seen.prediction, float(max(seen.prediction.photo.shape[:2]))
        smoothed = {}
        for name, unit, through in zip(FILTERED, (side_px, 1.0, 1.0), self._filters, strict=True):
            values = getattr(said, name).copy()
            values[seen.hand] = unit * through(values[seen.hand] / unit, time_s)
            smoothed[name] = values
        return dataclasses.replace(seen, prediction=dataclasses.replace(said, **smoothed))


class Tracker:
    """Gives the hands of each frame the identities of the hands before."""

    def __init__(self, parameters: OneEuro | None = None) -> None:
        """Begin with no hand."""
        self._parameters, self._tracks, self._count = parameters, list[Track](), 0

    def add(self, hands: list[SeenHand], time_s: float) -> list[tuple[int, SeenHand]]:
        """Return the identity of each hand of the next frame, and the hand itself, smoothed."""
        self._tracks = [track for track in self._tracks if time_s - track.seen_s <= FORGOTTEN_S]
        taken = self._matches(hands)
        result = []
        for i, seen in enumerate(hands):
            track = taken.get(i) or self._begin()
            result.append((track.number, track.add(seen, time_s)))
        return result

    def _matches(self, hands: list[SeenHand]) -> dict[int, Track]:
        """Return the track of each hand that has one: those that overlap most in total."""
        from scipy.optimize import linear_sum_assignment  # which photos alone don't need: a third of a second

        likeness = np.zeros((len(hands), len(self._tracks)))
        for i, seen in enumerate(hands):
            for j, track in enumerate(self._tracks):
                shared = overlap(seen.box_px, track.box_px)
                likeness[i, j] = shared + SAME_SIDE * (seen.hand == track.hand) if shared >= SAME_FROM else 0
        pairs = zip(*linear_sum_assignment(-likeness), strict=True)
        return {int(i): self._tracks[j] for i, j in pairs if likeness[i, j] > 0}

    def _begin(self) -> Track:
        self._tracks.append(Track(self._count, self._parameters))
        self._count += 1
        return self._tracks[-1]
