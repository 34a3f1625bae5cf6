"""Draws a sheet of synthetic examples with their skeletons: `python -m tools.contact_sheet [OUTPUT]`.

Finger colours are those of `_COLORS`; hidden joints are hollow. The default output is docs/DATASET.jpg.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from input_pipeline.schema import Example
from input_pipeline.synthetic.photos import SyntheticPhotos
from input_pipeline.synthetic.source import SyntheticHands
from occrobnet_jax.geometry.cameras import project
from occrobnet_jax.skeleton import BONES, FINGERS, VISIBILITY, WRIST

DOCS = Path(__file__).resolve().parent.parent / "docs"
SOURCES = {kind.name: kind for kind in (SyntheticHands, SyntheticPhotos)}
COLUMNS, ROWS, TILE_PX = 8, 4, 224
JPEG_QUALITY = 88

_COLORS = {"thumb": (60, 60, 255), "index": (0, 200, 255), "middle": (80, 220, 60), "ring": (255, 180, 40)}
_COLORS |= {"pinky": (255, 80, 220), "wrist": (255, 255, 255)}
_FIXED_POINT_BITS = 4


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
    cv2.imwrite(str(output), np.concatenate(lines), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def tile(example: Example, with_skeleton: bool = True) -> np.ndarray:
    """Return one example's picture (BGR) with the skeletons of its hands."""
    picture = cv2.imdecode(np.frombuffer(example["image"], np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"the image of example {example['key']} can't be decoded")
    for hand in np.flatnonzero(example["hand_present"]) if with_skeleton else []:
        joints_px = project(example["joints_cam_m"][hand], example["intrinsics"])
        _draw_skeleton(picture, np.asarray(joints_px), example["visibility"][hand] == VISIBILITY.index("visible"))
    return picture


def _draw_skeleton(picture: np.ndarray, joints_px: np.ndarray, visible: np.ndarray) -> None:
    points = [tuple(point) for point in np.rint(joints_px * 2**_FIXED_POINT_BITS).astype(int).tolist()]
    colors = [_COLORS[finger] for finger in FINGERS for _ in range(4)] + [_COLORS["wrist"]]
    for start, end in BONES:
        cv2.line(picture, points[start], points[end], colors[end], 1, cv2.LINE_AA, _FIXED_POINT_BITS)
    radius = int(2.2 * 2**_FIXED_POINT_BITS)
    for joint in range(WRIST + 1):
        thickness = cv2.FILLED if visible[joint] else 1
        cv2.circle(picture, points[joint], radius, colors[joint], thickness, cv2.LINE_AA, _FIXED_POINT_BITS)


if __name__ == "__main__":
    main()
