"""Writes the labels that other programs' predictions are scored against:

    python -m occrobnet_jax.evaluation.labels NAME --data_dir=DIR --split=test --output=labels.npz

NAME is a prepared dataset. The file is like predictions.npz, without predictions.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Sequence

from input_pipeline.config import DataConfig
from input_pipeline.pipeline import eval_batches, split_size
from occrobnet_jax.evaluation.commands import command_parser
from occrobnet_jax.evaluation.formats import records_file
from occrobnet_jax.evaluation.formats.records import FACTS, LABELS, Records, Setting
from occrobnet_jax.evaluation.metrics.switches import data_switches
from occrobnet_jax.files.paths import path_argument
from occrobnet_jax.progress import progress
from occrobnet_jax.user_errors import exit_status

BATCH = 64
STRIDE = 2  # of the segmentation, of which only the object's share is kept


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what the command line says; return the exit status."""
    return exit_status(_write, _parser().parse_args(arguments))


def read_labels(data: DataConfig, split: str) -> Iterator[Records]:
    """Yield labels and facts of every example of a split, in order, some at a time.

    Raises:
        ValueError: it can't be read.
    """
    batches = eval_batches(data, split, heatmap_stride=STRIDE, global_batch_size=BATCH)
    for fields in progress(batches, "labels", math.ceil(split_size(data, split) / BATCH)):
        yield {name: fields[name][fields["is_real"]] for name in (*LABELS, *FACTS)}


def _write(options: argparse.Namespace) -> None:
    data = DataConfig(
        name=options.dataset,
        data_dir=str(options.data_dir),
        input_size_px=options.input_size_px,
        box_source=options.box_source,
        box_pad_px=options.box_pad_px,
        black_frames="keep",
    )
    setting = Setting(data.input_size_px, None, data_switches(data, options.split))
    records_file.save(options.output, read_labels(data, options.split), setting)
    print(options.output)


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("labels", __doc__)
    parser.add_argument("dataset", metavar="NAME", help="of a prepared dataset")
    parser.add_argument("--data_dir", type=path_argument, required=True, help="where TFDS datasets live")
    parser.add_argument("--split", required=True)
    parser.add_argument("--output", type=path_argument, required=True)
    parser.add_argument("--box_source", choices=("stored", "joints", "rootnet"), default="stored", help="of the crops")
    parser.add_argument("--box_pad_px", type=float, default=0.0, help="added to each side of the box; KypT: 10")
    parser.add_argument("--input_size_px", type=int, default=256, help="side of the crops")
    return parser


if __name__ == "__main__":
    sys.exit(main())
