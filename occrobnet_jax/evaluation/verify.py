"""Says whether a result card is true: python -m occrobnet_jax.evaluation.verify WORKDIR/eval/SPLIT.

Computes the metrics again from the stored predictions and compares them, and the hashes, with card.json and
metrics.json. The exit status is 0 only if all agree. Needs neither accelerator nor checkpoint.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from occrobnet_jax.evaluation.card import CARD, checked_parts, contradictions


def main(arguments: Sequence[str] | None = None) -> int:
    """Verifies the folder that the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m occrobnet_jax.evaluation.verify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with card.json, metrics.json, predictions.npz")
    folder = parser.parse_args(arguments).folder
    try:
        found = contradictions(folder)
        parts = checked_parts(folder)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if found:
        print(f"{folder / CARD} is not true:", *found, sep="\n  ", file=sys.stderr)
        return 1
    print(f"{folder / CARD} is true; checked: {', '.join(parts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
