"""How well a network reads labelled photos without being told where the hands are.

    python -m tools.photo_accuracy photos/labels.json --sets=homes_val,letters_val [--checkpoint=WORKDIR or FILE]
        [--without_hands=FOLDER]

The labels are those of `tools.photo_labels`: a list with `image` (a file in images/ beside the list), `hand`,
`joints_px` in OpenPose's order, and `set`. A labelled hand is found where a predicted box overlaps its own by 0.3
(intersection over union). Its error is the mean 2D distance as a share of the longer side of the box around its joints,
its PCK@0.2 the share of its joints within 0.2 of that side. A hand that isn't found has none of its joints right.
"""

import collections
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from occrobnet_jax import command_line
from occrobnet_jax.files.readers import read_bytes
from occrobnet_jax.inference.finder import overlap
from occrobnet_jax.inference.inputs import find_images
from occrobnet_jax.inference.predictor import Prediction, Predictor, load_predictor
from occrobnet_jax.progress import progress
from occrobnet_jax.skeleton import HAND_NAMES, INTERHAND, OPENPOSE, permutation
from tools.photo_labels import MAX_LABELS_BYTES

FOUND_FROM = 0.3
PCK_SHARE = 0.2
ORDER = permutation(INTERHAND, OPENPOSE)


class Outcome(NamedTuple):
    """What became of one labelled hand."""

    error: float  # mean 2D distance over the box's longer side; NaN where it wasn't found
    right_joints: float  # share within PCK_SHARE
    is_side_right: bool


def outcome(label: Mapping[str, Any], predictions: Sequence[Prediction]) -> Outcome:
    """Compare a labelled hand with the predicted one that overlaps it most."""
    truth = np.asarray(label["joints_px"], np.float64)
    hands = [(hand, prediction) for prediction in predictions for hand in _present(prediction)]
    boxes = [_box(prediction.joints_px[hand]) for hand, prediction in hands]
    shares = [overlap(_box(truth), box) for box in boxes]
    if not shares or max(shares) < FOUND_FROM:
        return Outcome(np.nan, 0.0, False)
    hand, prediction = hands[int(np.argmax(shares))]
    x0, y0, x1, y1 = _box(truth)
    away = np.linalg.norm(prediction.joints_px[hand][ORDER] - truth, axis=-1) / max(x1 - x0, y1 - y0)
    return Outcome(float(away.mean()), float((away <= PCK_SHARE).mean()), HAND_NAMES[hand] == label["hand"])


def report(name: str, outcomes: Sequence[Outcome]) -> str:
    """Return a line of the table."""
    error, right_joints, sides = (np.array(values) for values in zip(*outcomes, strict=True))
    found = np.isfinite(error)
    median = np.median(error[found]) if found.any() else np.nan
    return (
        f"{name}: {len(error)} hands, found {found.mean():.3f}, median error {median:.3f} of the box, "
        f"PCK@0.2 {right_joints.mean():.3f}, sides right {sides[found].mean():.3f}"
    )


def labelled_outcomes(predictor: Predictor, labels: Path, sets: Sequence[str]) -> Iterator[tuple[str, Outcome]]:
    """Yield each labelled hand's set and outcome."""
    photos = collections.defaultdict(list)
    for label in json.loads(read_bytes(labels, MAX_LABELS_BYTES)):
        if label["set"] in sets:
            photos[label["image"]].append(label)
    for image, hands in progress(sorted(photos.items()), "photos", len(photos), unit="photo"):
        predictions = predictor(labels.parent / "images" / image)
        yield from ((label["set"], outcome(label, predictions)) for label in hands)


def main(arguments: list[str]) -> None:
    """Print what the flags ask for."""
    if len(arguments) != 1:
        raise ValueError("name one file of labels: python -m tools.photo_accuracy LABELS.json --sets=NAME,...")
    predictor = load_predictor(CHECKPOINT.value)
    by_set = collections.defaultdict(list)
    for name, one in labelled_outcomes(predictor, Path(arguments[0]), SETS.value):
        by_set[name].append(one)
    for name, outcomes in sorted(by_set.items()):
        print(report(name, outcomes))
    if WITHOUT_HANDS.value:
        images = find_images([WITHOUT_HANDS.value])
        alarms = sum(
            bool(predictor(image)) for image in progress(images, "photos without hands", len(images), unit="photo")
        )
        print(f"photos without hands: {len(images)}, with a hand found {alarms / len(images):.3f}")


def _present(prediction: Prediction) -> list[int]:
    return [hand for hand, probability in enumerate(prediction.hand_probability) if probability > 0]


def _box(joints_px: np.ndarray) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = joints_px.min(0), joints_px.max(0)
    return float(x0), float(y0), float(x1), float(y1)


if __name__ == "__main__":
    SETS = flags.DEFINE_list("sets", None, "sets of the labels to look at", required=True)
    CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a run or a network's file; by default the network in the box")
    WITHOUT_HANDS = flags.DEFINE_string("without_hands", None, "folder of photos that show no hand")
    command_line.run(main)
