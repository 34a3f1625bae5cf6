"""What occlusion costs a network: python -m occrobnet_jax.evaluation.occlusion WORKDIR/eval/SPLIT.

Prints errors by arm, paired differences, recovered fractions and the curve against hidden area out of metrics.json of a
split with matched arms (`synthetic_occlusion`). docs/evaluation.md says what each number means.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from occrobnet_jax.evaluation.card import METRICS
from occrobnet_jax.evaluation.commands import command_parser
from occrobnet_jax.evaluation.metrics.metrics import HIGH, LOW
from occrobnet_jax.evaluation.metrics.occlusion import HIDDEN, HIDDEN_AREAS, SEEN
from occrobnet_jax.files.paths import path_argument
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.skeleton import ARMS
from occrobnet_jax.user_errors import exit_status

PRIORS = ("mean_pose", "hand_prior")
Rows = Mapping[str, Sequence[str]]
"""Names of metrics, cell by cell, by what stands before them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables of the folder that the command line names; return the exit status."""
    return exit_status(_print, _parser().parse_args(arguments))


def tables(metrics: Mapping[str, Any]) -> list[str]:
    """Return the lines of all tables.

    Raises:
        ValueError: the metrics are of data without matched arms.
    """
    if f"mpjpe_mm/arm_occluded{HIDDEN}" not in metrics:
        raise ValueError("these metrics are of data without matched arms; evaluate on synthetic_occlusion")
    return [line for title, columns, rows in _TABLES for line in _table(title, columns, rows, metrics)]


def _areas() -> Rows:
    """Return a row for each tenth of hidden area."""
    return {
        suffix.removeprefix("/hidden_area_").replace("_", " to ") + " %": [
            f"mpjpe_mm/arm_{name}{suffix}" for name in _CURVE
        ]
        for suffix in HIDDEN_AREAS
    }


_CURVE = ("occluded", "free", f"occluded{HIDDEN}", f"free{HIDDEN}")
_ARMS = {arm: f"arm_{arm}" for arm in ARMS[1:]} | {
    f"{arm} minus free": f"{arm}_minus_free" for arm in ARMS[1:] if arm != "free"
}
_TABLES: tuple[tuple[str, Sequence[str], Rows], ...] = (
    (
        "MPJPE in the arm, mm",
        ("hidden joints", "visible joints"),
        {arm: [f"mpjpe_mm/arm_{arm}{part}" for part in (HIDDEN, SEEN)] for arm in ARMS[1:]},
    ),
    (
        "minus free, paired, mm",
        ("hidden joints", "visible joints", "hidden minus visible"),
        {
            arm: [f"mpjpe_mm/{arm}_minus_free{part}" for part in (HIDDEN, SEEN, f"{HIDDEN}_minus_visible")]
            for arm in ("occluded", "shadowed", "aside")
        },
    ),
    (
        "PA-MPJPE and MRRPE, mm",
        ("PA, hidden joints", "PA, visible joints", "MRRPE"),
        {
            name: [*(f"pa_mpjpe_mm/{arm}{part}" for part in (HIDDEN, SEEN)), f"mrrpe_mm/{arm}"]
            for name, arm in _ARMS.items()
        },
    ),
    (
        "hidden joints beside a prior",
        ("recovered fraction", "error of the prior, mm"),
        {name: [f"recovered_fraction/{name}", f"mpjpe_mm/{name}/arm_occluded{HIDDEN}"] for name in PRIORS},
    ),
    ("hidden area of the hand", ("occluded", "free", "occluded, hidden joints", "free, hidden joints"), _areas()),
)


def _table(title: str, columns: Sequence[str], rows: Rows, metrics: Mapping[str, Any]) -> list[str]:
    """Return a heading, and a line of each row that has a number."""
    known = {name: cells for name, cells in rows.items() if any(cell in metrics for cell in cells)}
    lines = [(title, columns), *((name, [_figure(metrics, cell) for cell in cells]) for name, cells in known.items())]
    return [f"{first:30s}" + "".join(f"{cell:28s}" for cell in cells).rstrip() for first, cells in lines] + [""]


def _figure(metrics: Mapping[str, Any], name: str) -> str:
    if name not in metrics:
        return "-"
    ends = [f"{metrics[name + end]:.2f}" for end in (LOW, HIGH) if name + end in metrics]
    return f"{metrics[name]:.2f}" + (f" [{', '.join(ends)}]" if ends else "")


def _print(options: argparse.Namespace) -> None:
    print("\n".join(tables(read_json(options.folder / METRICS))))


def _parser() -> argparse.ArgumentParser:
    parser = command_parser("occlusion", __doc__)
    parser.add_argument("folder", type=path_argument, metavar="DIR", help="folder with metrics.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
