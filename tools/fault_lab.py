"""The fault laboratory: starts real training processes, breaks them, and says what became of the run.

    python -m tools.fault_lab kills --count=30 --folder=runs/fault_lab
    python -m tools.fault_lab all --machines

Experiments: topologies; kills; kills of runs that save to a "bucket" (needs moto and s3fs); a host that is "killed"
(the first of them: "lead"), "stopped" or "cut" off; a run that has "hung"; damage; sigterm, also while "evaluating";
evaluation; elastic; a Weights & Biases that "hangs", "rejects", is "away" or "leaves". Each prints a table and one
line; the exit status is 0 where all of them hold. With --machines each host has a network and a boot id of its own,
so that JAX takes it for a machine; that, and "cut" in any case, needs root and iproute2: without them "all" says so
and goes on. docs/multi_host.md has the numbers seen.
"""

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"  # before anything imports jax: faults are alike on every platform

from absl import logging

from tests.faults import buckets, damage, experiments, machines
from tests.faults.experiments import Finding, Lab
from tests.faults.processes import scratch
from tests.faults.wandb_servers import HOW

LAYOUTS = ((1, 8), (2, 4), (4, 2))
PAPER_LAYOUTS = ((1, 2), (2, 1))  # at full width each device has one picture and needs 3 GB
MACHINES = 4  # as many as an experiment has hosts
ALL = (
    "topologies",
    "kills",
    "bucket",
    "killed",
    "lead",
    "stopped",
    "cut",
    "hung",
    "damage",
    "sigterm",
    "evaluating",
    "evaluation",
    "elastic",
    *HOW,
)


def main(arguments: list[str]) -> int:
    """Run what was asked for; return the exit status."""
    parser = argparse.ArgumentParser(description="Breaks training runs, and says what became of them.")
    parser.add_argument("experiment", choices=(*ALL, "all"))
    parser.add_argument("--count", type=int, default=30, help="of kills")
    parser.add_argument("--first", type=int, default=0, help="number of the first kill, to go on after others")
    parser.add_argument("--flips", type=int, default=100)
    parser.add_argument("--truncations", type=int, default=20)
    parser.add_argument("--network", choices=experiments.NETWORKS, default="occrobnet", help="of topologies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept for the next time, with dataset and compilation cache")
    parser.add_argument("--machines", action="store_true", help="a network and a boot id for each host; needs root")
    options = parser.parse_args(arguments)
    folder = options.folder or scratch()
    logging.set_verbosity(logging.FATAL)  # damage is reported by the dozen
    names = list(ALL) if options.experiment == "all" else [options.experiment]
    if (options.machines or "cut" in names) and (reason := machines.why_not()):
        print(f"{'--machines' if options.machines else 'cut'} not run: {reason}", flush=True)
        names = [] if options.machines else [name for name in names if name != "cut"]
    return max([_show(name, lambda name=name: _find(name, folder, options)) for name in names], default=1)  # type: ignore[misc]


def _find(name: str, folder: Path, options: argparse.Namespace) -> Finding:
    apart = options.machines or name == "cut"
    with machines.Machines(MACHINES) if apart else contextlib.nullcontext() as places:
        return _find_in(Lab.prepare(folder, places), name, options)


def _find_in(lab: Lab, name: str, options: argparse.Namespace) -> Finding:
    match name:
        case "topologies":
            layouts = PAPER_LAYOUTS if options.network == "paper" else LAYOUTS
            return experiments.topologies(lab, layouts, options.network)
        case "kills":
            return experiments.kills(lab, range(options.first, options.first + options.count), seed=options.seed)
        case "bucket":
            return buckets.bucket(lab, options.count, seed=options.seed)
        case "hung":
            return experiments.hung(lab)
        case "damage":
            return damage.damage(lab, options.flips, options.truncations, options.seed)
        case "sigterm":
            return experiments.sigterm(lab)
        case "evaluating":
            return experiments.evaluating(lab)
        case "evaluation":
            return experiments.evaluation(lab)
        case "elastic":
            return experiments.elastic(lab)
        case "hangs" | "rejects" | "away" | "leaves":
            return experiments.reporting(lab, name)
    return experiments.lost_host(lab, name)


def _show(name: str, find: Callable[[], Finding]) -> int:
    began = time.monotonic()
    finding = find()
    word = "holds" if finding.holds else "FAILS"
    print(f"{name} {word}: {finding.verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return int(not finding.holds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
