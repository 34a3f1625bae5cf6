"""Controlled damage to the pictures of a split: one kind at one severity, on each example in its own way.

What is drawn depends on the kind and on the example's number alone: not on the severity, so that a stronger corruption
is the weaker one, more; nor on batches, hosts and workers.
"""

import dataclasses
import math
import typing
import zlib
from typing import NamedTuple

import numpy as np

from input_pipeline.augment import NONE, Augmentation
from input_pipeline.config import DataConfig
from input_pipeline.covers import Box, Cover, CoverKind
from input_pipeline.crop import CropGeometry
from input_pipeline.looks import TILE_PX, Look
from input_pipeline.schema import Example
from input_pipeline.transforms import Cut, evaluation_cut
from occrobnet_jax.geometry.cameras import project, transform_points

STREAM = 0x7E57  # of random numbers, that nothing else takes from
BLUR_AT_PX = 256  # side of the crop that a blur's width is given for


class Scale(NamedTuple):
    """What the severity of a kind is."""

    unit: str
    none: float  # changes nothing
    severities: tuple[float, ...]


SCALES = {
    **{kind: Scale("share of the hands' boxes", 0.0, (0.2, 0.4, 0.6, 0.8)) for kind in typing.get_args(CoverKind)},
    "box_shift": Scale("sides of the crop, in any direction", 0.0, (0.05, 0.1, 0.2, 0.3)),
    "box_scale": Scale("times the crop's side", 1.0, (0.7, 0.85, 1.25, 1.6)),
    "blur": Scale("sigma in px of a crop of 256 px", 0.0, (1.0, 2.0, 4.0, 8.0)),
    "noise": Scale("standard deviation, of 255", 0.0, (8.0, 16.0, 32.0, 64.0)),
    "jpeg": Scale("quality", 100.0, (5.0, 10.0, 20.0, 40.0)),
    "focal": Scale("times the true focal length, as the network is told", 1.0, (0.7, 0.85, 1.2, 1.5)),
    "light": Scale("exponent of each pixel", 1.0, (0.4, 0.65, 1.6, 2.5)),
}
"""The kinds of corruption."""


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A kind of `SCALES` and its severity."""

    kind: str
    severity: float

    @property
    def name(self) -> str:
        """Of its numbers, and of files."""
        return f"{self.kind}_{self.severity:g}"


ALL = tuple(Corruption(kind, severity) for kind, scale in SCALES.items() for severity in scale.severities)


def corrupted_cut(example: Example, data: DataConfig, heatmap_stride: int, corruption: Corruption, index: int) -> Cut:
    """Return example number `index` of a split as evaluation sees it, corrupted.

    Raises:
        ValueError: there is no usable box; names the example.
    """
    cut = evaluation_cut(example, data, heatmap_stride)
    if corruption.kind == "focal":
        return dataclasses.replace(cut, told_focal=corruption.severity)
    return evaluation_cut(example, data, heatmap_stride, augmentation=_drawn(cut, corruption, index))


def _drawn(cut: Cut, corruption: Corruption, index: int) -> Augmentation:
    """Return what is done to the crop."""
    kind, severity = corruption.kind, corruption.severity
    seed = (STREAM, zlib.crc32(kind.encode()), index)
    rng = np.random.default_rng(seed)
    match kind:
        case "bars" | "textures" | "objects":
            return _seen(Look(occluders=(Cover(kind, severity, _hand_boxes(cut.example, cut.geometry), seed),)))
        case "box_shift":
            angle_rad = rng.uniform(0, 2 * math.pi)
            return Augmentation(shift=(severity * math.cos(angle_rad), severity * math.sin(angle_rad)))
        case "box_scale":
            return Augmentation(scale=severity)
        case "blur":
            return _seen(Look(blur_px=severity * cut.geometry.size_px / BLUR_AT_PX))
        case "noise":
            x, y = rng.integers(TILE_PX, size=2).tolist()
            return _seen(Look(noise=severity, noise_at=(x, y)))
        case "jpeg":
            return _seen(Look(jpeg_quality=round(severity)))
        case "light":
            return _seen(Look(gamma=severity))
    raise ValueError(f"{kind!r} is no kind of corruption; there are {', '.join(SCALES)}")


def _seen(look: Look) -> Augmentation:
    return dataclasses.replace(NONE, look=look)


def _hand_boxes(example: Example, geometry: CropGeometry) -> tuple[Box, ...]:
    """Return the box around the labelled joints of each hand, px of the crop."""
    in_3d, in_2d = example["joints_annotated"] > 0, example["joints_px_only"] > 0
    projected = project(example["joints_cam_m"].astype(np.float64), example["intrinsics"].astype(np.float64))
    places = transform_points(geometry.crop_from_image, np.where(in_3d[..., None], projected, example["joints_px"]))
    hands = [hand[known] for hand, known in zip(places, in_3d | in_2d, strict=True) if known.any()]
    return tuple((*hand.min(0).tolist(), *hand.max(0).tolist()) for hand in hands)
