"""Writing files so that no half-written one is ever found under its final name."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from occrobnet_jax.files.copies import upload
from occrobnet_jax.files.paths import AnyPath, in_bucket


def write_atomically(path: AnyPath, content: bytes | str) -> None:
    """Write a file beside its final place and rename it; make the folders that are missing.

    Raises:
        OSError: it can't be written; says which file, and why.
    """
    with atomic_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_file(path: AnyPath) -> Iterator[IO[bytes]]:
    """Yield a file to write into, which gets its name when the block ends, and vanishes where the block fails.

    Raises:
        OSError: it can't be written; says which file, and why.
    """
    if in_bucket(path):
        with tempfile.NamedTemporaryFile() as file:
            yield file
            file.flush()
            upload(Path(file.name), path)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _renamed_at_the_end(path) as file:
            yield file
    except OSError as error:
        raise OSError(f"{path} can't be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _renamed_at_the_end(path: Path) -> Iterator[IO[bytes]]:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)  # mkstemp's files are private
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
