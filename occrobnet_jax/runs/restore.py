"""Restoring checkpoints: the newest sound one is used; damage is reported, put aside and never believed."""

import contextlib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from absl import logging
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import PyTree

from occrobnet_jax.files.paths import AnyPath, absolute, in_bucket, path_of
from occrobnet_jax.parallel import coordination, hosts
from occrobnet_jax.parallel.mesh import replicated
from occrobnet_jax.runs.bucket_checkpoints import at_hand
from occrobnet_jax.runs.checkpoint import OPTIMIZER, VARIABLES, CheckpointMeta, read_meta, variables_of
from occrobnet_jax.runs.checkpoint_folders import (
    FOLDER,
    checkpoint_directory,
    checkpoint_steps,
    put_aside,
    put_strays_aside,
)
from occrobnet_jax.runs.checksums import find_damage, is_sealed, seal_sha256
from occrobnet_jax.runs.restored import Restored, check_variables
from occrobnet_jax.runs.state import TrainState, Variables, leaves_by_path

LISTED = 10  # of the parameters that don't fit, so many are named
CHECK_LIMIT_S = 3600.0  # in which the lead reads every byte of the newest checkpoints


def restore_state(workdir: AnyPath, state: PyTree[jax.ShapeDtypeStruct]) -> tuple[TrainState, CheckpointMeta] | None:
    """Return the newest sound checkpoint of a workdir, laid out as `state` (with shardings) says; None if there is
    none.

    The lead checks, all hosts restore what it found. Newer ones that are damaged are reported and put aside under
    another name. All hosts must call it.

    Raises:
        ValueError: all checkpoints are damaged, this host doesn't see the one that the lead found, or its arrays have
            other names or shapes than those of `state`.
    """
    if hosts.is_lead():
        put_strays_aside(workdir)
    step = coordination.from_lead("newest checkpoint", _newest_sound(workdir) if hosts.is_lead() else 0, CHECK_LIMIT_S)
    if step is None:
        return None
    with _sound_copy(checkpoint_directory(workdir, step)) as directory:
        if not directory.is_dir():
            raise ValueError(f"this host doesn't see {directory}; --workdir must be a folder that all hosts share")
        _check_fits(directory, _stored(directory), variables_of(state))
        variables = _read(directory / VARIABLES, variables_of(state))
        opt_state = _read(directory / OPTIMIZER, state.opt_state)
        meta = read_meta(directory)
    count = jax.device_put(jnp.asarray(step, state.step.dtype), state.step.sharding)
    if hosts.is_lead():
        _put_damaged_aside(workdir, step)
    restored = TrainState(step=count, averaged=variables.pop("averaged", None), opt_state=opt_state, **variables)
    return restored, meta


def restore_for_inference(path: AnyPath | str, step: int | None = None) -> Restored:
    """Restore config and variables of the newest sound checkpoint, or that of `step`, of a workdir; or of a checkpoint
    folder.

    Nothing is written. The arrays are on this process's first device.

    Raises:
        ValueError: there is no such checkpoint, or it is damaged.
    """
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    with _sound_copy(_find(path_of(path), step)) as directory:
        stored = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), _stored(directory)
        )
        meta = read_meta(directory)
        variables = _averaged_first(_read(directory / VARIABLES, stored))
        return Restored(meta.config, variables, meta.step, seal_sha256(directory))


def checkpoint_sha256(workdir: AnyPath, step: int) -> str:
    """Return the checksum of a workdir's checkpoint, over everything in it."""
    return seal_sha256(checkpoint_directory(workdir, step))


def _averaged_first(variables: dict[str, Any]) -> dict[str, Any]:
    """Return what the network is evaluated with: the averaged weights in place of the others where there are any."""
    params = variables.get("averaged", variables["params"])
    return {"params": params, "batch_stats": variables["batch_stats"]}


def _find(path: AnyPath, step: int | None) -> AnyPath:
    """Return the folder of the checkpoint that a user means by `path` and `step`."""
    if is_sealed(path):
        return _if_sound(absolute(path))
    workdir, steps = path, checkpoint_steps(path)
    if not workdir.is_dir():
        raise ValueError(f"there is no folder {workdir}; name the workdir of a run")
    if not steps:
        raise ValueError(f"there is no checkpoint in {workdir / FOLDER}; name the workdir of a run that has saved one")
    if step is not None and step not in steps:
        raise ValueError(f"no checkpoint of step {step} in {workdir}; there are {steps}")
    if step is None:
        return checkpoint_directory(workdir, typing.cast(int, _newest_sound(workdir)))
    return _if_sound(checkpoint_directory(workdir, step))


def _if_sound(directory: AnyPath) -> AnyPath:
    if damage := _damage_of(directory):
        raise ValueError(f"checkpoint {directory.name} in {directory.parent} is damaged: {_listed(damage)}")
    return directory


def _newest_sound(workdir: AnyPath) -> int | None:
    """Return step of the newest checkpoint without damage; None where there is none at all.

    Raises:
        ValueError: all of them are damaged; says how.
    """
    damaged = []
    for step in reversed(checkpoint_steps(workdir)):
        damage = _damage_of(checkpoint_directory(workdir, step))
        if not damage:
            return step
        damaged.append(f"step {step}: {_listed(damage)}")
        logging.error("checkpoint %s is damaged and not used: %s", checkpoint_directory(workdir, step), _listed(damage))
    if damaged:
        raise ValueError(
            f"every checkpoint in {workdir / FOLDER} is damaged ({'. '.join(damaged)}); put a sound copy there, or "
            "take the folder away to begin anew"
        )
    return None


def _damage_of(directory: AnyPath) -> list[str]:
    with at_hand(directory) as copy:
        return find_damage(copy)


@contextlib.contextmanager
def _sound_copy(directory: AnyPath) -> Iterator[Path]:
    """Yield a checkpoint that was found sound, at hand; what is copied from a bucket is looked at again."""
    with at_hand(directory) as copy:
        if in_bucket(directory) and (damage := find_damage(copy)):
            raise ValueError(f"{directory} is damaged: {_listed(damage)}")
        yield copy


def _listed(damage: list[str]) -> str:
    more = f" and {len(damage) - LISTED} more" if len(damage) > LISTED else ""
    return "; ".join(damage[:LISTED]) + more


def _put_damaged_aside(workdir: AnyPath, newest_sound: int) -> None:
    """Rename the checkpoints after the newest sound one, all damaged, so that their steps can be saved again."""
    for step in checkpoint_steps(workdir):
        if step > newest_sound:
            put_aside(checkpoint_directory(workdir, step))


def _read(item: Path, like: PyTree[jax.ShapeDtypeStruct]) -> Any:
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(item, like)


def _stored(directory: Path) -> PyTree[Any]:
    """Return shapes and types of a checkpoint's variables."""
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


def restore_variables(
    model: nn.Module, input_size_px: int, workdir: AnyPath, step: int | None, mesh: Mesh
) -> tuple[Variables, int]:
    """Restore variables, a copy on every device, and step of the newest checkpoint, or of that of `step`.

    Raises:
        ValueError: there is none, it is damaged, or its arrays aren't those of the model.
    """
    restored = restore_for_inference(workdir, step)
    check_variables(model, input_size_px, restored, workdir)
    return jax.device_put(hosts.fetch(restored.variables), replicated(mesh)), restored.step
