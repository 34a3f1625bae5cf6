"""Programs of a trained network as an earlier start traced them: tracing and checking take longer than all else in it.

What a program computes depends on this package's code, on JAX's and Flax's, on JAX's settings, and on the network's
config, calibration and shapes of arrays. A digest of all of them is its file's name, so that none is taken of which any
differs. The files lie beside what XLA compiled of the programs, in the folder that the user names for that.
"""

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax import export

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, path_of
from occrobnet_jax.inference.network import Network
from occrobnet_jax.runs.state import leaves_by_path
from occrobnet_jax.types import HandCells, Pose

FOLDER = "programs"
PACKAGE = Path(__file__).parents[1]
TRACED = (".py", ".npz")  # files of the package that programs are made of
LIBRARIES = ("jax", "jaxlib", "flax", "numpy")
DIGEST_BYTES = hashlib.sha256().digest_size

for _kind in (Pose, HandCells):
    export.register_pytree_node_serialization(
        _kind,
        serialized_name=f"occrobnet_jax.{_kind.__name__}",
        serialize_auxdata=lambda _: b"",  # all their fields are arrays or None
        deserialize_auxdata=lambda _: (),
    )


def traced_programs(network: Network) -> dict[str, Callable[..., Any]]:
    """Return `pose`, and `cells` where there is a finder, of a network: kept ones, or else traced, and kept.

    Without a folder for compiled programs, and where a network is made of files of the user's, nothing is kept and
    the functions are returned as they are.

    Raises:
        ValueError: the network's arrays aren't those of its config; they are compared where they weren't before.
    """
    functions = {"pose": network.pose} | ({"cells": network.cells} if network.finds_hands else {})
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined, unused-ignore]
    if not folder or network.experiment.model.hand_model:
        network.check()
        return functions
    paths = {name: path_of(folder) / FOLDER / _digest(network, name) for name in functions}
    kept = {name: program for name, path in paths.items() if (program := _read(path)) is not None}
    if len(kept) < len(functions):
        network.check()
    return {name: kept.get(name) or _trace(network, function, paths[name]) for name, function in functions.items()}


def _read(path: AnyPath) -> Callable[..., Any] | None:
    """Return what `_trace` has kept; None where there is no such file, or a damaged one."""
    content = path.read_bytes() if path.is_file() else b""
    program = content[DIGEST_BYTES:]
    if not program or hashlib.sha256(program).digest() != content[:DIGEST_BYTES]:
        return None
    return export.deserialize(bytearray(program)).call


def _trace(network: Network, function: Callable[..., Any], path: AnyPath) -> Callable[..., Any]:
    variables = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), network.variables)
    inputs = network.inputs[function.__name__]
    traced = export.export(jax.jit(function), platforms=[jax.default_backend()])(variables, *inputs.values())
    program = bytes(traced.serialize())
    with contextlib.suppress(OSError):  # a full disk, or one that can't be written: the next start traces again
        write_atomically(path, hashlib.sha256(program).digest() + program)
    return traced.call


def _digest(network: Network, name: str) -> str:
    """Return a digest of all that a program is made of."""
    shapes = {path: (leaf.shape, leaf.dtype) for path, leaf in leaves_by_path(network.variables).items()}
    made_of = (
        name,
        network.inputs[name],
        dataclasses.asdict(network.experiment),
        sorted(network.calibration.items()),
        sorted(shapes.items()),
        jax.default_backend(),
        sorted(jax.config.values.items()),  # type: ignore[attr-defined, unused-ignore]
        _code(),
    )
    return hashlib.sha256(repr(made_of).encode()).hexdigest()


@functools.cache
def _code() -> str:
    """Return a digest of all code that is traced, or traces."""
    digest = hashlib.sha256(repr([(library, version(library)) for library in LIBRARIES]).encode())
    for path in sorted(path for path in PACKAGE.rglob("*") if path.suffix in TRACED):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE)} {len(content)} ".encode() + content)
    return digest.hexdigest()
