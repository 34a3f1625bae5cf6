"""Checkpoints: written whole or not at all, and sealed with checksums; `restore` checks them before it believes them.

A checkpoint is a folder `WORKDIR/checkpoints/STEP` of three items: the variables (weights, batch statistics, averaged
weights), which is all that a prediction needs, the optimiser's state, and the metadata. Beside them lie the metrics of
its evaluation, which come later: a state is saved before it is evaluated. Only this file and `restore` import orbax.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.files.shown import shown
from occrobnet_jax.parallel import hosts
from occrobnet_jax.runs.checkpoint_folders import FOLDER, checkpoint_directory, checkpoint_steps
from occrobnet_jax.runs.checksums import find_damage, write_checksums
from occrobnet_jax.runs.retention import Retention
from occrobnet_jax.runs.state import TrainState

VARIABLES, OPTIMIZER, META = "variables", "optimiser", "meta"
EVALUATION = "evaluation.json"
MAX_META_BYTES = 2**24


@dataclasses.dataclass(frozen=True)
class CheckpointMeta:
    """What a checkpoint knows about itself besides the arrays."""

    step: int
    examples_seen: int  # the position in the data: training goes on with this example of the global order
    config: dict[str, Any]
    git_sha: str
    wandb_id: str
    metrics: dict[str, float | int] = dataclasses.field(default_factory=dict)  # of its evaluation, once there was one
    began_with: str = "not known"  # which weights the run began with; older checkpoints don't say


_ANY_META = CheckpointMeta(0, 0, {}, "", "")  # whose fields have the types of all
_REQUIRED_META = {"step", "examples_seen", "config", "git_sha", "wandb_id"}


class _Manager(ocp.CheckpointManager):
    """Orbax's, which leaves JAX's preemption service alone.

    Orbax counts steps at it whenever it saves, `parallel.preemption` its own calls; the service knows one counter only,
    and would wait for a number that is never reached.
    """

    def reached_preemption(self, step: int) -> bool:
        """Return False: whoever saves knows why."""
        return False


class CheckpointWriter:
    """Saves in the background; a checkpoint gets its final name when everything, its checksums too, is on disk."""

    def __init__(self, workdir: Path, keep: int, when_sealed: Callable[[Path], None] | None = None, **rule: Any):
        """Prepare for saving; the newest `keep` stay, and what else the fields `rule` of `Retention` say.

        What a killed run has left unfinished is removed. With `when_sealed` only the first host saves, whole arrays of
        NumPy; it is called with the folder of each checkpoint when that is complete.
        """
        self._folder = (workdir / FOLDER).resolve()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._when_sealed = when_sealed
        hosts_of = ocp.options.MultiprocessingOptions(active_processes={0} if when_sealed else None)
        self._saving = 0
        self._manager = _Manager(
            self._folder,
            item_handlers={
                VARIABLES: _array_writer(hosts_of),
                OPTIMIZER: _array_writer(hosts_of),
                META: ocp.JsonCheckpointHandler(multiprocessing_options=hosts_of),
            },
            options=ocp.CheckpointManagerOptions(
                create=False,
                multiprocessing_options=hosts_of,
                preservation_policy=Retention(keep, metrics_of=lambda step: metrics_of(workdir, step), **rule),
                cleanup_tmp_directories=True,
                lightweight_initialize=True,  # it reads no notes, which have no checksum
                async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
            ),
        )

    def save(self, state: TrainState, meta: CheckpointMeta) -> None:
        """Copy the state from the device and start to write it; all hosts must call it.

        Raises:
            OSError: this checkpoint, or the one before, could not be written; those before that are as they were.
        """
        self.wait()  # what failed to be written is known now, not at the end
        self._saving = meta.step
        items = {
            VARIABLES: ocp.args.PyTreeSave(variables_of(state)),
            OPTIMIZER: ocp.args.PyTreeSave(state.opt_state),
            META: ocp.args.JsonSave(dataclasses.asdict(meta)),
        }
        try:
            self._manager.save(meta.step, args=ocp.args.Composite(**items), force=True)
        except OSError as error:
            raise self._failure(error) from error

    def keep_metrics(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Write what the evaluation of a checkpoint has found beside it, on the lead; what isn't finite is left out.

        Raises:
            OSError: the checkpoint or this file can't be written.
        """
        self.wait()
        if hosts.is_lead():
            write_metrics(checkpoint_directory(self._folder.parent, step), metrics)

    def wait(self) -> None:
        """Wait for the checkpoint that is being written.

        Raises:
            OSError: it could not be written.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # of tensorstore, orbax or the operating system
            raise self._failure(error) from error

    def __enter__(self) -> "CheckpointWriter":
        """Return the writer; there is nothing more to open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Wait until everything is written, whatever ended the run."""
        self.wait()
        self._manager.close()

    def _failure(self, error: Exception) -> OSError:
        """Return what the user hears where a checkpoint could not be written; give its space back."""
        for unfinished in self._folder.glob(f"{self._saving}.orbax-checkpoint-tmp*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        others = [step for step in checkpoint_steps(self._folder.parent) if step != self._saving]
        return OSError(
            f"the checkpoint of step {self._saving} can't be written to {self._folder} ({cause(error)}); "
            f"those of steps {others} are untouched: make room, then start again"
        )

    def _seal(self) -> None:
        """Seal the checkpoint; orbax calls this when the files are complete, before the folder gets its final name."""
        if hosts.is_lead():
            for directory in self._folder.glob(f"{self._saving}*"):
                if directory.name.split(".")[0] == str(self._saving) and not directory.name.endswith(".damaged"):
                    write_checksums(directory)
                    if self._when_sealed:
                        self._when_sealed(directory)


def metrics_of(workdir: AnyPath, step: int) -> dict[str, float | int]:
    """Return what an evaluated checkpoint says of itself; a damaged number must not make it the best one."""
    directory = checkpoint_directory(workdir, step)
    with contextlib.suppress(OSError, ValueError):  # another host removes it
        if not find_damage(directory, META):
            return read_meta(directory).metrics
    return {}  # being written, or damaged


def read_meta(directory: AnyPath) -> CheckpointMeta:
    """Return the metadata in a checkpoint's folder.

    Raises:
        ValueError: they are missing or damaged.
    """
    path = directory / META / "metadata"
    content = read_json(path, MAX_META_BYTES)
    types = {field.name: type(getattr(_ANY_META, field.name)) for field in dataclasses.fields(CheckpointMeta)}
    if not (isinstance(content, dict) and content.keys() <= types.keys() and content.keys() >= _REQUIRED_META):
        raise ValueError(f"{path} is not the metadata of a checkpoint")
    if wrong := [name for name, value in content.items() if type(value) is not types[name]]:
        raise ValueError(f"{path} is damaged: {wrong[0]}={shown(content[wrong[0]])}")
    meta = CheckpointMeta(**content)
    return dataclasses.replace(meta, metrics=meta.metrics | _read_metrics(directory / EVALUATION))


def write_metrics(directory: AnyPath, metrics: Mapping[str, float | int]) -> None:
    """Write the metrics of a checkpoint beside it; what isn't finite is left out.

    Raises:
        OSError: they can't be written.
    """
    finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
    write_atomically(directory / EVALUATION, json.dumps({"metrics": finite, "sha256": _sha256(finite)}, indent=1))


def _read_metrics(path: AnyPath) -> dict[str, float | int]:
    """Return what `write_metrics` wrote; nothing where it didn't, or where that is damaged."""
    with contextlib.suppress(ValueError, TypeError, LookupError):
        content = read_json(path, MAX_META_BYTES)
        metrics: dict[str, float | int] = content["metrics"]
        if content["sha256"] == _sha256(metrics):
            return metrics
    return {}


def _sha256(metrics: Mapping[str, float | int]) -> str:
    return hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()


def variables_of(state: TrainState) -> dict[str, Any]:
    """Return what a checkpoint keeps of a state as its variables: weights, batch statistics and averaged weights, if
    any.
    """
    averaged = {} if state.averaged is None else {"averaged": state.averaged}
    return {"params": state.params, "batch_stats": state.batch_stats} | averaged


def _array_writer(hosts_of: ocp.options.MultiprocessingOptions) -> ocp.PyTreeCheckpointHandler:
    """Write every array from one of the devices that have it.

    By default orbax lets each copy write a slice, and compiles the slicing for every shape: half a minute at the first
    save on 8 CPU devices. On GPUs, too, it leaves that out.
    """
    arrays = ocp.type_handlers.ArrayHandler(use_replica_parallel=False)
    whole = ocp.type_handlers.NumpyHandler()
    registry = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays), (np.ndarray, whole))
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry, multiprocessing_options=hosts_of)


def cause(error: BaseException) -> str:
    """Return the reason in an error of the libraries below, in one line."""
    if "No space left on device" in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
        return "no space left on the device"
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
