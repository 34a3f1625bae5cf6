"""A look at some frames of an official dataset before all are converted: whether hands and meshes can be meant."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from input_pipeline.convert.occlusion import Occlusion
from input_pipeline.convert.sources import UnusableExample
from input_pipeline.schema import Example
from occrobnet_jax.hands.size import LARGEST_SPAN_M, SMALLEST_SPAN_M, USUAL_SPAN_M, hand_span_m, unit_advice

FRAMES_CHECKED = 60  # of a split, spread over it


def check_frames(name: str, labels: Callable[[int], Example], count: int, occlusion: Occlusion | None) -> None:
    """Look at some frames of a split.

    Args:
        name: of the dataset and split, for messages.
        labels: from the number of a frame to its labels.
        count: of the frames.
        occlusion: the user's hands and meshes, if there are any.

    Raises:
        ValueError: the hands are no hands in metres, or see `Occlusion.check`.
    """
    examples = list(usable(labels, spread(count)))
    check_hands(name, examples)
    if occlusion:
        occlusion.check(name, examples)


def check_hands(name: str, examples: Iterable[Example]) -> None:
    """Refuse a dataset whose hands, in the median, are larger or smaller than any; single ones may be mislabelled.

    Raises:
        ValueError: they are; says in which unit they would be hands.
    """
    spans_m = [
        hand_span_m(joints_m, annotated > 0)
        for example in examples
        for joints_m, annotated in zip(example["joints_cam_m"], example["joints_annotated"], strict=True)
        if annotated.all()
    ]
    if spans_m and not SMALLEST_SPAN_M <= (median_m := float(np.median(spans_m))) <= LARGEST_SPAN_M:
        raise ValueError(
            f"the joints of a hand of {name} lie up to {median_m:.3g} m apart in the median of {len(spans_m)} hands, "
            f"where {SMALLEST_SPAN_M} to {LARGEST_SPAN_M} m are a hand's; {unit_advice(median_m, USUAL_SPAN_M)}"
        )


def spread(count: int) -> list[int]:
    """Return some of the numbers below `count`, evenly spread."""
    rows: list[int] = np.unique(np.linspace(0, count - 1, min(count, FRAMES_CHECKED)).astype(int)).tolist()
    return rows


def usable(labels: Callable[[int], Example], rows: Iterable[int]) -> Iterator[Example]:
    """Return the labels of those rows that have some."""
    for row in rows:
        with contextlib.suppress(UnusableExample):
            yield labels(row)
