"""The fault laboratory: starts real training processes, breaks them, and says what became of the run.

    python -m tools.fault_lab kills --count=30 --folder=runs/fault_lab
    python -m tools.fault_lab all

Experiments: topologies; kills; a host that is "killed" (the first of them: "lead"), "stopped" or "cut" off; a run that
has "hung"; damage; sigterm, also while "evaluating"; elastic; a Weights & Biases that "hangs", "rejects", is "away" or
"leaves". Each prints a table and one line; the exit status is 0 where all of them hold. "cut" needs root and iproute2:
without them "all" says so and goes on. docs/multi_host.md has the numbers seen.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"  # before anything imports jax: faults are alike on every platform

from absl import logging

from tests.faults import damage, experiments, network
from tests.faults.experiments import Finding, Lab
from tests.faults.processes import scratch
from tests.faults.wandb_servers import HOW

LAYOUTS = ((1, 8), (2, 4), (4, 2))
ALL = (
    "topologies",
    "kills",
    "killed",
    "lead",
    "stopped",
    "cut",
    "hung",
    "damage",
    "sigterm",
    "evaluating",
    "elastic",
    *HOW,
)


def main(arguments: list[str]) -> int:
    """Runs what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(description="Breaks training runs, and says what became of them.")
    parser.add_argument("experiment", choices=(*ALL, "all"))
    parser.add_argument("--count", type=int, default=30, help="of kills")
    parser.add_argument("--first", type=int, default=0, help="number of the first kill, to go on after others")
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--truncations", type=int, default=20)
    parser.add_argument("--network", choices=("stand_in", "occrobnet"), default="occrobnet", help="of topologies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept for the next time, with dataset and compilation cache")
    options = parser.parse_args(arguments)
    lab = Lab.prepare(options.folder or scratch())
    logging.set_verbosity(logging.FATAL)  # damage is reported by the dozen
    names = list(ALL) if options.experiment == "all" else [options.experiment]
    if "cut" in names and (reason := network.why_not()):
        print(f"cut not run: {reason}", flush=True)
        names.remove("cut")
        if not names:
            return 1
    return max([_show(name, lambda name=name: _find(name, lab, options)) for name in names])  # type: ignore[misc]


def _find(name: str, lab: Lab, options: argparse.Namespace) -> Finding:
    match name:
        case "topologies":
            return experiments.topologies(lab, LAYOUTS, options.network)
        case "kills":
            return experiments.kills(lab, range(options.first, options.first + options.count), seed=options.seed)
        case "hung":
            return experiments.hung(lab)
        case "damage":
            return damage.damage(lab, options.flips, options.truncations, options.seed)
        case "sigterm":
            return experiments.sigterm(lab)
        case "evaluating":
            return experiments.evaluating(lab)
        case "elastic":
            return experiments.elastic(lab)
        case "hangs" | "rejects" | "away" | "leaves":
            return experiments.reporting(lab, name)
        case "cut":
            with network.Link() as link:
                return experiments.lost_host(lab, "cut", link)
    return experiments.lost_host(lab, name)


def _show(name: str, find: Callable[[], Finding]) -> int:
    began = time.monotonic()
    finding = find()
    word = "holds" if finding.holds else "FAILS"
    print(f"{name} {word}: {finding.verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return int(not finding.holds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
