"""Where a run's numbers go: metrics.jsonl, which is the record, Weights & Biases, TensorBoard, and the screen."""

import json
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.journal import Journal
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.runs.experiment import WandbConfig
from occrobnet_jax.runs.history import METRICS_FILE, read_history
from occrobnet_jax.runs.wandb_run import WandbRun
from occrobnet_jax.training.tensorboard_run import TensorboardRun

ON_SCREEN = ("loss", "images_per_s", "data_wait_share", "mfu_share", "val/mpjpe_mm", "val/pa_mpjpe_mm")


class MetricWriter:
    """Records named numbers by step, on the lead host; on the others it does nothing."""

    def __init__(
        self,
        workdir: AnyPath,
        wandb: WandbConfig,
        run_config: Mapping[str, Any],
        *,
        step: int,
        last_step: int,
        is_lead: bool,
        tensorboard: bool = False,
    ):
        """Goes on after `step`, which is 0 in a new run; `run_config` is shown beside Weights & Biases' curves."""
        self._is_lead = is_lead
        self._tensorboard = TensorboardRun(workdir, step) if is_lead and tensorboard else None
        if not is_lead:
            return
        self._last = keep_lines_until(workdir / METRICS_FILE, step)
        self._journal = Journal(workdir / METRICS_FILE)
        self._wandb = WandbRun(wandb, workdir, run_config)
        self._last_step = last_step
        self._first_line: tuple[int, float] | None = None  # its step and time: before it are starts of all kinds
        self._bar = tqdm(desc="steps", initial=step, total=last_step, disable=None)  # None: off unless on a terminal

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record `metrics` as they stand after `step` steps; a step has one line, whatever comes to it later.

        Raises:
            OSError: the record can't be written: the disk is full.
        """
        if not self._is_lead:
            return
        values = {name: float(value) for name, value in metrics.items()}
        in_json = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._record({"step": step} | in_json)
        self._wandb.log({"step": step} | values)
        if self._tensorboard:
            self._tensorboard.log(step, values)
        self._show(step, {name: values[name] for name in ON_SCREEN if name in values})

    @property
    def wandb_id(self) -> str:
        """The id of the run in Weights & Biases, as it is known by now; "" where there is none."""
        return self._wandb.id if self._is_lead else ""

    @property
    def shows_images(self) -> bool:
        """Whether pictures have anywhere to go."""
        return bool(self.wandb_id or self._tensorboard)

    def flush(self) -> None:
        """Return when everything recorded so far is in the workdir; call it before a checkpoint counts on that.

        Raises:
            OSError: it can't be written.
        """
        if self._is_lead:
            self._journal.flush()

    def write_images(self, step: int, images: Mapping[str, list[np.ndarray]]) -> None:
        """Show lists of RGB images in Weights & Biases and TensorBoard."""
        if self._is_lead:
            self._wandb.log_images(step, images)
        if self._tensorboard:
            self._tensorboard.log_images(step, images)

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Show in Weights & Biases what the run has come to."""
        if self._is_lead:
            self._wandb.summarize(summary)

    def end_unfinished(self, status: int, *, preempted: bool) -> None:
        """Say in Weights & Biases that the run ends before its last step; see `WandbRun.end_unfinished`."""
        if self._is_lead:
            self._wandb.end_unfinished(status, preempted=preempted)

    def __enter__(self) -> "MetricWriter":
        """Return the writer; there is nothing more to open."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the record, whatever ended the run."""
        if self._is_lead:
            self._bar.close()
            try:
                self._journal.close()  # which tries once more to write what a full disk had no room for
            finally:
                self._wandb.finish(failed=error[0] is not None)
                if self._tensorboard:
                    self._tensorboard.finish()

    def _record(self, line: dict[str, Any]) -> None:
        is_more = self._last.get("step") == line["step"]
        try:
            self._last = self._last | line if is_more else line
            (self._journal.replace_last if is_more else self._journal.add)(json.dumps(self._last))
        except OSError as error:
            reason = error.strerror or error
            raise OSError(
                f"step {line['step']} can't be recorded in {self._journal.path} ({reason}): make room, then start again"
            ) from error

    def _show(self, step: int, values: Mapping[str, float]) -> None:
        self._bar.update(step - self._bar.n)
        if "loss" in values:
            self._bar.set_postfix(loss=f"{values['loss']:.4g}")
        if self._bar.disable or "loss" not in values:  # no bar, or something that the bar has no place for
            shown = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            tqdm.write(f"step {step} of {self._last_step}{self._time_left(step)}: {shown}")

    def _time_left(self, step: int) -> str:
        """Return the time left at this process's speed since its first line, evaluations and checkpoints included."""
        now_s = time.monotonic()
        first_step, first_s = self._first_line = self._first_line or (step, now_s)
        done, left = step - first_step, self._last_step - step
        return f", {tqdm.format_interval((now_s - first_s) * left / done)} left" if done > 0 and left > 0 else ""


def keep_lines_until(path: AnyPath, step: int) -> dict[str, Any]:
    """Drop from a metrics file what was written beyond the checkpoint from which a run goes on; return the last line.

    Otherwise the steps that are taken again would count twice. What is no line of numbers goes too.
    """
    if not path.exists():
        return {}
    kept = [row for row in read_history(path) if row["step"] <= step]
    write_atomically(path, "".join(f"{json.dumps(row)}\n" for row in kept))
    return kept[-1] if kept else {}
