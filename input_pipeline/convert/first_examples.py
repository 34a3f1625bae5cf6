"""A picture of a dataset's first examples with their labels: what no check can see shows there at a glance."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from tensorflow_datasets.core.read_only_builder import builder_from_directory

from input_pipeline.crop import CropGeometry, crop_geometry, crop_image
from input_pipeline.labels import OUTSIDE, label_fields
from input_pipeline.schema import Example
from input_pipeline.splits import Split
from occrobnet_jax.drawing.overlay import Canvas, Figure, draw_figure, draw_rectangle, encode_jpeg
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.geometry.cameras import transform_points
from occrobnet_jax.skeleton import HAND_NAMES, VISIBILITY

FILE = "first_examples.jpg"  # in the dataset's folder
COLUMNS, ROWS = 8, 3  # of each split
TILE_PX, MARGIN_PX = 224, 18
AROUND = 1.6  # times the box
SEEN = [VISIBILITY.index(name) for name in ("unknown", "visible")]


def write_first_examples(folder: Path) -> Path:
    """Draw the first examples of each split of a prepared dataset, `data_dir/NAME/VERSION`; return the picture's path.

    Raises:
        ValueError: the dataset can't be read.
        OSError: the picture can't be written.
    """
    name, data_dir = folder.parent.name, str(folder.parent.parent)
    pictures = [_sheet(Split(name, data_dir, split), split) for split in builder_from_directory(folder).info.splits]
    path = folder / FILE
    write_atomically(path, encode_jpeg(np.concatenate(pictures)))
    return path


def _sheet(examples: Split, split: str) -> Canvas:
    count = min(len(examples), COLUMNS * ROWS)
    tiles = [example_tile(examples[index]) for index in range(count)]
    tiles += [np.full_like(tiles[0], 255)] * (-count % COLUMNS)
    rows = [np.concatenate(tiles[i : i + COLUMNS], axis=1) for i in range(0, len(tiles), COLUMNS)]
    return np.concatenate([_line(f"{split}: {count} of {len(examples):,}", rows[0].shape[1]), *rows])


def example_tile(example: Example) -> Canvas:
    """Return what lies around an example's box, above it the hands that are said to be there, with all labels drawn."""
    box = _box(example)
    geometry = crop_geometry(box, TILE_PX, AROUND)
    tile = crop_image(picture_of(example), geometry)
    corners = transform_points(geometry.crop_from_image, box.reshape(2, 2))
    tile = draw_figure(draw_rectangle(tile, corners.reshape(4)), _labels(example, geometry))
    hands = [name for name, present in zip(HAND_NAMES, example["hand_present"], strict=True) if present]
    return np.concatenate([_line(" and ".join(hands) or "no hand", TILE_PX), tile])


def picture_of(example: Example) -> Canvas:
    """Return an example's picture, RGB.

    Raises:
        ValueError: it can't be decoded.
    """
    picture = cv2.imdecode(np.frombuffer(example["image"], np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"the image of example {example['key']} can't be decoded")
    return np.ascontiguousarray(picture[..., ::-1])


def _box(example: Example) -> np.ndarray:
    if example["box_known"]:
        return example["box_px"].astype(np.float64)
    return np.array([0.0, 0.0, float(example["width"]), float(example["height"])]) - 0.5


def _labels(example: Example, geometry: CropGeometry) -> Figure:
    fields = label_fields([example], [geometry])
    hidden = ~np.isin(fields["visibility"][0], [*SEEN, OUTSIDE])
    return Figure(fields["joints_px"][0], fields["joint_px_annotated"][0], hidden)


def _line(text: str, width_px: int) -> UInt8[np.ndarray, "margin w 3"]:
    line = np.full((MARGIN_PX, width_px, 3), 255, np.uint8)
    return cv2.putText(line, text, (3, MARGIN_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
