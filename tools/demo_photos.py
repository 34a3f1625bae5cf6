"""Renders the photos that `make demo` reads first: python -m tools.demo_photos FOLDER.

Three test scenes of `synthetic_hands_v2`, drawn larger than the dataset is: an open hand, two hands, and a hand that
holds a stick. They were chosen among the first sixty as ones that the network in the box reads well enough to show.
"""

import argparse
from pathlib import Path

from input_pipeline.synthetic.photos import SyntheticPhotos

SCENES = {"open_hand": 6, "two_hands": 20, "hand_and_stick": 53}  # index in the split
SIZE_PX = 640


def main() -> None:
    """Render the photos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    source = SyntheticPhotos(image_size_px=SIZE_PX)
    for name, index in SCENES.items():
        (folder / f"{name}.jpg").write_bytes(source.example("test", index)["image"])


if __name__ == "__main__":
    main()
