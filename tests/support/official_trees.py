"""Writes small official trees of all three datasets, with every oddity that their documentation and users know of.

    python -m tests.support.official_trees DIR [--times=10]

makes DIR/{interhand26m,interhand26m_v0.0,ho3d_v2,ho3d_v3,h2o3d}, which `python -m input_pipeline.prepare` converts as
it would the real ones, and DIR/{mano,object_models}, files of the formats that users have to bring: hands of tubes, and
boxes. Photos are dots on black. DIR/h2o3d_posed is an H2O-3D whose joints and fits are those of DIR/mano_posed, which
looks like a hand.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from occrobnet_jax.hands.mano_model import load_mano
from tests.official_ho3d import write_h2o3d, write_ho3d, write_object_models
from tests.official_interhand import write_interhand
from tests.support.mano_hand import write_mano_hands
from tests.tube_hand import write_tube_hands

FRAMES = 4  # of a sequence of HO-3D and H2O-3D

TREES: dict[str, Callable[[Path, int], Path]] = {
    "interhand26m": lambda raw, times: write_interhand(raw, times=times),
    "interhand26m_v0.0": lambda raw, times: write_interhand(raw, "v0.0", times=times),
    "ho3d_v2": lambda raw, times: write_ho3d(raw, "v2", FRAMES * times, with_ground_truth=True),
    "ho3d_v3": lambda raw, times: write_ho3d(raw, "v3", FRAMES * times),
    "h2o3d": lambda raw, times: write_h2o3d(raw, FRAMES * times),
    "mano": lambda raw, times: write_tube_hands(raw),
    "object_models": lambda raw, times: write_object_models(raw),
    "mano_posed": lambda raw, times: write_mano_hands(raw),
    "h2o3d_posed": lambda raw, times: write_h2o3d(raw, FRAMES * times, mano=load_mano(raw.parent / "mano_posed")),
}
"""From a folder, and how many times as many frames as usual, to what was written."""


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=1, help="as many frames")
    options = parser.parse_args()
    for name, write in TREES.items():
        print(write(options.folder / name, options.times), flush=True)


if __name__ == "__main__":
    main()
