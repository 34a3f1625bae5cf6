"""Whether the colour that is taken for the object is the object's: checked against its projected box and the joints.

HO-3D v2, v3 and H2O-3D paint hands and object in other colours each, and none of them documents it. A mask of the hand
would teach and measure the object's map, tokens and classes on the hand, and nothing else would look wrong.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from input_pipeline.convert.ho3d.files import BRIGHT_ABOVE, FrameFiles
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import Example
from occrobnet_jax.geometry.cameras import project, transform_vectors

CHANNELS = ("red", "green", "blue")
FRAMES_CHECKED = 120  # of a split, spread over its list
LEAST_INSIDE_BOX = 0.8  # of the mask's pixels; a rendered object lies in its own box, a hand only where it holds it
MOST_JOINTS_COVERED = 0.6  # of the joints in the image; an object covers those that it hides
MARGIN_PX = 1.5  # of the segmentation: its pixels are a quarter of the photo's


@dataclasses.dataclass(frozen=True)
class MaskFit:
    """How one channel's mask lies in one frame, or in the mean of several; NaN where nothing says."""

    inside_box: float  # share of its pixels that lie in the object's projected box
    joints_covered: float  # share of the joints in the image that lie on it

    @property
    def is_object(self) -> bool:
        """Whether it lies on the object, and not on the hands."""
        return self.inside_box >= LEAST_INSIDE_BOX and not self.joints_covered > MOST_JOINTS_COVERED


def check_object_masks(name: str, frames: Iterable[tuple[UInt8[np.ndarray, "h w 3"], Example]], channel: int) -> None:
    """Compare segmentations with the annotations of their frames; means over all, so that single odd ones may be.

    Args:
        name: of the dataset, for the message.
        frames: segmentations as they are stored, each with its example (camera, joints and object).
        channel: of R, G, B, the one that is taken for the object.

    Raises:
        ValueError: the mask doesn't lie on the object; says how each colour lies, and which one fits.
    """
    fits = np.array([[dataclasses.astuple(fit) for fit in mask_fits(*frame)] for frame in frames]).reshape(-1, 3, 2)
    if not len(fits):
        return
    means = [MaskFit(*(_mean(values) for values in fits[:, each].T)) for each in range(len(CHANNELS))]
    if means[channel].is_object:
        return
    fitting = [color for color, fit in zip(CHANNELS, means, strict=True) if fit.is_object]
    raise ValueError(
        f"the segmentations are not those of {name}, whose object is {CHANNELS[channel]}: in the {len(fits)} frames "
        f"that were looked at, {_sentence(means)}; the object is {' or '.join(fitting) or 'in no colour'} here. "
        "Unpack the segmentations that belong to the photos, or move these away to convert without any"
    )


def painted_frames(
    count: int, files: Callable[[int], FrameFiles], labels: Callable[[int], Example]
) -> Iterator[tuple[np.ndarray, Example]]:
    """Return the segmentations and labels of some of a split's frames, where both can be had.

    Args:
        count: of the split's frames.
        files: of a frame.
        labels: of a frame, at least camera, joints and object.
    """
    for index in np.unique(np.linspace(0, count - 1, min(count, FRAMES_CHECKED)).astype(int)).tolist():
        try:
            colors = files(index).colors()
            if colors is not None:
                yield colors, labels(index)
        except UnusableExample:
            continue


def mask_fits(colors: UInt8[np.ndarray, "h w 3"], example: Example) -> tuple[MaskFit, ...]:
    """Return how the mask of each channel lies on one frame's object and joints."""
    height, width = colors.shape[:2]
    cells = np.array([width, height]) / [int(example["width"]), int(example["height"])]
    intrinsics = example["intrinsics"].astype(np.float64)
    corners_m = transform_vectors(example["object_rotation"], example["object_corners_rest_m"])
    corners_px = project((corners_m + example["object_translation_m"]).astype(np.float64), intrinsics)
    box = _filled_hull((corners_px + 0.5) * cells - 0.5, (height, width))
    seen = example["joints_in_image"] > 0
    joints_px = project(example["joints_cam_m"][seen].astype(np.float64), intrinsics)
    columns, rows = np.rint((joints_px + 0.5) * cells - 0.5).astype(int).clip(0, (width - 1, height - 1)).T
    bright = colors > BRIGHT_ABOVE
    return tuple(
        MaskFit(_share(box[bright[..., each]]), _share(bright[rows, columns, each])) for each in range(len(CHANNELS))
    )


def _filled_hull(points: Float[np.ndarray, "p 2"], shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels within the convex hull of points, and a margin around it."""
    hull = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(np.rint(points).astype(np.int32)), 1)
    size = 2 * round(MARGIN_PX) + 1
    return cv2.dilate(hull, np.ones((size, size), np.uint8)) > 0


def _share(flags: Bool[np.ndarray, " n"]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")


def _mean(values: Float[np.ndarray, " n"]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _sentence(means: list[MaskFit]) -> str:
    parts = [
        f"{fit.inside_box:.0%} of {color} lies in the object's box and {fit.joints_covered:.0%} of the joints on it"
        for color, fit in zip(CHANNELS, means, strict=True)
        if not np.isnan(fit.inside_box)
    ]
    return ", ".join(parts or ["no colour is bright anywhere"])
