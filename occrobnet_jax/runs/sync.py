"""Uploads runs again from what their workdirs hold: python -m occrobnet_jax.runs.sync WORKDIR...

Each goes to its own id in Weights & Biases: what is not there yet of metrics.jsonl, of summary.json and of the
evaluations. Done twice, it sends nothing twice. For runs that were offline, that the server left, or that were never
meant to go there. No process may train or evaluate in the workdir meanwhile, unless wandb.mode is "shared".
"""

import argparse
import dataclasses
import math
import sys
from collections.abc import Iterable
from typing import Any

from occrobnet_jax.files.paths import AnyPath, path_argument
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.history import METRICS_FILE, read_history
from occrobnet_jax.runs.summary import CONFIG_FILE, is_finished, kept_config, read_summary
from occrobnet_jax.runs.wandb_evaluation import kept_evaluations, log_artifacts
from occrobnet_jax.runs.wandb_run import open_run

Row = dict[str, Any]


def sync(workdir: AnyPath, **changes: Any) -> int:
    """Send what Weights & Biases lacks of a workdir's run; return how many lines had something new.

    Args:
        workdir: of the run.
        changes: fields of `config.wandb` to go by instead of the run's: entity, project.

    Raises:
        ValueError: there is no run in the workdir, or a file in it is damaged.
        Exception: whatever wandb raises where its server can't be reached.
    """
    config = kept_config(workdir)
    if not config:
        raise ValueError(f"there is no {CONFIG_FILE} in it: name the --workdir of a run")
    wandb = dataclasses.replace(experiment_from(config).wandb, mode="online", **changes)
    evaluations = kept_evaluations(workdir)
    rows = read_history(workdir / METRICS_FILE) + [evaluation.row for evaluation in evaluations]
    run = open_run(wandb, workdir, config)
    new = lacking(rows, history_of(run) if run.resumed else [])
    for row in new:
        run.log({name: math.nan if value is None else value for name, value in row.items()})
    run.summary.update(last_values(rows) | read_summary(workdir))
    for evaluation in evaluations:
        log_artifacts(run, workdir, evaluation, checkpoint=wandb.checkpoints)
    run.finish(exit_code=0 if is_finished(workdir) else 1)
    return len(new)


def history_of(run: Any) -> list[Row]:
    """Return every row that the server has of a run."""
    from wandb import Api

    return list(Api().run(run.path).scan_history(use_cache=False))


def lacking(rows: Iterable[Row], there: Iterable[Row]) -> list[Row]:
    """Return the rows with what isn't there yet of each: a name at a step is sent once."""
    known, new = {(row.get("step"), name) for row in there for name in row}, []
    for row in rows:
        step = row["step"]
        values = {name: value for name, value in row.items() if name != "step" and (step, name) not in known}
        known |= {(step, name) for name in values}
        if values:
            new.append({"step": step} | values)
    return new


def last_values(rows: Iterable[Row]) -> Row:
    """Return the value of each name at the last step that has one."""
    last: Row = {}
    for row in sorted(rows, key=lambda row: row["step"]):
        last |= {name: value for name, value in row.items() if value is not None}
    return last


def main(arguments: list[str]) -> int:
    """Sync the workdirs of a command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m occrobnet_jax.runs.sync", description=__doc__)
    parser.add_argument("workdirs", nargs="+", type=path_argument, metavar="WORKDIR")
    parser.add_argument("--project", help="instead of the run's config.wandb.project, as for a run of a sweep")
    parser.add_argument("--entity", help="instead of the run's config.wandb.entity")
    options = parser.parse_args(arguments)
    changes = {name: value for name in ("project", "entity") if (value := getattr(options, name))}
    failed = False
    for workdir in options.workdirs:
        try:
            print(f"{workdir}: {sync(workdir, **changes)} new lines in Weights & Biases", flush=True)
        except Exception as error:  # wandb's are of many kinds; the next workdir may be sound
            print(f"{workdir}: not synced: {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
