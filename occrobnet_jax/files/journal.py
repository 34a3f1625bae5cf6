"""A file that grows line by line, in a bucket too."""

import os
import tempfile
import time
from pathlib import Path
from typing import IO

from occrobnet_jax.files.copies import upload
from occrobnet_jax.files.paths import AnyPath, in_bucket

UPLOAD_EVERY_S = 30.0


class Journal:
    """Lines are added at the end. A bucket can't append: it gets the whole file again, at times and by `flush`.

    What a killed process had not brought to the bucket is lost; call `flush` before anything counts on the lines.
    """

    def __init__(self, path: AnyPath):
        """Goes on after what is there."""
        self.path = path
        before = path.read_bytes() if path.exists() else b""
        # A bucket's lines wait in a temporary file, which `close` removes.
        self._file: IO[bytes] = tempfile.NamedTemporaryFile() if in_bucket(path) else path.open("ab")  # noqa: SIM115
        if in_bucket(path):
            self._file.write(before)
            self._uploaded_s = time.monotonic()
        self._last_size = len(before.splitlines(keepends=True)[-1]) if before else 0

    def add(self, line: str) -> None:
        """Add a line.

        Raises:
            OSError: it can't be written.
        """
        self._last_size = self._file.write(f"{line}\n".encode())
        self._file.flush()
        if in_bucket(self.path) and time.monotonic() - self._uploaded_s > UPLOAD_EVERY_S:
            self.flush()

    def replace_last(self, line: str) -> None:
        """Put a line in the place of the last one.

        Raises:
            OSError: it can't be written.
        """
        self._file.seek(-self._last_size, os.SEEK_END)
        self._file.truncate()
        self.add(line)

    def flush(self) -> None:
        """Return when all lines are where the path says.

        Raises:
            OSError: they can't be written.
        """
        self._file.flush()
        if in_bucket(self.path):
            upload(Path(self._file.name), self.path)
            self._uploaded_s = time.monotonic()

    def close(self) -> None:
        """Flush, and end the journal."""
        try:
            self.flush()
        finally:
            self._file.close()
