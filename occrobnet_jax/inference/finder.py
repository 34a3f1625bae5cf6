"""From the finder's cells to hands in a photo, and from hands to the crops that are looked at. NumPy only."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from input_pipeline.crop import CropGeometry, crop_geometry, crop_image
from occrobnet_jax.geometry.cameras import invert_affine, transform_points
from occrobnet_jax.inference.inputs import Box
from occrobnet_jax.types import HandCells

SIZE_PX = 256  # of the square that a whole photo becomes for the finder
SAME_HAND = 0.35  # overlap of two boxes of one side, as a share of their union, from which they are one hand's
ONE_HAND = 0.65  # and of a right and a left box: a hand can't be both
TOGETHER = 0.1  # overlap of a right and a left hand, as a share of the smaller one, from which they share a crop
MOST_HANDS = 20


@dataclasses.dataclass(frozen=True)
class FoundHand:
    """A hand that the finder sees."""

    hand: int  # 0 right, 1 left
    probability: float
    box_px: Box  # a square around its joints, px of the photo


def finder_view(photo: UInt8[np.ndarray, "h w 3"]) -> tuple[UInt8[np.ndarray, "size size 3"], CropGeometry]:
    """Return the whole photo as the finder sees it, and where its pixels come to lie."""
    height, width = photo.shape[:2]
    geometry = crop_geometry(np.array([-0.5, -0.5, width - 0.5, height - 0.5]), SIZE_PX, 1.0)
    return crop_image(photo, geometry), geometry


def found_hands(cells: HandCells, geometry: CropGeometry, least_probability: float) -> list[FoundHand]:
    """Return the hands of a photo, the surest first; of cells that mean the same hand the surest speaks.

    Args:
        cells: of one photo, in a batch of one.
        geometry: from the photo to what the finder saw.
        least_probability: of a cell that speaks of a hand.
    """
    probability = 1 / (1 + np.exp(-np.asarray(cells.logits[0], np.float64)))
    center_px = transform_points(invert_affine(geometry.crop_from_image), np.asarray(cells.center_px[0], np.float64))
    side_px = np.exp(np.asarray(cells.log_side[0], np.float64)) / geometry.scale
    order = np.argsort(-probability, axis=None)
    kept: list[FoundHand] = []
    for row, column, hand in zip(*np.unravel_index(order, probability.shape), strict=True):
        if probability[row, column, hand] < least_probability or len(kept) == MOST_HANDS:
            break
        (x, y), half = center_px[row, column, hand], side_px[row, column, hand] / 2
        box = (float(x - half), float(y - half), float(x + half), float(y + half))
        new = FoundHand(int(hand), float(probability[row, column, hand]), box)
        if not any(_is_the_same(new, other) for other in kept):
            kept.append(new)
    return kept


def groups(hands: Sequence[FoundHand]) -> list[tuple[FoundHand, ...]]:
    """Return which hands share a crop: a right and a left one that overlap, those that overlap most first."""
    pairs = [
        (overlap, i, j)
        for (i, one), (j, other) in itertools.combinations(enumerate(hands), 2)
        if one.hand != other.hand and (overlap := _shared(one.box_px, other.box_px)) > TOGETHER
    ]
    partner: dict[int, int] = {}
    for _, i, j in sorted(pairs, reverse=True):
        if i not in partner and j not in partner:
            partner[i], partner[j] = j, i
    return [
        (hand, hands[partner[i]]) if i in partner else (hand,)
        for i, hand in enumerate(hands)
        if partner.get(i, len(hands)) > i
    ]


def common_box(hands: Sequence[FoundHand]) -> Box:
    """Return the box around the hands of a group."""
    boxes: Float[np.ndarray, "n 4"] = np.array([hand.box_px for hand in hands])
    (x0, y0), (x1, y1) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return float(x0), float(y0), float(x1), float(y1)


def _is_the_same(one: FoundHand, other: FoundHand) -> bool:
    return overlap(one.box_px, other.box_px) > (SAME_HAND if one.hand == other.hand else ONE_HAND)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection of two boxes over their union."""
    both = _intersection(one, other)
    return both / (_area(one) + _area(other) - both)


def _shared(one: Box, other: Box) -> float:
    """Return intersection over the smaller box."""
    return _intersection(one, other) / min(_area(one), _area(other))


def _intersection(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
