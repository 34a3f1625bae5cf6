"""Converts a dataset into TFDS shards: `python -m input_pipeline.prepare NAME [--raw DIR] --data_dir DIR`.

Resumable: run it again after an interruption. `synthetic_hands` is generated and needs no --raw.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from input_pipeline.interhand26m import InterHand26M
from input_pipeline.shards import write_dataset
from input_pipeline.sources import Source
from input_pipeline.synthetic.source import DEFAULT_COUNTS, DEFAULT_IMAGE_SIZE_PX, SyntheticHands


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line, writes the dataset, prints what is there. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        source = _source(options)
        folder = write_dataset(source, options.data_dir, options.num_processes)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{folder}: " + ", ".join(f"{split} {count}" for split, count in source.splits.items()))
    if isinstance(source, InterHand26M) and source.absent_splits:
        print(f"not in {options.raw}, and so left out: {', '.join(source.absent_splits)}")
    return 0


def _source(options: argparse.Namespace) -> Source:
    if options.dataset == "synthetic_hands":
        counts = {split: getattr(options, split) for split in DEFAULT_COUNTS}
        return SyntheticHands(counts, options.image_size_px, options.seed)
    return InterHand26M(options.raw)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m input_pipeline.prepare", description=__doc__)
    datasets = parser.add_subparsers(dest="dataset", required=True, metavar="NAME")
    synthetic = datasets.add_parser("synthetic_hands", help="the embedded dataset, generated here")
    for split, count in DEFAULT_COUNTS.items():
        synthetic.add_argument(f"--{split}", type=_positive, default=count, help=f"number of {split} examples")
    synthetic.add_argument("--image_size_px", type=_positive, default=DEFAULT_IMAGE_SIZE_PX)
    synthetic.add_argument("--seed", type=int, default=0)
    interhand = datasets.add_parser("interhand26m", help="InterHand2.6M v1.0 from its official tree")
    interhand.add_argument("--raw", type=Path, required=True, help="folder with annotations/ and images/")
    for dataset in (synthetic, interhand):
        dataset.add_argument("--data_dir", type=Path, required=True, help="where TFDS datasets live")
        dataset.add_argument("--num_processes", type=_positive, default=os.cpu_count() or 1)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
