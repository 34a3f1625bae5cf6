"""Programs as an earlier start traced them: of a start whose compiled programs are kept, tracing takes the longest.

What a program computes depends on this project's code, on JAX's and the other libraries', on JAX's settings, and on
what its maker knows of it: config, shapes, devices. A digest of all of them is its file's name, so that none is taken
of which any differs. The files lie beside what XLA compiled of the programs, in the folder that the user names for
that.
"""

import contextlib
import functools
import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax import export
from jaxtyping import PyTree

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, path_of

FOLDER = "programs"
PACKAGES = tuple(Path(__file__).parents[2] / name for name in ("occrobnet_jax", "input_pipeline"))
TRACED = (".py", ".npz")  # files of the packages that programs are made of
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "numpy")
DIGEST_BYTES = hashlib.sha256().digest_size

Program = Callable[..., Any]


def path_for(*made_of: object) -> AnyPath | None:
    """Return the file for a program, or None where no folder for compiled programs is set.

    Args:
        made_of: all that the program depends on besides code and settings, with a `repr` that tells it apart.
    """
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined, unused-ignore]
    return path_of(folder) / FOLDER / _digest(made_of) if folder else None


def read_program(path: AnyPath) -> Program | None:
    """Return what `keep_program` has kept; None where there is no such file, or a damaged one, or one of another's."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    program = content[DIGEST_BYTES:]
    if not program or hashlib.sha256(program).digest() != content[:DIGEST_BYTES]:
        return None
    return export.deserialize(bytearray(program)).call


def keep_program(path: AnyPath, function: Program, *arguments: PyTree[Any]) -> Program:
    """Trace a pure function, keep it, and return it as the next start will have it.

    Args:
        path: from `path_for`.
        function: what it takes and returns are trees of arrays that `jax.export` can write down.
        *arguments: arrays, or shapes, of which only shape and type count.
    """
    shapes = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), arguments)
    traced = export.export(jax.jit(function), platforms=[jax.default_backend()])(*shapes)
    program = bytes(traced.serialize())
    with contextlib.suppress(OSError):  # a full disk, or one that can't be written: the next start traces again
        write_atomically(path, hashlib.sha256(program).digest() + program)
    return traced.call


def _digest(made_of: tuple[object, ...]) -> str:
    settings = sorted(jax.config.values.items())  # type: ignore[attr-defined, unused-ignore]
    return hashlib.sha256(repr((made_of, jax.default_backend(), settings, _code())).encode()).hexdigest()


@functools.cache
def _code() -> str:
    """Return a digest of all code that is traced, or traces."""
    digest = hashlib.sha256(repr([(library, version(library)) for library in LIBRARIES]).encode())
    for package in PACKAGES:
        for path in sorted(path for path in package.rglob("*") if path.suffix in TRACED):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package.parent)} {len(content)} ".encode() + content)
    return digest.hexdigest()
