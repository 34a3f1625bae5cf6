"""Draws a sheet of a run's predictions: `python -m tools.prediction_sheet WORKDIR OUTPUT.jpg [--split=val]`.

Examples at equal distances through the split, not chosen by how well they went. Each shows the keypoints that the
network found, the truth, and the prediction; the run must have been evaluated on the split.
"""

import argparse
import dataclasses

import cv2
import numpy as np

from input_pipeline.config import DataConfig
from occrobnet_jax.evaluation.formats.records_file import open_records
from occrobnet_jax.evaluation.metrics.mean_pose import equally_spaced
from occrobnet_jax.evaluation.pictures import overlays
from occrobnet_jax.files.paths import local_path_argument
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.runs.config import foreign_experiment
from occrobnet_jax.runs.summary import CONFIG_FILE

COLUMNS = 2
JPEG_QUALITY = 88


def main() -> None:
    """Draw the sheet and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workdir", type=local_path_argument)
    parser.add_argument("output", type=local_path_argument)
    parser.add_argument("--split", default="val")
    parser.add_argument("--data_dir", default=DataConfig.data_dir, help="folder that holds the dataset")
    parser.add_argument("--count", type=int, default=8)
    options = parser.parse_args()
    data = foreign_experiment(read_json(options.workdir / CONFIG_FILE)).data
    data = dataclasses.replace(data, data_dir=options.data_dir)
    predictions = open_records(options.workdir / "eval" / options.split / "predictions.npz")
    tiles = overlays(predictions.rows(equally_spaced(predictions.num_rows, options.count)), data, options.split)
    lines = [np.concatenate(tiles[i : i + COLUMNS], axis=1) for i in range(0, len(tiles) - COLUMNS + 1, COLUMNS)]
    sheet = cv2.cvtColor(np.concatenate(lines), cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(options.output), sheet, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
        raise ValueError(f"{options.output} can't be written")


if __name__ == "__main__":
    main()
