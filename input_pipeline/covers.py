"""What hides the hands in a corruption sweep: bars, textures and objects over an exact share of the hands' boxes.

They are never those of training. `looks` draws ellipses and rectangles in one color with white noise; here stand
parallel bars, clouds with a checked or striped pattern, and shaded bodies with lobes. Their numbers come from a stream
of their own.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

CoverKind = Literal["bars", "textures", "objects"]

BAR_PERIOD = (0.15, 0.35)  # in sides of the box around all hands, as all lengths here
CLOUD_SIGMA = 0.12
PATTERN_PERIOD = (0.05, 0.12)
LOBES, LOBE_DEPTH = (5, 9), (0.3, 0.45)

Image = UInt8[np.ndarray, "size size 3"]
Heights = Float[np.ndarray, "size size"]  # the lowest places are covered first
Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Cover:
    """One cover. With the same seed a larger share covers all that a smaller one does."""

    kind: CoverKind
    share: float  # of the pixels in the hands' boxes
    hand_boxes_px: tuple[Box, ...]  # x0, y0, x1, y1 in the crop
    seed: tuple[int, ...]

    def paint(self, image: Image) -> Bool[np.ndarray, "size size"]:
        """Draw it into a square image; return which pixels it covers, none where no hand's box is in the image."""
        inside = _inside(self.hand_boxes_px, len(image))
        if not inside.any():
            return inside
        corners = np.array(self.hand_boxes_px)
        frame = _Frame(len(image), *_square(corners))
        heights, colors = _DRAWN[self.kind](np.random.default_rng(self.seed), frame)
        covered: Bool[np.ndarray, "size size"] = np.asarray(heights <= _level(heights[inside], self.share))
        image[covered] = np.clip(colors[covered], 0, 255).astype(np.uint8)
        return covered


@dataclasses.dataclass(frozen=True)
class _Frame:
    """The image's pixels, seen from the middle of the hands in sides of the box around them."""

    size: int
    center_px: Float[np.ndarray, " 2"]
    side_px: float

    def places(self, shift: Float[np.ndarray, " 2"], angle_rad: float) -> tuple[Heights, Heights]:
        """Return x and y of each pixel in axes that are shifted and turned."""
        y, x = np.mgrid[: self.size, : self.size]
        dx, dy = ((at - middle) / self.side_px for at, middle in zip((x, y), self.center_px, strict=True))
        cosine, sine = np.cos(angle_rad), np.sin(angle_rad)
        dx, dy = dx - shift[0], dy - shift[1]
        return cosine * dx + sine * dy, cosine * dy - sine * dx


def _bars(rng: np.random.Generator, frame: _Frame) -> tuple[Heights, Float[np.ndarray, "size size 3"]]:
    x, _ = frame.places(rng.uniform(-0.5, 0.5, 2), rng.uniform(0, np.pi))
    heights = np.abs((x / rng.uniform(*BAR_PERIOD)) % 1 - 0.5)
    return heights, _color(rng) * (1 - 0.6 * heights[..., None])


def _textures(rng: np.random.Generator, frame: _Frame) -> tuple[Heights, Float[np.ndarray, "size size 3"]]:
    clouds = cv2.GaussianBlur(rng.standard_normal((frame.size, frame.size)), (0, 0), CLOUD_SIGMA * frame.side_px)
    x, y = frame.places(np.zeros(2), rng.uniform(0, np.pi))
    stripes = np.floor(x / rng.uniform(*PATTERN_PERIOD)) + rng.integers(2) * np.floor(y / rng.uniform(*PATTERN_PERIOD))
    return clouds, np.where((stripes % 2 == 0)[..., None], _color(rng), _color(rng))


def _objects(rng: np.random.Generator, frame: _Frame) -> tuple[Heights, Float[np.ndarray, "size size 3"]]:
    x, y = frame.places(rng.uniform(-0.25, 0.25, 2), rng.uniform(0, 2 * np.pi))
    lobes = 1 + rng.uniform(*LOBE_DEPTH) * np.cos(rng.integers(*LOBES, endpoint=True) * np.arctan2(y, x))
    return np.hypot(x, y) / lobes, _color(rng) * np.clip(0.7 + x, 0.2, 1.2)[..., None]


_DRAWN: dict[str, Callable[[np.random.Generator, _Frame], tuple[Heights, Float[np.ndarray, "size size 3"]]]] = {
    "bars": _bars,
    "textures": _textures,
    "objects": _objects,
}


def _color(rng: np.random.Generator) -> Float[np.ndarray, " 3"]:
    return rng.uniform(20.0, 255.0, 3)


def _level(heights: Float[np.ndarray, " n"], share: float) -> float:
    """Return the height that this share of them doesn't exceed."""
    count = round(share * len(heights))
    return float(np.partition(heights, count - 1)[count - 1]) if count else -np.inf


def _square(boxes_px: Float[np.ndarray, "n 4"]) -> tuple[Float[np.ndarray, " 2"], float]:
    """Return center and long side of the box around all boxes."""
    low, high = boxes_px[:, :2].min(0), boxes_px[:, 2:].max(0)
    return (low + high) / 2, max(float((high - low).max()), 1.0)


def _inside(boxes_px: tuple[Box, ...], size: int) -> Bool[np.ndarray, "size size"]:
    """Return the pixels that are in any of the boxes."""
    inside, at = np.zeros((size, size), bool), np.arange(size)
    for x0, y0, x1, y1 in boxes_px:
        inside |= ((at >= y0) & (at <= y1))[:, None] & (at >= x0) & (at <= x1)
    return inside
