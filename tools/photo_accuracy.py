"""How well a network reads labelled photos without being told where the hands are.

    python -m tools.photo_accuracy photos/labels.json --sets=homes_val,letters_val [--checkpoint=WORKDIR or FILE]
        [--by_tone] [--without_hands=FOLDER] [--least_probability=P] [--least_sureness=S]
    python -m tools.photo_accuracy data --sets=interhand26m/test

The labels are those of `tools.photo_labels`: a list with `image` (a file in images/ beside the list), `hand`,
`joints_px` in OpenPose's order, and `set`; or a folder of prepared datasets, whose splits are the sets. A labelled hand
is found where the box of a predicted one, of which none is taken twice, overlaps its own by 0.3 (intersection over
union). Its error is the mean 2D distance as a share of the longer side of the box around its joints, its PCK@0.2 the
share of its joints within 0.2 of that side. A hand that isn't found has none of its joints right. Speed is that of the
processor's time from the encoded photo to the prediction, after the first photo; memory is the process's peak.

--by_tone divides hands by tone of skin, roughly: by the individual typology angle (Chardon et al. 1991, in the classes
of Del Bino et al. 2006) of the median color within the hull of the labelled joints. Light, white balance and what is
seen between the fingers move it.
"""

import collections
import dataclasses
import json
import resource
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from absl import flags
from jaxtyping import Bool, Float, UInt8
from scipy.optimize import linear_sum_assignment

from input_pipeline.config import DataConfig
from input_pipeline.schema import Example
from input_pipeline.splits import open_split
from occrobnet_jax import command_line
from occrobnet_jax.files.readers import decode_image, read_bytes
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.inference.confirm import FindingRule
from occrobnet_jax.inference.finder import overlap
from occrobnet_jax.inference.inputs import find_images
from occrobnet_jax.inference.predictor import Prediction, Predictor, load_predictor
from occrobnet_jax.progress import progress
from occrobnet_jax.runs.compilation_cache import use_compilation_cache
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.skeleton import HAND_NAMES, INTERHAND, OPENPOSE, permutation
from tools.photo_labels import MAX_LABELS_BYTES

FOUND_FROM = 0.3
PCK_SHARE = 0.2
TONES = {"very light": 55, "light": 41, "intermediate": 28, "tan": 10, "brown": -30, "dark": -90}
"""Name of each tone, and the angle above which it lies."""


class Label(NamedTuple):
    """A labelled hand."""

    hand: str
    joints_px: Float[np.ndarray, "21 2"]  # NaN where it isn't labelled

    @property
    def is_known(self) -> Bool[np.ndarray, "21"]:
        """Which joints are labelled."""
        return np.isfinite(self.joints_px).all(axis=1)

    @property
    def known_px(self) -> Float[np.ndarray, "k 2"]:
        """Those joints."""
        return self.joints_px[self.is_known]


class LabelledPhoto(NamedTuple):
    """A photo of which some hands are known."""

    group: str  # its set
    encoded: bytes
    hands: Sequence[Label]
    are_all_labelled: bool


class Outcome(NamedTuple):
    """What became of one labelled hand."""

    error: float  # mean 2D distance over the box's longer side; NaN where it wasn't found
    right_joints: float  # share within PCK_SHARE
    is_side_right: bool
    box_overlap: float  # intersection over union of both boxes


def outcomes(labels: Sequence[Label], predictions: Sequence[Prediction]) -> list[Outcome]:
    """Compare the labelled hands of a photo with the predicted ones, each with one, so that they overlap most."""
    hands = [(hand, prediction) for prediction in predictions for hand in _present(prediction)]
    shares = np.array([[_shared(label, *hand) for hand in hands] for label in labels]).reshape(len(labels), len(hands))
    said = [Outcome(np.nan, 0.0, False, 0.0)] * len(labels)
    for row, column in zip(*linear_sum_assignment(-shares), strict=True):
        if shares[row, column] >= FOUND_FROM:
            said[row] = _compared(labels[row], *hands[column])
    return said


def _shared(label: Label, hand: int, prediction: Prediction) -> float:
    return overlap(_box(label.known_px), _box(prediction.joints_px[hand][label.is_known]))


def _compared(label: Label, hand: int, prediction: Prediction) -> Outcome:
    x0, y0, x1, y1 = _box(label.known_px)
    away_px = np.linalg.norm(prediction.joints_px[hand][label.is_known] - label.known_px, axis=-1)
    away = away_px / max(x1 - x0, y1 - y0)
    is_side_right = HAND_NAMES[hand] == label.hand
    right_joints = float((away <= PCK_SHARE).mean())
    return Outcome(float(away.mean()), right_joints, is_side_right, _shared(label, hand, prediction))


def report(name: str, group: Sequence[Outcome]) -> str:
    """Return a line of the table."""
    error, right_joints, sides, box_overlap = (np.array(values) for values in zip(*group, strict=True))
    found = np.isfinite(error)
    median, shared = (np.median(values[found]) if found.any() else np.nan for values in (error, box_overlap))
    return (
        f"{name}: {len(error)} hands, found {found.mean():.3f}, box IoU {shared:.2f}, median error {median:.3f} of the "
        f"box, PCK@0.2 {right_joints.mean():.3f}, sides right {sides[found].mean():.3f}"
    )


def labelled_photos(labels: Path, sets: Sequence[str]) -> Iterator[LabelledPhoto]:
    """Yield the photos of some sets of a list of labels."""
    photos, shown = collections.defaultdict(list), {}
    for label in json.loads(read_bytes(labels, MAX_LABELS_BYTES)):
        if label["set"] in sets:
            joints_px = np.asarray(label["joints_px"], np.float64)[permutation(OPENPOSE, INTERHAND)]
            photos[label["set"], label["image"]].append(Label(label["hand"], joints_px))
            shown[label["image"]] = label.get("hands_in_photo")
    for (group, image), hands in sorted(photos.items()):
        yield LabelledPhoto(group, read_bytes(labels.parent / "images" / image), hands, shown[image] == len(hands))


def dataset_photos(data_dir: Path, splits: Sequence[str]) -> Iterator[LabelledPhoto]:
    """Yield the photos of some splits of prepared datasets."""
    for split in splits:
        examples = open_split(DataConfig(name=split.split("/")[0], data_dir=str(data_dir)), split)
        for index in range(len(examples)):
            example = examples[index]
            yield LabelledPhoto(split, example["image"], _labels_of(example), bool(example["hand_present_known"]))


def _labels_of(example: Example) -> list[Label]:
    in_3d, in_2d = (example[name][..., None] > 0 for name in ("joints_annotated", "joints_px_only"))
    joints_m = np.where(in_3d, example["joints_cam_m"], (0, 0, 1))
    joints_px = np.where(in_3d, project(joints_m, example["intrinsics"]), example["joints_px"])
    joints_px = np.where(in_3d | in_2d, joints_px, np.nan)
    return [Label(name, px) for name, px in zip(HAND_NAMES, joints_px, strict=True) if np.isfinite(px).any()]


def tone(photo: UInt8[np.ndarray, "h w 3"], label: Label) -> str:
    """Return which of `TONES` a hand has, by the median color within the hull of its joints."""
    inside = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.round(label.known_px).astype(np.int32)), 1)
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[inside > 0]
    lightness, _, yellow = np.median(lab, axis=0)
    angle = np.degrees(np.arctan2(lightness - 50, max(yellow, 1e-6)))
    return next(name for name, above in TONES.items() if angle >= above)


def accuracy(
    predictor: Predictor, photos: Sequence[LabelledPhoto], *, by_tone: bool
) -> tuple[Mapping[str, list[Outcome]], Mapping[str, list[int]], float]:
    """Return the outcomes of each set or tone; how many hands too many were found in each photo of a set all of whose
    hands are labelled; and how many photos a second of the processor's time were read.
    """
    by_group, too_many, seconds = collections.defaultdict(list), collections.defaultdict(list), []
    for photo in progress(photos, "photos", len(photos), unit="photo"):
        start_s = time.process_time()
        predictions = predictor(photo.encoded)
        seconds.append(time.process_time() - start_s)
        pixels = decode_image(photo.encoded, name="a photo") if by_tone else None
        said = outcomes(photo.hands, predictions)
        for label, one in zip(photo.hands, said, strict=True):
            by_group[photo.group if pixels is None else tone(pixels, label)].append(one)
        if photo.are_all_labelled:
            name = photo.group if photo.hands else f"{photo.group}, without a hand"
            num_right = sum(np.isfinite(one.error) for one in said)
            too_many[name].append(sum(len(_present(prediction)) for prediction in predictions) - num_right)
    return by_group, too_many, len(seconds[1:]) / sum(seconds[1:]) if seconds[1:] else np.nan


def main(arguments: list[str]) -> None:
    """Print what the flags ask for."""
    if len(arguments) != 1:
        raise ValueError("name one file of labels: python -m tools.photo_accuracy LABELS.json --sets=NAME,...")
    use_compilation_cache(Experiment.compilation_cache_dir)
    source, predictor = Path(arguments[0]), load_predictor(CHECKPOINT.value)
    photos = list((dataset_photos if source.is_dir() else labelled_photos)(source, SETS.value))
    rule = FindingRule(LEAST_PROBABILITY.value, LEAST_SURENESS.value)
    predictor = dataclasses.replace(predictor, rule=rule)
    by_group, too_many, speed = accuracy(predictor, photos, by_tone=BY_TONE.value)
    for name in sorted(by_group, key=list(TONES).index if BY_TONE.value else None):
        print(report(name, by_group[name]))
    for name, counts in sorted(too_many.items()):
        share = np.mean(np.array(counts) > 0)
        print(f"{name}: {len(counts)} photos whose hands are all labelled, with one too many {share:.3f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{len(photos)} photos, {speed:.1f} a second of processor time, {peak / 1e6:,.0f} MB at most")
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
    SETS = flags.DEFINE_list("sets", None, "sets of the labels, or DATASET/SPLIT, to look at", required=True)
    CHECKPOINT = flags.DEFINE_string("checkpoint", None, "a run or a network's file; by default the network in the box")
    BY_TONE = flags.DEFINE_bool("by_tone", False, "divide hands by tone of skin instead of set")
    LEAST_PROBABILITY = flags.DEFINE_float("least_probability", FindingRule.least_probability, "of the finder")
    LEAST_SURENESS = flags.DEFINE_float("least_sureness", FindingRule.least_sureness, "of the closer look")
    WITHOUT_HANDS = flags.DEFINE_string("without_hands", None, "folder of photos that show no hand")
    command_line.run(main)
