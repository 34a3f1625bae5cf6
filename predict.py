"""Predicts the hands in photos: python predict.py INPUT... --output=DIR [--checkpoint=WORKDIR] [--box=x0,y0,x1,y1].

Inputs are images and folders of images. For each image it writes DIR/NAME.json (see occrobnet_jax/inference/results.py)
and DIR/NAME.png, the overlay; and DIR/index.html with all of them.
"""

from occrobnet_jax import usage  # isort: split

usage.answer_help(__name__)  # before all that takes seconds to load

import os
import sys
from typing import Any

import numpy as np
from absl import flags
from jaxtyping import UInt8

from occrobnet_jax import command_line
from occrobnet_jax.drawing.overlay import encode_png
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, absolute, in_bucket, path_of
from occrobnet_jax.files.readers import BLACK_BELOW, read_bytes
from occrobnet_jax.inference.inputs import Box, check_focal_px, find_images, output_names, parse_box, printable
from occrobnet_jax.inference.predictor import IN_THE_BOX, Photo, Predictor, load_predictor
from occrobnet_jax.inference.results import failed_entry, overlay, page_entry, page_html, prediction_json
from occrobnet_jax.parallel import platforms
from occrobnet_jax.progress import progress
from occrobnet_jax.runs.compilation_cache import use_compilation_cache
from occrobnet_jax.runs.config import MANO_FOLDER
from occrobnet_jax.runs.experiment import Experiment

PAGE = "index.html"


def predict(
    inputs: list[str],
    output: AnyPath,
    checkpoint: AnyPath,
    step: int | None,
    box: Box | None,
    focal_px: float | None,
    hand_model: str = MANO_FOLDER,
) -> list[str]:
    """Predict every input and write the results; return a sentence for each image that could not be predicted.

    Raises:
        ValueError: there is no such input or checkpoint.
        OSError: a result can't be written.
    """
    check_focal_px(focal_px)
    images = find_images(inputs)
    if any(absolute(image.parent) == absolute(output) for image in images):
        raise ValueError(f"--output={output} holds the photos themselves; choose another folder for the results")
    prepare_output(output)
    predictor = load_predictor(checkpoint, step, hand_model)
    entries: list[dict[str, Any]] = []
    shown = progress(images, "predicting", len(images), unit="image", is_shown=len(images) > 1)
    for image, name in zip(shown, output_names(images), strict=True):
        try:
            entries.append(predict_one(predictor, image, output / name, checkpoint, box, focal_px))
        except ValueError as error:
            entries.append(failed_entry(printable(image), str(error)))
    write_atomically(output / PAGE, page_html(entries, printable(checkpoint), predictor.step))
    return [entry["error"] for entry in entries if entry["error"]]


def prepare_output(output: AnyPath) -> None:
    """Make the folder for the results.

    Raises:
        ValueError: it can't be written.
    """
    try:
        if not in_bucket(output):
            output.mkdir(parents=True, exist_ok=True)
            if not os.access(output, os.W_OK | os.X_OK):
                raise PermissionError("permission denied")
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"--output={output} can't be written ({reason}); choose another folder") from error


def predict_one(
    predictor: Predictor, image: AnyPath, stem: AnyPath, checkpoint: AnyPath, box: Box | None, focal_px: float | None
) -> dict[str, Any]:
    """Predict one image, write its JSON and its overlay, and return what the page shows of it."""
    shown = printable(image)
    photo = Photo.of(read_bytes(image), shown)
    refuse_blank(photo.pixels, shown)
    predictions = predictor.predict_photo(photo, box, focal_px)
    picture = overlay(predictions, photo)
    content = prediction_json(predictions, photo, printable(checkpoint), predictor.step)
    write_atomically(stem.with_name(f"{stem.name}.json"), content)
    write_atomically(stem.with_name(f"{stem.name}.png"), encode_png(picture))
    return page_entry(predictions, picture, shown)


def refuse_blank(photo: UInt8[np.ndarray, "h w 3"], name: str) -> None:
    """Refuse a photo in which nothing is to be seen: a network finds hands there as well.

    Raises:
        ValueError: all its pixels are alike.
    """
    if np.ptp(photo) < BLACK_BELOW:
        raise ValueError(f"{name} shows nothing: the values of its pixels differ by {np.ptp(photo)} of 255")


def main(inputs: list[str]) -> None:
    """Predict what the command line says."""
    box = None if BOX.value is None else parse_box(BOX.value)
    output = path_of(OUTPUT.value)
    platforms.start_on(PLATFORM.value)
    use_compilation_cache(Experiment.compilation_cache_dir)  # never the checkpoint's: it holds programs that are run
    checkpoint = IN_THE_BOX if CHECKPOINT.value is None else path_of(CHECKPOINT.value)
    errors = predict(inputs, output, checkpoint, STEP.value, box, FOCAL_PX.value, HAND_MODEL.value)
    print(output / "index.html")
    if errors:
        sys.exit("predict.py: " + "\n".join(errors))


if __name__ == "__main__":
    PLATFORM = command_line.define_platform_flag()
    OUTPUT = flags.DEFINE_string("output", None, "folder for the results", required=True)
    CHECKPOINT = flags.DEFINE_string(
        "checkpoint",
        None,
        "workdir of a run, folder of a checkpoint, or a network's file; by default the network in the box",
    )
    STEP = flags.DEFINE_integer("step", None, "take this step's checkpoint instead of the newest", lower_bound=0)
    HAND_MODEL = flags.DEFINE_string("hand_model", MANO_FOLDER, "folder of MANO's files, for networks of its angles")
    BOX = flags.DEFINE_string("box", None, "x0,y0,x1,y1 around the hands in px of every photo; found by default")
    FOCAL_PX = flags.DEFINE_float(
        "focal_px", None, "focal length in px of the photo; a guess by default", lower_bound=1.0
    )
    command_line.run(main)
