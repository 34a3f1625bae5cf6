"""Predicts the hands in photos: python predict.py INPUT... --output=DIR [--checkpoint=WORKDIR] [--box=x0,y0,x1,y1].

python predict.py --webcam=0 [--output=DIR] shows those that a camera sees, until q in its window or Ctrl-C.

Inputs are images, folders of images, and videos. For each image it writes DIR/NAME.json (see
occrobnet_jax/inference/results.py) and DIR/NAME.jpg, the overlay; for each video DIR/NAME.json
(occrobnet_jax/inference/video.py) and DIR/NAME.mp4; and DIR/index.html with all of them. --smooth filters the hands of
videos. What a camera shows is recorded as a video is.
"""

from occrobnet_jax import usage  # isort: split

usage.answer_help(__name__)  # before all that takes seconds to load

import collections
import dataclasses
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import Any

import numpy as np
from absl import flags
from jaxtyping import UInt8

from occrobnet_jax import command_line
from occrobnet_jax.drawing.overlay import encode_jpeg
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, absolute, in_bucket, path_of
from occrobnet_jax.files.readers import BLACK_BELOW, read_bytes
from occrobnet_jax.files.video import Frame, Video, open_video, video_writer
from occrobnet_jax.inference.inputs import (
    VIDEOS,
    Box,
    check_focal_px,
    find_images,
    output_names,
    parse_box,
    printable,
    read_boxes,
)
from occrobnet_jax.inference.network import IN_THE_BOX
from occrobnet_jax.inference.one_euro import OneEuro
from occrobnet_jax.inference.predictor import Photo, Predictor, load_predictor
from occrobnet_jax.inference.results import failed_entry, overlay, page_entry, page_html, prediction_json
from occrobnet_jax.inference.video import Jitter, frame_json, hands_of_video, overlaid, video_json
from occrobnet_jax.inference.webcam import watched_camera
from occrobnet_jax.parallel import platforms
from occrobnet_jax.progress import progress
from occrobnet_jax.runs.compilation_cache import use_compilation_cache
from occrobnet_jax.runs.config import MANO_FOLDER
from occrobnet_jax.runs.experiment import Experiment

PAGE = "index.html"
OVERLAY_QUALITY = 95
AT_ONCE = 2  # photos: the network looks at one while another is decoded, or its overlay encoded


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a user asks for."""

    box: Box | None = None  # in every photo
    boxes: AnyPath | None = None  # file with those of each
    focal_px: float | None = None
    gltf: bool = False
    one_euro: OneEuro | None = None  # for videos

    def __post_init__(self) -> None:
        check_focal_px(self.focal_px)
        if self.box is not None and self.boxes is not None:
            raise ValueError("give --box for all photos or --boxes for each, not both")


def predict(
    inputs: list[str],
    output: AnyPath,
    checkpoint: AnyPath,
    step: int | None = None,
    asked: Asked = Asked(),
    hand_model: str = MANO_FOLDER,
) -> list[str]:
    """Predict every input and write the results; return a sentence for each one that could not be predicted.

    Raises:
        ValueError: there is no such input or checkpoint.
        OSError: a result can't be written.
    """
    images = find_images(inputs)
    if any(absolute(image.parent) == absolute(output) for image in images):
        raise ValueError(f"--output={output} holds the photos themselves; choose another folder for the results")
    boxes = {} if asked.boxes is None else read_boxes(asked.boxes, images)
    prepare_output(output)
    predictor = load_predictor(checkpoint, step, hand_model)
    entries = predict_images(predictor, images, output, checkpoint, asked, boxes)
    write_atomically(output / PAGE, page_html(entries, printable(checkpoint), predictor.step))
    return [entry["error"] for entry in entries if entry["error"]]


def predict_images(
    predictor: Predictor,
    images: Sequence[AnyPath],
    output: AnyPath,
    checkpoint: AnyPath,
    asked: Asked = Asked(),
    boxes: Mapping[str, Sequence[Box]] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Predict photos and videos, write what belongs to each, and return what the page shows of them, in their order.

    Args:
        predictor: reads them.
        images: files.
        output: folder, which is there.
        checkpoint: of the predictor.
        asked: by the user.
        boxes: of the photos that have their own.

    Raises:
        OSError: a result can't be written.
    """

    def entry_of(named: tuple[AnyPath, str]) -> dict[str, Any]:
        image, stem = named[0], output / named[1]
        try:
            if image.suffix.lower() in VIDEOS:
                return predict_video(predictor, image, stem, checkpoint, asked)
            return predict_one(predictor, image, stem, checkpoint, boxes.get(image.name, [asked.box]), asked)
        except ValueError as error:
            return failed_entry(printable(image), str(error))

    named = list(zip(images, output_names(images), strict=True))
    entries = in_turn(entry_of, named, AT_ONCE)
    return list(progress(entries, "predicting", len(images), unit="image", is_shown=len(images) > 1))


def in_turn(function: Callable[[Any], Any], items: Iterable[Any], at_once: int) -> Iterator[Any]:
    """Yield what a function makes of each item, in their order; after the first, which compiles, some at once."""
    remaining = iter(items)
    yield from map(function, itertools.islice(remaining, 1))
    with ThreadPoolExecutor(at_once) as pool:
        begun = collections.deque(pool.submit(function, item) for item in itertools.islice(remaining, at_once + 1))
        try:
            while begun:
                yield begun.popleft().result()
                begun.extend(pool.submit(function, item) for item in itertools.islice(remaining, 1))
        finally:
            pool.shutdown(cancel_futures=True)


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
    predictor: Predictor,
    image: AnyPath,
    stem: AnyPath,
    checkpoint: AnyPath,
    boxes: Sequence[Box | None],
    asked: Asked,
) -> dict[str, Any]:
    """Predict one image, write its JSON, its overlay and its hands in 3D, and return what the page shows of it.

    Where a box is None all hands that are found are predicted.
    """
    shown = printable(image)
    photo = Photo.of(read_bytes(image), shown)
    refuse_blank(photo.pixels, shown)
    predictions = [said for box in boxes for said in predictor.predict_photo(photo, box, asked.focal_px)]
    picture = overlay(predictions, photo)
    content = prediction_json(predictions, photo, printable(checkpoint), predictor.step)
    results: dict[str, bytes | str] = {"json": content, "jpg": encode_jpeg(picture, OVERLAY_QUALITY)}
    if asked.gltf and predictions:
        from occrobnet_jax.inference.gltf import hands_glb  # trimesh takes a second to import

        results["glb"] = hands_glb(predictions)
    entry = page_entry(predictions, picture, shown)
    for ending, result in results.items():  # once there are all of them
        write_atomically(stem.with_name(f"{stem.name}.{ending}"), result)
    return entry


def predict_video(
    predictor: Predictor, path: AnyPath, stem: AnyPath, checkpoint: AnyPath, asked: Asked
) -> dict[str, Any]:
    """Predict a video's frames, write its JSON and its overlay, and return what the page shows of it.

    Raises:
        ValueError: it isn't a video, or is damaged.
    """
    with open_video(path) as video:
        return read_video(predictor, video, printable(path), stem, checkpoint, asked)


def read_video(
    predictor: Predictor,
    video: Video,
    name: str,
    stem: AnyPath,
    checkpoint: AnyPath,
    asked: Asked,
    show: Callable[[Frame], None] = lambda picture: None,
) -> dict[str, Any]:
    """Predict the frames of a video that is open; write and return what `predict_video` does.

    Args:
        predictor: reads each frame.
        video: of a file or a camera.
        name: for people.
        stem: of the results' files.
        checkpoint: of the predictor.
        asked: by the user.
        show: is given each overlay as soon as it is drawn.
    """
    frames, jitter, entry = [], Jitter(), None
    result = stem.with_name(f"{stem.name}.mp4")
    with video_writer(result, video.fps, video.width, video.height) as write:
        seen = hands_of_video(predictor, video, name, asked.focal_px, asked.one_euro)
        for frame in progress(seen, "reading", video.num_frames, unit="frame"):
            picture = overlaid(frame)
            write(frame.time_s, picture)
            show(picture)
            jitter.add(frame)
            frames.append(frame_json(frame))
            if entry is None or (frame.hands and not entry["crops"]):  # the first frame with a hand
                entry = page_entry(frame.predictions, picture, name)
    if asked.one_euro is not None and (trembling := jitter.before_and_after_px()) is not None:
        print(f"{name}: joints tremble by {trembling[0]:.2f} px before and {trembling[1]:.2f} px after smoothing")
    content = video_json(frames, video, name, asked.one_euro, printable(checkpoint), predictor.step)
    write_atomically(stem.with_name(f"{stem.name}.json"), content)
    assert entry is not None  # a video without frames is refused
    return entry


def predict_webcam(
    predictor: Predictor, number: int, output: AnyPath | None, checkpoint: AnyPath, asked: Asked
) -> None:
    """Show the hands that a camera sees until q or Ctrl-C, and record them where a folder is named.

    Raises:
        ValueError: there is no such camera; or neither a window can be opened nor a folder is named.
    """
    name = f"camera {number}"
    if output is not None:
        prepare_output(output)
    _compile(predictor)
    with watched_camera(number, name, is_recorded=output is not None) as (video, show):
        if output is None:
            for frame in hands_of_video(predictor, video, name, asked.focal_px, asked.one_euro):
                show(overlaid(frame))
            return
        entry = read_video(predictor, video, name, output / f"camera-{number}", checkpoint, asked, show)
    write_atomically(output / PAGE, page_html([entry], printable(checkpoint), predictor.step))


def _compile(predictor: Predictor) -> None:
    """Compile all that frames need, before time runs."""
    blank = Photo(np.zeros((64, 64, 3), np.uint8), "a blank picture")
    for box in (None, (0.0, 0.0, 63.0, 63.0)):
        predictor.predict_photo(blank, box)


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
    output = None if OUTPUT.value is None else path_of(OUTPUT.value)
    if WEBCAM.value is not None and inputs:
        raise ValueError(f"name either files or --webcam={WEBCAM.value}, not both")
    platforms.start_on(PLATFORM.value)
    use_compilation_cache(Experiment.compilation_cache_dir)  # never the checkpoint's: it holds programs that are run
    checkpoint = IN_THE_BOX if CHECKPOINT.value is None else path_of(CHECKPOINT.value)
    boxes = None if BOXES.value is None else path_of(BOXES.value)
    one_euro = OneEuro(MIN_CUTOFF_HZ.value, BETA.value) if SMOOTH.value else None
    asked = Asked(box, boxes, FOCAL_PX.value, GLTF.value, one_euro)
    if WEBCAM.value is not None:
        predictor = load_predictor(checkpoint, STEP.value, HAND_MODEL.value)
        predict_webcam(predictor, WEBCAM.value, output, checkpoint, asked)
        return
    if output is None:
        raise ValueError("--output is missing: name a folder for the results")
    errors = predict(inputs, output, checkpoint, STEP.value, asked, HAND_MODEL.value)
    print(output / PAGE)
    if errors:
        sys.exit("predict.py: " + "\n".join(errors))


if __name__ == "__main__":
    PLATFORM = command_line.define_platform_flag()
    OUTPUT = flags.DEFINE_string("output", None, "folder for the results; a camera needs none")
    WEBCAM = flags.DEFINE_integer("webcam", None, "number of a camera to look through instead of files", lower_bound=0)
    CHECKPOINT = flags.DEFINE_string(
        "checkpoint",
        None,
        "workdir of a run, folder of a checkpoint, or a network's file; by default the network in the box",
    )
    STEP = flags.DEFINE_integer("step", None, "take this step's checkpoint instead of the newest", lower_bound=0)
    HAND_MODEL = flags.DEFINE_string("hand_model", MANO_FOLDER, "folder of MANO's files, for networks of its angles")
    BOX = flags.DEFINE_string("box", None, "x0,y0,x1,y1 around the hands in px of every photo; found by default")
    BOXES = flags.DEFINE_string("boxes", None, 'JSON of boxes: {"photo.jpg": [[x0, y0, x1, y1], ...], ...}')
    GLTF = flags.DEFINE_bool("gltf", False, "write the hands of each photo in 3D too, as NAME.glb")
    FOCAL_PX = flags.DEFINE_float(
        "focal_px", None, "focal length in px of the photo; by default its EXIF data's, or a guess", lower_bound=1.0
    )
    SMOOTH = flags.DEFINE_bool("smooth", False, "smooth the hands of videos by a one-euro filter")
    MIN_CUTOFF_HZ = flags.DEFINE_float("min_cutoff_hz", OneEuro.min_cutoff_hz, "of --smooth: lower trembles less")
    BETA = flags.DEFINE_float("beta", OneEuro.beta, "of --smooth: higher lags less behind fast hands")
    command_line.run(main)
