"""Evaluates each new checkpoint of a run that another process, or another machine, trains meanwhile."""

import time
from collections.abc import Callable

from absl import logging

from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.parallel import watchdog
from occrobnet_jax.runs.checkpoint_folders import checkpoint_directory, checkpoint_steps
from occrobnet_jax.runs.checksums import find_damage
from occrobnet_jax.runs.summary import is_finished
from occrobnet_jax.runs.wandb_evaluation import REPORT

LOOK_S = 10.0


def watch(workdir: AnyPath, folder: AnyPath, evaluate: Callable[[int, AnyPath], None], look_s: float = LOOK_S) -> None:
    """Evaluate the checkpoints of a workdir, the oldest first, until its run has finished and none is left.

    What was evaluated before is not again. A checkpoint that is damaged, or that the run removes before it is read, is
    left out with a warning.

    Args:
        workdir: of the run; there need not be anything yet.
        folder: where each evaluation gets a folder, named by the step.
        evaluate: writes the evaluation of a step into a folder, its report last.
        look_s: so often it looks for a new checkpoint.

    Raises:
        Exception: what `evaluate` raised of a sound checkpoint.
    """
    left_out: set[int] = set()
    while True:
        finished = is_finished(workdir)  # asked first: the last checkpoint is there before the run has finished
        step = next((step for step in checkpoint_steps(workdir) if is_new(folder / str(step), step, left_out)), None)
        if step is not None:
            if not evaluated(workdir, step, folder / str(step), evaluate):
                left_out.add(step)
        elif finished:
            return
        else:
            watchdog.beat()
            time.sleep(look_s)


def is_new(folder: AnyPath, step: int, left_out: set[int]) -> bool:
    """Return whether a checkpoint has not been evaluated yet, nor left out."""
    return step not in left_out and not (folder / REPORT).is_file()


def evaluated(workdir: AnyPath, step: int, folder: AnyPath, evaluate: Callable[[int, AnyPath], None]) -> bool:
    """Evaluate a checkpoint; return False where that fails because it is not there any more, or damaged."""
    try:
        evaluate(step, folder)
    except Exception as error:  # orbax's are of many kinds where files go away under it
        directory = checkpoint_directory(workdir, step)
        if directory.is_dir() and not find_damage(directory):
            raise
        logging.warning("the checkpoint of step %d is left out: %s", step, error)
        return False
    return True
