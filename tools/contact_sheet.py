"""Draws a sheet of synthetic examples with their skeletons: `python -m tools.contact_sheet [OUTPUT]`.

Hidden joints are hollow. The default output is docs/DATASET.jpg.
"""

import argparse
from pathlib import Path

import numpy as np

from input_pipeline.convert.first_examples import picture_of
from input_pipeline.schema import Example
from input_pipeline.synthetic.photos import SyntheticPhotos
from input_pipeline.synthetic.source import SyntheticHands
from occrobnet_jax.drawing.overlay import Canvas, Figure, draw_figure, encode_jpeg
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import NUM_JOINTS, VISIBILITY

DOCS = Path(__file__).resolve().parent.parent / "docs"
SOURCES = {kind.name: kind for kind in (SyntheticHands, SyntheticPhotos)}
COLUMNS, ROWS, TILE_PX = 8, 4, 224


def main() -> None:
    """Draw the sheet and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", nargs="?", type=Path)
    parser.add_argument("--dataset", choices=SOURCES, default="synthetic_hands")
    parser.add_argument("--split", default="train")
    parser.add_argument("--first", type=int, default=0, help="index of the first example")
    parser.add_argument("--plain", action="store_true", help="without skeletons")
    options = parser.parse_args()
    source = SOURCES[options.dataset](image_size_px=TILE_PX)
    output = options.output or DOCS / f"{options.dataset}.jpg"
    rows = range(options.first, options.first + COLUMNS * ROWS)
    tiles = [tile(source.example(options.split, index), not options.plain) for index in rows]
    lines = [np.concatenate(tiles[i : i + COLUMNS], axis=1) for i in range(0, len(tiles), COLUMNS)]
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(encode_jpeg(np.concatenate(lines)))


def tile(example: Example, with_skeleton: bool = True) -> Canvas:
    """Return one example's picture with the skeletons of its hands."""
    rgb = picture_of(example)
    if not with_skeleton:
        return rgb
    joints_px = project(example["joints_cam_m"], example["intrinsics"])
    shown = np.repeat(example["hand_present"][:, None] > 0, NUM_JOINTS, axis=1)
    return draw_figure(rgb, Figure(joints_px, shown, example["visibility"] != VISIBILITY.index("visible")))


if __name__ == "__main__":
    main()
