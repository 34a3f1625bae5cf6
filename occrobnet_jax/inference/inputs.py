"""What a user asks to have predicted: which files, and which part of them."""

import math
from collections.abc import Sequence

from occrobnet_jax.files.paths import AnyPath, path_of

IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".gif")

Box = tuple[float, float, float, float]


def find_images(inputs: Sequence[str]) -> list[AnyPath]:
    """Return the named files, and the images in the named folders (not in folders inside them), sorted.

    Raises:
        ValueError: nothing is named, an input doesn't exist, is a video, or is a folder without images.
    """
    if not inputs:
        raise ValueError("name at least one image or folder: predict.py INPUT... --output=DIR --checkpoint=WORKDIR")
    return [path for name in inputs for path in _images_of(path_of(name))]


def parse_box(text: str) -> Box:
    """Return the hand box "x0,y0,x1,y1" in pixels of the photo.

    Raises:
        ValueError: it isn't four numbers with x0 < x1 and y0 < y1.
    """
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"--box={text} must be four numbers, x0,y0,x1,y1, in px of the photo") from error
    if not (math.isfinite(x0 + y0 + x1 + y1) and x0 < x1 and y0 < y1):
        raise ValueError(f"--box={text} must have x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


def output_names(images: Sequence[AnyPath]) -> list[str]:
    """Return a name for the results of each image: its own without the ending, numbered where it occurs again."""
    names: list[str] = []
    for path in images:
        stem = path.stem if path.stem.strip(".") else path.name  # "." and ".." would lead out of the output folder
        name, number = stem, 2
        while name in names:
            name, number = f"{stem}-{number}", number + 1
        names.append(name)
    return names


def _images_of(path: AnyPath) -> list[AnyPath]:
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in IMAGES and file.is_file())
        if not found:
            raise ValueError(f"the folder {path} holds no image ({', '.join(IMAGES)})")
        return found
    if path.suffix.lower() in VIDEOS:
        raise ValueError(f"{path} is a video, which predict.py can't read yet; save its frames as images first")
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    return [path]
