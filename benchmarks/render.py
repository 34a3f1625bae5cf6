"""Synthetic examples at 256 x 256 on one core: pose, grasp, picture, visibility, encoding, record."""

import itertools

from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate, use_one_core
from input_pipeline.records import encode_record
from input_pipeline.synthetic.source import SyntheticHands

FLOOR_PER_S, EXAMPLES = 15, 32


def measure(name: str, runs: int) -> Measurement:
    """Seconds an example, beside a fifteenth of a second; every run draws other examples, all kinds in turn."""
    use_one_core()
    import cv2

    cv2.setNumThreads(1)
    source, indices = SyntheticHands(), itertools.count()

    def draw() -> None:
        for _ in range(EXAMPLES):
            encode_record(source.example("train", next(indices)))

    times = alternate({"ours": draw}, runs)
    times["15 a second"] = [EXAMPLES / FLOOR_PER_S] * runs
    return measurement(times, "s/example", EXAMPLES)
