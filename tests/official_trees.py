"""Writes small official trees of all three datasets, with every oddity that their documentation and users know of.

    python -m tests.official_trees DIR

makes DIR/{interhand26m,interhand26m_v0.0,ho3d_v2,ho3d_v3,h2o3d}, which `python -m input_pipeline.prepare` converts as
it would the real ones, and DIR/{mano,object_models}, files of the formats that users have to bring: hands of tubes, and
boxes. DIR/mano_posed holds files of the same format that look like hands, and DIR/h2o3d_posed an H2O-3D that they pose:
their fits are true. Photos are dots on black.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from input_pipeline.mano_model import load_mano
from tests.mano_hand import write_mano_hands
from tests.official_ho3d import write_h2o3d, write_ho3d, write_object_models
from tests.official_interhand import write_interhand
from tests.tube_hand import write_tube_hands

TREES: dict[str, Callable[[Path], Path]] = {
    "interhand26m": write_interhand,
    "interhand26m_v0.0": lambda raw: write_interhand(raw, "v0.0"),
    "ho3d_v2": lambda raw: write_ho3d(raw, "v2", with_ground_truth=True),
    "ho3d_v3": lambda raw: write_ho3d(raw, "v3"),
    "h2o3d": write_h2o3d,
    "mano_posed": write_mano_hands,
    "h2o3d_posed": lambda raw: write_h2o3d(raw, mano=load_mano(raw.parent / "mano_posed")),
    "mano": write_tube_hands,
    "object_models": write_object_models,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, write in TREES.items():
        print(write(folder / name))


if __name__ == "__main__":
    main()
