"""SHA-256 of files and of arrays, for result cards."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def file_sha256(path: Path) -> str:
    """Of a file's bytes.

    Raises:
        ValueError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from error


def arrays_sha256(arrays: Mapping[str, np.ndarray]) -> str:
    """Of names, types, shapes and values, in the order of the names; whatever file they are kept in."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(values.data if values.size else b"")
    return digest.hexdigest()


def json_sha256(content: Any) -> str:
    """Of what can be written as JSON, whatever order its names are in."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
