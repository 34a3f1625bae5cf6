"""Says whether a result card is true: python -m occrobnet_jax.evaluation.verify WORKDIR/eval/SPLIT.

Computes the metrics again from the stored predictions and compares them, and the hashes, with card.json and
metrics.json. The exit status is 0 only if all agree. Needs neither accelerator nor checkpoint.
"""

import argparse
import sys
from collections.abc import Sequence

from occrobnet_jax.evaluation.card import CARD, checked_parts, contradictions
from occrobnet_jax.evaluation.commands import command_parser
from occrobnet_jax.files.paths import path_argument
from occrobnet_jax.user_errors import exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the folder that the command line names; return the exit status."""
    return exit_status(_verify, _parser().parse_args(arguments))


def _verify(options: argparse.Namespace) -> int:
    folder = options.folder
    found, parts = contradictions(folder), checked_parts(folder)
    if found:
        print(f"{folder / CARD} is not true:", *found, sep="\n  ", file=sys.stderr)
        return 1
    print(f"{folder / CARD} is true; checked: {', '.join(parts)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("verify", __doc__)
    parser.add_argument(
        "folder", type=path_argument, metavar="DIR", help="folder with card.json, metrics.json, predictions.npz"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
