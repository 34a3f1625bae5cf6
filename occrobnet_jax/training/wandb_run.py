"""A Weights & Biases run that can neither stop the training nor slow it."""

import dataclasses
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from absl import logging

from occrobnet_jax.choices import check_choices
from occrobnet_jax.files import write_atomically

ID_FILE = "wandb_id.txt"
INIT_TIMEOUT_S = 30


@dataclasses.dataclass(frozen=True)
class WandbConfig:
    """Fields of `config.wandb`."""

    mode: Literal["online", "offline", "disabled"] = "disabled"
    project: str = "occrobnet-jax"
    entity: str = ""  # user or team; "" is the account's own
    name: str = ""  # of the run; "" is the workdir's
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choices(self, "wandb")


class WandbRun:
    """The run of a workdir, the same one after every restart. The first failure is logged and ends the reporting."""

    def __init__(self, config: WandbConfig, workdir: Path, run_config: Mapping[str, Any]):
        """Starts the run, or the next part of it, with `run_config` shown beside its curves."""
        self._run: Any = None
        self._alive = config.mode != "disabled"
        self.id = run_id(workdir) if self._alive else ""
        self._attempt(lambda: self._start(config, workdir, run_config))

    def log(self, values: Mapping[str, Any]) -> None:
        """Sends numbers; "step" among them is their place on the axis."""
        self._attempt(lambda: self._run.log(dict(values)))

    def log_images(self, step: int, images: Mapping[str, list[np.ndarray]]) -> None:
        """Sends lists of RGB images."""
        self._attempt(lambda: self._log_images(step, images))

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Sends what the run has come to."""
        self._attempt(lambda: self._run.summary.update(dict(summary)))

    def finish(self, *, failed: bool = False) -> None:
        """Ends the run, which is shown as finished or as failed."""
        self._attempt(lambda: self._run.finish(exit_code=int(failed)))

    def _start(self, config: WandbConfig, workdir: Path, run_config: Mapping[str, Any]) -> None:
        import wandb  # here, because it takes a second that most runs can do without

        self._run = wandb.init(
            project=config.project,
            entity=config.entity or None,
            name=config.name or workdir.resolve().name,
            tags=list(config.tags),
            config=dict(run_config),
            mode=config.mode,
            id=self.id,
            resume="allow",
            dir=workdir,
            settings=wandb.Settings(init_timeout=INIT_TIMEOUT_S, console="off", silent=True),
        )
        # An axis of our own: a resumed run may write a step that the interrupted one had already sent.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def _log_images(self, step: int, images: Mapping[str, list[np.ndarray]]) -> None:
        from wandb import Image

        self._run.log({"step": step} | {name: [Image(image) for image in group] for name, group in images.items()})

    def _attempt(self, action: Callable[[], None]) -> None:
        if not self._alive:
            return
        try:
            action()
        except Exception as error:  # whatever it is, the training goes on
            self._alive = False
            logging.warning("Weights & Biases is off for the rest of this process: %s", error)


def run_id(workdir: Path) -> str:
    """The id of a workdir's run; drawn once."""
    path = workdir / ID_FILE
    if not path.exists():
        write_atomically(path, secrets.token_hex(4))
    return path.read_text().strip()
