"""A Weights & Biases run that can neither stop the training nor slow it.

Everything that wandb does happens in a thread of its own, which takes its orders from a queue: where the server
rejects, hangs or goes away, the training doesn't notice. metrics.jsonl is the record, this is its copy.
"""

import atexit
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import psutil
from absl import logging

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, absolute, here
from occrobnet_jax.runs.experiment import WandbConfig

ID_FILE = "wandb_id.txt"
INIT_TIMEOUT_S = 30
FINISH_TIMEOUT_S = 60.0  # for what is still to be sent at the end of a run
EXIT_TIMEOUT_S = 20.0  # for wandb's own process, once this one has nothing else to do
SERVICE = "wandb-core"
MOST_WAITING = 1000  # orders; what comes while so many wait is left out
SWEEP_VARIABLE, RUN_VARIABLE = "WANDB_SWEEP_ID", "WANDB_RUN_ID"  # which a sweep's agent sets


class WandbRun:
    """The run of a workdir, the same one after every restart. The first failure is logged and ends the reporting.

    No method waits for wandb but `finish`, and that has a limit.
    """

    def __init__(self, config: WandbConfig, workdir: AnyPath, run_config: Mapping[str, Any], *, joins: bool = False):
        """Start the run, or the next part of it, with `run_config` shown beside its curves; see `open_run`."""
        self._run: Any = None
        self._exit_code = 0
        self._alive = config.mode != "disabled"
        self.id = run_id(workdir) if self._alive else ""
        self._orders: queue.Queue[Callable[[], None] | None] = queue.Queue(MOST_WAITING)
        self._worker = threading.Thread(target=self._work, name="wandb", daemon=True)  # its hanging doesn't keep us
        if self._alive:
            self._worker.start()
        self._order(lambda: self._start(config, workdir, run_config, joins))

    def log(self, values: Mapping[str, Any]) -> None:
        """Send numbers; "step" among them is their place on the axis."""
        row = dict(values)
        self._order(lambda: self._run.log(row))

    def log_images(self, step: int, images: Mapping[str, list[np.ndarray]]) -> None:
        """Send lists of RGB images."""
        self._order(lambda: self._log_images(step, images))

    def apply(self, action: Callable[[Any], None]) -> None:
        """Have something done with wandb's own run."""
        self._order(lambda: action(self._run))

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Send what the run has come to."""
        self._order(lambda: self._run.summary.update(dict(summary)))

    def end_unfinished(self, status: int, *, preempted: bool) -> None:
        """Say that the run ends before its last step, with what status; a sweep gives a preempted one out again."""
        self._exit_code = status
        if preempted:
            self._order(lambda: self._run.mark_preempting())

    def finish(self, *, failed: bool = False, limit_s: float | None = None) -> None:
        """End the run, which is shown as finished, as preempted or as failed; waits FINISH_TIMEOUT_S by default."""
        limit_s = FINISH_TIMEOUT_S if limit_s is None else limit_s
        exit_code = 1 if failed else self._exit_code
        self._order(lambda: self._run.finish(exit_code=exit_code))
        self._order(None)
        if self._worker.ident:
            self._worker.join(limit_s)
        if self._alive and self._worker.is_alive():
            self._give_up(f"it hasn't taken everything within {limit_s:g} s")
        if self._worker.ident:
            _limit_exit()

    def _start(self, config: WandbConfig, workdir: AnyPath, run_config: Mapping[str, Any], joins: bool) -> None:
        self._run = open_run(config, workdir, run_config, joins=joins)
        self.id = keep_id(workdir, self._run.id)

    def _log_images(self, step: int, images: Mapping[str, list[np.ndarray]]) -> None:
        from wandb import Image

        self._run.log({"step": step} | {name: [Image(image) for image in group] for name, group in images.items()})

    def _order(self, action: Callable[[], None] | None) -> None:
        """Leave work for the thread; None is its end."""
        if not self._alive:
            return
        try:
            self._orders.put_nowait(action)
        except queue.Full:
            self._give_up(f"{MOST_WAITING} records wait to be sent")

    def _work(self) -> None:
        while self._alive and (action := self._orders.get()) is not None:
            try:
                action()
            except Exception as error:  # whatever it is, the training goes on
                self._give_up(str(error) or type(error).__name__)

    def _give_up(self, reason: str) -> None:
        """Tell the first reason; both threads may have one."""
        was_alive, self._alive = self._alive, False
        if was_alive:
            logging.warning("Weights & Biases is off for the rest of this process: %s", reason)


def _limit_exit() -> None:
    """Kill wandb's process if it keeps the interpreter's exit waiting too long.

    The thread starts here, since Python 3.12 starts none during the exit.
    """
    exit_began = threading.Event()
    threading.Thread(target=_kill_service_after, args=(exit_began,), daemon=True).start()
    atexit.register(exit_began.set)  # runs before what wandb has registered


def _kill_service_after(exit_began: threading.Event) -> None:
    exit_began.wait()
    time.sleep(EXIT_TIMEOUT_S)
    for child in psutil.Process().children():
        if child.name() == SERVICE:
            child.kill()


def open_run(config: WandbConfig, workdir: AnyPath, run_config: Mapping[str, Any], *, joins: bool = False) -> Any:
    """Open the run of a workdir, or its next part; return wandb's object.

    Args:
        config: of the run; its mode is not "disabled".
        workdir: whose run it is, and where wandb keeps its files.
        run_config: shown beside the curves.
        joins: another process trains; this one adds to the run and decides neither its state nor its machine's curves.

    Raises:
        Exception: whatever wandb raises where it can't be opened.
    """
    import wandb  # here, because it takes a second that most runs can do without

    run = wandb.init(
        **_path(config, workdir),
        name=config.name or absolute(workdir).name,
        group=config.group or None,
        tags=list(config.tags),
        config=dict(run_config),
        mode=config.mode,
        resume=None if config.mode == "shared" else "allow",  # there the server puts all parts together
        dir=here(workdir),
        settings=wandb.Settings(
            init_timeout=INIT_TIMEOUT_S,
            console="off",
            silent=True,
            x_disable_stats=joins,
            **_shared(joins) if config.mode == "shared" else {},
        ),
    )
    # An axis of our own: a resumed run may write a step that the interrupted one had already sent.
    run.define_metric("step")
    run.define_metric("*", step_metric="step")
    return run


def _path(config: WandbConfig, workdir: AnyPath) -> dict[str, Any]:
    """Return where the run is; in a sweep its agent has said so, and wandb ignores, with a warning, what else is
    given.
    """
    if SWEEP_VARIABLE in os.environ:
        return {}
    return {"project": config.project, "entity": config.entity or None, "id": run_id(workdir)}


def _shared(joins: bool) -> dict[str, Any]:
    """Return the settings of one of the processes that write into one run at the same time."""
    label = "evaluation" if joins else "training"
    return {"x_label": label, "x_primary": not joins, "x_update_finish_state": not joins}


def workdir_of(workdir: AnyPath) -> AnyPath:
    """Return the folder of this run: `workdir`, or in a sweep, whose runs all get the same, one in it named by the id.

    A sweep's own ${envvar:WANDB_RUN_ID} can't say it: an agent puts in the id of the run before.
    """
    run = os.environ.get(RUN_VARIABLE)
    return workdir / run if run and SWEEP_VARIABLE in os.environ else workdir


def run_id(workdir: AnyPath) -> str:
    """Return the id of a workdir's run: the one that is kept, the one that a sweep has given it, or else a new one."""
    path = workdir / ID_FILE
    if path.exists():
        return path.read_text().strip()
    return keep_id(workdir, os.environ.get(RUN_VARIABLE) or secrets.token_hex(4))


def keep_id(workdir: AnyPath, run: str) -> str:
    """Keep the id of the run that W&B has really opened for the next start; return it."""
    path = workdir / ID_FILE
    if not path.exists() or path.read_text().strip() != run:
        write_atomically(path, run)
    return run
