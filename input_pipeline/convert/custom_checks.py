"""What labels of one's own can't mean: hands of another size than hands, joints and boxes that miss the photo."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from input_pipeline.schema import Example
from occrobnet_jax.hands.size import check_hand_size
from occrobnet_jax.skeleton import HAND_NAMES, INTERHAND, LEFT, WRIST

SMALLEST_HAND_PX = 2.0  # long side of a hand's joints; below, nothing of a hand can be seen
FEWEST_JOINTS = 3  # of a hand, whose extent says something
FAR_FROM_OTHERS = 0.5  # of a hand's extent
LEAST_IN_BOX = 0.8  # of a photo's joints
LARGEST_SHARE_OUTSIDE = 0.5  # of a dataset's joints
CLEAR_BEND = 0.3  # sine of the angle between fingers and palm
FEWEST_CLEAR, MOST_MIRRORED = 10, 0.9  # hands that say something, and the share of them that may bend backwards
_FINGERS = ("index", "middle", "ring", "pinky")
_BASES, _TIPS = ([INTERHAND.index(f"{finger}{part}") for finger in _FINGERS] for part in (1, 4))
_INDEX_BASE, _PINKY_BASE = _BASES[0], _BASES[-1]


def check_labels(
    example: Example, px: Float[np.ndarray, "2 21 2"], known: Bool[np.ndarray, "2 21"], *, unit_m: float, place: str
) -> None:
    """Refuse the labels of one photo that can't be meant.

    Args:
        example: with joints, box and the photo's size.
        px: all joints in the photo.
        known: which of them are labelled.
        unit_m: metres per unit of the 3D joints.
        place: names the photo, for messages.

    Raises:
        ValueError: a hand has no hand's size in 3D or px, joints are zeros or shares of the photo, or all joints of
            the photo lie outside of it or of its box.
    """
    for hand, name in enumerate(HAND_NAMES):
        there = f"{place}, {name} hand"
        annotated = example["joints_annotated"][hand] > 0
        check_hand_size(example["joints_cam_m"][hand], annotated, name=f"{there}: joints_cam", unit_m=unit_m)
        _check_zeros(example["joints_px"][hand][example["joints_px_only"][hand] > 0], f"{there}: joints_px")
        _check_extent(px[hand][known[hand]], f"{there}")
    _check_place(example, px[known], place)


def _check_zeros(px: Float[np.ndarray, "j 2"], place: str) -> None:
    """Refuse two joints of a hand in the photo's corner, or one there that is far from the others."""
    is_zero = (px == 0).all(-1)
    zeros, others = int(is_zero.sum()), px[~is_zero]
    is_far = len(others) > 1 and np.linalg.norm(others, axis=-1).min() > FAR_FROM_OTHERS * np.ptp(others, axis=0).max()
    if zeros > 1 or (zeros and is_far):
        raise ValueError(f"{place} has {zeros} joints at exactly 0, 0; write null for joints that aren't labelled")


def _check_extent(px: Float[np.ndarray, "j 2"], place: str) -> None:
    if len(px) < FEWEST_JOINTS or np.ptp(px, axis=0).max() >= SMALLEST_HAND_PX:
        return
    as_shares = px.min() >= -1 and px.max() <= 2
    advice = "shares of the photo's size must be multiplied by its width and height" if as_shares else "check the unit"
    raise ValueError(f"{place}: all joints lie within {np.ptp(px, axis=0).max():.2g} px of each other; {advice}")


def _check_place(example: Example, px: Float[np.ndarray, "j 2"], place: str) -> None:
    """Refuse a photo, and a box, of which the joints are outside."""
    size, box = np.array([example["width"], example["height"]]), example["box_px"]
    photo = "the photo of {} x {} px".format(*size)
    inside = ((px >= -0.5) & (px < size - 0.5)).all(-1)
    if len(px) and not inside.any():
        raise ValueError(
            f"{place}: all {len(px)} joints lie outside of {photo}, the last at {px[-1].round(1).tolist()}; labels "
            "have to be those of this photo's size, turned as its EXIF data say"
        )
    if (box[2:] <= box[:2]).any():
        raise ValueError(f"{place}: the box {box.tolist()} must be x0, y0, x1, y1; {_as_corners(box)}")
    if (np.minimum(box[2:], size - 0.5) <= np.maximum(box[:2], -0.5)).any():
        raise ValueError(f"{place}: the box {box.tolist()} lies outside of {photo}")
    in_box = ((px >= box[:2] - 1) & (px <= box[2:] + 1)).all(-1)
    if in_box.sum() < LEAST_IN_BOX * inside.sum():
        raise ValueError(
            f"{place}: {len(px) - int(in_box.sum())} of {len(px)} joints lie outside of the box {box.tolist()}, which "
            f"is x0, y0, x1, y1 in px{f'; {_as_corners(box)}' if box[:2].any() else ''}"
        )


def _as_corners(box: Float[np.ndarray, "4"]) -> str:
    x, y, width, height = (round(float(value), 1) for value in box)
    return f"x, y, width and height would be {[x, y, x + width, y + height]}"


def check_together(examples: Sequence[Example]) -> list[str]:
    """Return what the user should know of labels that are looked at together.

    Raises:
        ValueError: most joints lie outside of their photos, or the hands' sides are those of a mirror.
    """
    known = sum(int((example["joints_annotated"] | example["joints_px_only"]).sum()) for example in examples)
    outside = known - sum(int(example["joints_in_image"].sum()) for example in examples)
    sentence = f"{outside:,} of the {known:,} joints in {len(examples):,} photos looked at lie outside of their photo"
    if outside > LARGEST_SHARE_OUTSIDE * known:
        raise ValueError(f"{sentence}: the labels are those of photos of another size, or made before their EXIF turn")
    _check_sides(examples)
    return [sentence] if outside else []


def _check_sides(examples: Iterable[Example]) -> None:
    """Refuse hands most of whose fingers bend away from the palm: there sides or one axis are swapped."""
    bends = [
        palm_bend(example["joints_cam_m"][hand].astype(np.float64), hand)
        for example in examples
        for hand in np.flatnonzero(example["joints_annotated"].all(-1)).tolist()
    ]
    clear = [bend for bend in bends if abs(bend) > CLEAR_BEND]
    mirrored = sum(bend < 0 for bend in clear)
    if len(clear) >= FEWEST_CLEAR and mirrored > MOST_MIRRORED * len(clear):
        raise ValueError(
            f"the fingers of {mirrored} of {len(clear)} hands with 3D joints bend to the back of the hand: right and "
            "left are swapped, or one axis is (x right, y down, z forward)"
        )


def palm_bend(joints_m: Float[np.ndarray, "21 3"], hand: int) -> float:
    """Return the mean sine by which four fingers bend to the palm of a hand of that side; negative to its back."""
    index, pinky = joints_m[_INDEX_BASE] - joints_m[WRIST], joints_m[_PINKY_BASE] - joints_m[WRIST]
    palm = np.cross(index, pinky) * (-1 if hand == LEFT else 1)
    fingers = joints_m[_TIPS] - joints_m[_BASES]
    lengths = np.linalg.norm(fingers, axis=-1) * np.linalg.norm(palm)
    return float((fingers @ palm / np.maximum(lengths, 1e-12)).mean())
