"""Synthetic examples at 256 x 256 on one core: pose, grasp, picture, visibility, encoding, record."""

import itertools

from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate, use_one_core
from input_pipeline.records import encode_record
from input_pipeline.synthetic.photos import SyntheticPhotos
from input_pipeline.synthetic.source import SyntheticHands

EXAMPLES = 36
SOURCES = {"render": (SyntheticHands(), 15), "render_v2": (SyntheticPhotos(), 20)}
"""Dataset, and how many of its examples are wanted in a second at least."""


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds an example, beside those at the least rate; every run draws other examples, all kinds in turn."""
    use_one_core()
    import cv2

    cv2.setNumThreads(1)
    (source, floor_per_s), indices = SOURCES[name], itertools.count()

    def draw() -> None:
        for _ in range(EXAMPLES):
            encode_record(source.example("train", next(indices)))

    times = alternate({"ours": draw}, runs)
    times["the least rate"] = [EXAMPLES / floor_per_s] * runs
    return measurement(times, "s/example", EXAMPLES)
