"""Checkpoints: written whole or not at all, sealed with checksums, and checked before they are believed.

A checkpoint is a folder `WORKDIR/checkpoints/STEP` of three items: the variables (weights, batch statistics, averaged
weights), which is all that a prediction needs, the optimiser's state, and the metadata. This is the only file that
imports orbax.
"""

import dataclasses
import errno
import json
import os
import shutil
import typing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from absl import logging
from jaxtyping import PyTree

from occrobnet_jax.parallel import coordination, hosts
from occrobnet_jax.training.checksums import CHECKSUMS_FILE, find_damage, seal_sha256, write_checksums
from occrobnet_jax.training.retention import Retention
from occrobnet_jax.training.state import TrainState, leaves_by_path

FOLDER = "checkpoints"
VARIABLES, OPTIMISER, META = "variables", "optimiser", "meta"
LISTED = 10  # of the parameters that don't fit, so many are named
CHECK_LIMIT_S = 3600.0  # in which the lead reads every byte of the newest checkpoints


@dataclasses.dataclass(frozen=True)
class CheckpointMeta:
    """What a checkpoint knows about itself besides the arrays."""

    step: int
    examples_seen: int  # the position in the data: training goes on with this example of the global order
    config: dict[str, Any]
    git_sha: str
    wandb_id: str
    metrics: dict[str, float | int] = dataclasses.field(default_factory=dict)  # if it was evaluated


class Restored(NamedTuple):
    """A checkpoint as a prediction needs it."""

    config: dict[str, Any]
    variables: dict[str, Any]  # params (the averaged ones where there are any) and batch_stats
    step: int


class CheckpointWriter:
    """Saves in the background; a checkpoint gets its final name when everything, its checksums too, is on disk."""

    def __init__(self, workdir: Path, keep: int, **rule: Any):
        """Prepares for saving; the newest `keep` stay, and what else the fields `rule` of `Retention` say.

        What a killed run has left unfinished is removed.
        """
        self._folder = (workdir / FOLDER).resolve()
        self._saving = 0
        self._manager = ocp.CheckpointManager(
            self._folder,
            item_handlers={VARIABLES: _array_writer(), OPTIMISER: _array_writer(), META: ocp.JsonCheckpointHandler()},
            options=ocp.CheckpointManagerOptions(
                preservation_policy=Retention(keep, metrics_of=self._metrics_of, **rule),
                cleanup_tmp_directories=True,
                async_options=ocp.AsyncOptions(post_finalization_callback=self._seal),
            ),
        )

    def save(self, state: TrainState, meta: CheckpointMeta) -> None:
        """Copies the state from the device and starts to write it; all hosts must call it.

        Raises:
            OSError: this checkpoint, or the one before, could not be written; those before that are as they were.
        """
        self._wait()  # what failed to be written is known now, not at the end
        self._saving = meta.step
        items = {
            VARIABLES: ocp.args.PyTreeSave(_variables_of(state)),
            OPTIMISER: ocp.args.PyTreeSave(state.opt_state),
            META: ocp.args.JsonSave(dataclasses.asdict(meta)),
        }
        try:
            self._manager.save(meta.step, args=ocp.args.Composite(**items))
        except OSError as error:
            raise self._failure(error) from error

    def __enter__(self) -> "CheckpointWriter":
        """Nothing more to open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Waits until everything is written, whatever ended the run."""
        self._wait()
        self._manager.close()

    def _wait(self) -> None:
        """Waits for the checkpoint that is being written."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:  # of tensorstore, orbax or the operating system
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> OSError:
        """What the user hears where a checkpoint could not be written; gives its space back."""
        for unfinished in self._folder.glob(f"{self._saving}.orbax-checkpoint-tmp*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        others = [step for step in checkpoint_steps(self._folder.parent) if step != self._saving]
        return OSError(
            f"the checkpoint of step {self._saving} can't be written to {self._folder} ({_cause(error)}); "
            f"those of steps {others} are untouched: make room, then start again"
        )

    def _metrics_of(self, step: int) -> dict[str, float | int]:
        try:
            return _meta(self._folder / str(step)).metrics
        except (OSError, ValueError, TypeError):  # being written, or damaged
            return {}

    def _seal(self) -> None:
        """Called by orbax when the files are complete, before the folder gets its final name."""
        if hosts.is_lead():
            for directory in self._folder.glob(f"{self._saving}*"):
                if directory.name.split(".")[0] == str(self._saving) and not directory.name.endswith(".damaged"):
                    write_checksums(directory)


def checkpoint_steps(workdir: Path) -> list[int]:
    """Steps of the checkpoints in a workdir, damaged ones too, in ascending order."""
    folder = workdir / FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return sorted(int(name) for name in names if name.isdecimal())


def restore_state(workdir: Path, state: PyTree[jax.ShapeDtypeStruct]) -> tuple[TrainState, CheckpointMeta] | None:
    """The newest sound checkpoint of a workdir, laid out as `state` (with shardings) says; None if there is none.

    The lead checks, all hosts restore what it found. Newer ones that are damaged are reported and put aside under
    another name. All hosts must call it.

    Raises:
        ValueError: all checkpoints are damaged, this host doesn't see the one that the lead found, or its arrays have
            other names or shapes than those of `state`.
    """
    step = coordination.from_lead("newest checkpoint", _newest_sound(workdir) if hosts.is_lead() else 0, CHECK_LIMIT_S)
    if step is None:
        return None
    directory = _directory(workdir, step)
    if not directory.is_dir():
        raise ValueError(f"this host doesn't see {directory}; --workdir must be a folder that all hosts share")
    _check_fits(directory, _stored(directory), _variables_of(state))
    variables = _read(directory / VARIABLES, _variables_of(state))
    opt_state = _read(directory / OPTIMISER, state.opt_state)
    count = jax.device_put(jnp.asarray(step, state.step.dtype), state.step.sharding)
    if hosts.is_lead():
        _put_damaged_aside(workdir, step)
    return TrainState(step=count, averaged=variables.pop("averaged", None), opt_state=opt_state, **variables), _meta(
        directory
    )


def restore_for_inference(path: Path | str, step: int | None = None) -> Restored:
    """Config and variables of the newest sound checkpoint, or that of `step`, of a workdir; or of a checkpoint folder.

    Nothing is written. The arrays are on this process's first device.

    Raises:
        ValueError: there is no such checkpoint, or it is damaged.
    """
    directory = _find(Path(path), step)
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    stored = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), _stored(directory)
    )
    meta = _meta(directory)
    return Restored(meta.config, _averaged_first(_read(directory / VARIABLES, stored)), meta.step)


def checkpoint_sha256(workdir: Path, step: int) -> str:
    """The checksum of a workdir's checkpoint, over everything in it."""
    return seal_sha256(_directory(workdir, step))


def _variables_of(state: TrainState) -> dict[str, Any]:
    averaged = {} if state.averaged is None else {"averaged": state.averaged}
    return {"params": state.params, "batch_stats": state.batch_stats} | averaged


def _array_writer() -> ocp.PyTreeCheckpointHandler:
    """Writes every array from one of the devices that have it.

    By default orbax lets each copy write a slice, and compiles the slicing for every shape: half a minute at the first
    save on 8 CPU devices. On GPUs, too, it leaves that out.
    """
    arrays = ocp.type_handlers.ArrayHandler(use_replica_parallel=False)
    registry = ocp.type_handlers.create_type_handler_registry((jax.Array, arrays))
    return ocp.PyTreeCheckpointHandler(type_handler_registry=registry)


def _averaged_first(variables: dict[str, Any]) -> dict[str, Any]:
    """What the network is evaluated with: the averaged weights in place of the others where there are any."""
    params = variables.get("averaged", variables["params"])
    return {"params": params, "batch_stats": variables["batch_stats"]}


def _directory(workdir: Path, step: int) -> Path:
    return (workdir / FOLDER / str(step)).resolve()


def _find(path: Path, step: int | None) -> Path:
    """The folder of the checkpoint that a user means by `path` and `step`."""
    if (path / CHECKSUMS_FILE).is_file():
        workdir, step = path.resolve().parents[1], int(path.resolve().name)
    else:
        workdir = path
    steps = checkpoint_steps(workdir)
    if not steps or (step is not None and step not in steps):
        raise ValueError(f"no checkpoint {'' if step is None else f'of step {step} '}in {workdir}; there are {steps}")
    if step is None:
        return _directory(workdir, typing.cast(int, _newest_sound(workdir)))
    if damage := find_damage(_directory(workdir, step)):
        raise ValueError(f"checkpoint {step} in {workdir} is damaged: {_listed(damage)}")
    return _directory(workdir, step)


def _newest_sound(workdir: Path) -> int | None:
    """Step of the newest checkpoint without damage; None where there is none at all.

    Raises:
        ValueError: all of them are damaged; says how.
    """
    damaged = []
    for step in reversed(checkpoint_steps(workdir)):
        damage = find_damage(_directory(workdir, step))
        if not damage:
            return step
        damaged.append(f"step {step}: {_listed(damage)}")
        logging.error("checkpoint %s is damaged and not used: %s", _directory(workdir, step), _listed(damage))
    if damaged:
        raise ValueError(
            f"every checkpoint in {workdir / FOLDER} is damaged ({'. '.join(damaged)}); put a sound copy there, or "
            "take the folder away to begin anew"
        )
    return None


def _listed(damage: list[str]) -> str:
    more = f" and {len(damage) - LISTED} more" if len(damage) > LISTED else ""
    return "; ".join(damage[:LISTED]) + more


def _cause(error: BaseException) -> str:
    """The reason in an error of the libraries below, in one line."""
    if "No space left on device" in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
        return "no space left on the device"
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


def _put_damaged_aside(workdir: Path, newest_sound: int) -> None:
    """Renames the checkpoints after the newest sound one, all damaged, so that their steps can be saved again."""
    for step in checkpoint_steps(workdir):
        if step > newest_sound:
            directory = _directory(workdir, step)
            aside = directory.with_name(f"{step}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            os.replace(directory, aside)


def _meta(directory: Path) -> CheckpointMeta:
    return CheckpointMeta(**json.loads((directory / META / "metadata").read_text()))


def _read(item: Path, like: PyTree[jax.ShapeDtypeStruct]) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(item, like)


def _stored(directory: Path) -> PyTree[Any]:
    """Shapes and types of a checkpoint's variables."""
    return ocp.StandardCheckpointHandler().metadata(directory / VARIABLES).tree


def _check_fits(directory: Path, stored: PyTree[Any], expected: PyTree[Any]) -> None:
    wanted, found = _forms(expected), _forms(stored)
    differing = [path for path in sorted(wanted | found) if wanted.get(path) != found.get(path)]
    if differing:
        lines = [f"  {path}: expected {wanted.get(path)}, got {found.get(path)}" for path in differing[:LISTED]]
        more = [f"  and {len(differing) - LISTED} more"] if len(differing) > LISTED else []
        raise ValueError(
            f"checkpoint {directory} does not fit the config, {len(differing)} arrays differ; take the config that it "
            "was trained with, or another --workdir\n" + "\n".join(lines + more)
        )


def _forms(tree: PyTree[Any]) -> dict[str, str]:
    return {path: f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves_by_path(tree).items()}
