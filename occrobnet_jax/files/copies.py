"""Copies between this machine and buckets: a file is whole under its name, or not there."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from etils import epath

from occrobnet_jax.files.hashes import file_sha256
from occrobnet_jax.files.paths import AnyPath, in_bucket, opened, reaching

THREADS = 8  # of copies at a time: one connection doesn't fill a data centre's network
T = TypeVar("T")


def upload(source: Path, target: epath.Path) -> None:
    """Copy a file into a bucket.

    Raises:
        OSError: the bucket can't be written.
    """
    system, key = opened(target)
    with reaching(target):
        system.put_file(str(source), key)


def download(source: epath.Path, target: Path, sha256: str = "") -> None:
    """Copy an object here; it gets its name when it is whole, and, where a checksum is given, has that.

    Raises:
        OSError: it can't be read, or not be written here.
        ValueError: it has another checksum.
    """
    system, key = opened(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".incomplete-", dir=target.parent) as folder:
        unfinished = Path(folder, target.name)
        with reaching(source):
            system.get_file(key, str(unfinished))
        if sha256 and file_sha256(unfinished) != sha256:
            raise ValueError(f"{source} is damaged: its SHA-256 is not the one that was written beside it")
        unfinished.replace(target)


def remove(folder: AnyPath) -> None:
    """Remove a folder with everything in it, if it is there, or a file; of a link, the link alone."""
    if not in_bucket(folder):
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)
        return
    system, key = opened(folder)
    with reaching(folder):
        if names := system.find(key):
            system.rm(names)


def move(folder: AnyPath, target: AnyPath) -> None:
    """Give a folder another name. In a bucket, which can't, all is copied first, then removed."""
    if not (in_bucket(folder) and in_bucket(target)):
        os.replace(folder, target)
        return
    (system, key), (_, new) = opened(folder), opened(target)
    with reaching(folder):
        for name in system.find(key):
            system.cp_file(name, new + name.removeprefix(key))
    remove(folder)


def several(function: Callable[[T], None], items: Iterable[T]) -> None:
    """Call a function, which copies something, for each item, several at a time; raise the first error."""
    with ThreadPoolExecutor(THREADS, "copy") as pool:
        try:
            for done in [pool.submit(function, item) for item in items]:
                done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
