"""Goodput: the share of a run's time, since it was first started, that went into steps which count.

Lost is everything else: starts, compilation, checkpoints, evaluations, the time that the run was down, and steps that a
restart had to take again.
"""

import datetime

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.runs.history import METRICS_FILE, read_history

STARTED_FILE = "started.txt"


def note_start(workdir: AnyPath) -> None:
    """Keep the time of a workdir's first start; later starts change nothing."""
    path = workdir / STARTED_FILE
    if not path.exists():
        write_atomically(path, datetime.datetime.now(datetime.UTC).isoformat() + "\n")


def goodput(workdir: AnyPath) -> dict[str, float]:
    """Return the seconds since a run's first start, those in steps that count, and the share of these."""
    started = datetime.datetime.fromisoformat((workdir / STARTED_FILE).read_text().strip())
    since_s = (datetime.datetime.now(datetime.UTC) - started).total_seconds()
    productive_s = productive_time_s(workdir / METRICS_FILE)
    return {"since_first_start_s": since_s, "productive_s": productive_s, "goodput_share": productive_s / since_s}


def productive_time_s(metrics: AnyPath) -> float:
    """Return the seconds of all steps in a run's record, in which steps taken again stand once.

    A line is of the steps since the one before it; its step time is the mean over those that had nothing to compile.
    """
    total_s, last_step = 0.0, 0
    for row in read_history(metrics):
        total_s += (row.get("step_time_s") or 0.0) * (row["step"] - last_step)
        last_step = row["step"]
    return total_s
