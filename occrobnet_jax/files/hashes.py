"""SHA-256 of files and of JSON, for result cards."""

import hashlib
import json
from typing import Any

from occrobnet_jax.files.paths import AnyPath


def file_sha256(path: AnyPath) -> str:
    """Return the hash of a file's bytes.

    Raises:
        ValueError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from error


def json_sha256(content: Any) -> str:
    """Return the hash of what can be written as JSON, whatever order its names are in."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
