"""Paths here and in buckets: one type for both, made from what a user writes.

A bucket (`gs://`, `s3://`) keeps objects under names. It has no folders, renames nothing and appends to nothing; all it
promises is that an object is there as a whole or not at all. What is built on that: `copies`, `atomic`, `journal`.
"""

import argparse
import contextlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias, TypeGuard

import fsspec
from etils import epath
from fsspec.config import conf

AnyPath: TypeAlias = Path | epath.Path  # a file or folder here, or, as etils' path, one in a bucket

LIBRARIES = {"gs": "gcsfs", "s3": "s3fs"}  # by scheme: the library that speaks with such buckets
CACHE_VARIABLE, CACHE = "OCCROBNET_CACHE", "~/.cache/occrobnet_jax"

os.environ.setdefault("EPATH_USE_TF", "false")  # else etils, where it finds TensorFlow, asks that for objects
for _library in ("gs", "gcs", "s3"):  # other machines write to the same bucket: what was listed once may be old
    conf.setdefault(_library, {})["use_listings_cache"] = False


def path_of(text: str | os.PathLike[str]) -> AnyPath:
    """Return the path that a user means: a local one, in which `~` is the user's folder, or one in a bucket,
    `gs://BUCKET/FOLDER` or `s3://BUCKET/FOLDER`.

    Raises:
        ValueError: the scheme is another one, its library isn't installed, or the path leaves the bucket.
    """
    text = os.fspath(text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        return _expanded(text)
    if scheme not in LIBRARIES:
        raise ValueError(
            f"{text}: {scheme}:// is not known here; name a local folder, gs://BUCKET/... or s3://BUCKET/..."
        )
    names = rest.rstrip("/").split("/")
    if not all(names) or {".", ".."} & set(names):
        raise ValueError(f"{text} is no place in a bucket; write {scheme}://BUCKET/FOLDER, without . or .. in it")
    if importlib.util.find_spec(LIBRARIES[scheme]) is None:
        raise ValueError(f"{text} needs {LIBRARIES[scheme]}: pip install {LIBRARIES[scheme]}")
    return epath.Path(f"{scheme}://", *names)


def local_path_of(text: str | os.PathLike[str]) -> Path:
    """Return the path that a user means where only this machine's files will do.

    Raises:
        ValueError: it names a scheme.
    """
    if "://" in os.fspath(text):
        raise ValueError(f"{os.fspath(text)} must be a local path; copy it here first")
    return _expanded(text)


def _expanded(text: str | os.PathLike[str]) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{os.fspath(text)}: there is no such user's folder; write the path without ~") from error


def path_argument(text: str) -> AnyPath:
    """Return the path that an argument of a command line names.

    Raises:
        argparse.ArgumentTypeError: as `path_of`; argparse shows the sentence.
    """
    try:
        return path_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def local_path_argument(text: str) -> Path:
    """Return the same where only this machine's files will do."""
    try:
        return local_path_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def in_bucket(path: AnyPath) -> TypeGuard[epath.Path]:
    """Return whether a path is one of a bucket."""
    return isinstance(path, epath.Path)


def absolute(path: AnyPath) -> AnyPath:
    """Return the one name of a place; a bucket's objects have no other."""
    return path if in_bucket(path) else path.resolve()


def inner(name: str) -> str:
    """Return a name that was read from a file, if it stays in the folder that it is joined to.

    Raises:
        ValueError: it leads out of any folder.
    """
    parts = name.split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in name:
        raise ValueError(f"{name!r} is not the name of a file in a folder")
    return name


def size_of(path: AnyPath) -> int:
    """Return bytes of a file.

    Raises:
        OSError: it isn't there.
    """
    return path.stat().length if in_bucket(path) else path.stat().st_size


def copy_of(path: epath.Path) -> Path:
    """Return where this machine keeps its copy of a bucket's folder: $OCCROBNET_CACHE/buckets/SCHEME/BUCKET/FOLDER."""
    return Path(os.environ.get(CACHE_VARIABLE, CACHE)).expanduser() / "buckets" / Path(*path.parts[1:])


def here(folder: AnyPath) -> Path:
    """Return the folder itself, or of a bucket's this machine's copy: for libraries that write to disks only."""
    local = copy_of(folder) if in_bucket(folder) else folder
    local.mkdir(parents=True, exist_ok=True)
    return local


def opened(path: epath.Path) -> tuple[fsspec.AbstractFileSystem, str]:
    """Return the library's file system for a bucket's path, and the path as it knows it."""
    return fsspec.filesystem(path.parts[1]), "/".join(path.parts[2:])


@contextlib.contextmanager
def reaching(path: AnyPath) -> Iterator[None]:
    """Make an OSError that names the path of whatever a bucket's library raises in the block."""
    try:
        yield
    except Exception as error:  # those of aiohttp, botocore and google.auth have nothing in common
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else OSError
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise kind(f"{path} can't be reached: {reason}") from error
