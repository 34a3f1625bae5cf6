"""SHA-256 checksums of the files of a checkpoint: a flipped bit would otherwise be restored as a wrong number."""

import hashlib
import json
from pathlib import Path

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, absolute, in_bucket, inner
from occrobnet_jax.files.readers import read_json

CHECKSUMS_FILE = "checksums.json"
MAX_BYTES = 2**24  # of it: some thousand files at most


def write_checksums(directory: Path) -> None:
    """Seal a directory: writes the checksum of each file in its folders, by its relative path, into `CHECKSUMS_FILE`.

    Files beside that one are left out: they are orbax's notes about the writing, complete only after it.
    """
    files = sorted(path for path in directory.glob("*/**/*") if path.is_file())
    checksums = {path.relative_to(directory).as_posix(): _sha256(path) for path in files}
    write_atomically(directory / CHECKSUMS_FILE, json.dumps(checksums, indent=1))


def find_damage(directory: AnyPath, item: str = "") -> list[str]:
    """Return what is wrong with a sealed directory, or one folder of it, one phrase a file; nothing if it is as
    written.
    """
    if not is_sealed(directory):
        return [f"{CHECKSUMS_FILE} is missing"]
    try:
        expected = read_checksums(directory)
    except ValueError:
        return [f"{CHECKSUMS_FILE} can't be read"]
    if not expected:
        return [f"{CHECKSUMS_FILE} is empty"]
    looked_at = {name: value for name, value in expected.items() if not item or name.startswith(f"{item}/")}
    return [damage for name, value in looked_at.items() if (damage := _damage_of(directory, name, value))]


def is_sealed(directory: AnyPath) -> bool:
    """Return whether everything in a directory had been written when its checksums were."""
    return (directory / CHECKSUMS_FILE).is_file()


def read_checksums(directory: AnyPath) -> dict[str, str]:
    """Return the checksum of each file of a sealed directory, by its relative path.

    Raises:
        ValueError: there is no file of checksums, or it is damaged, or names a file outside.
    """
    checksums = read_json(directory / CHECKSUMS_FILE, MAX_BYTES)
    if not isinstance(checksums, dict):
        raise ValueError(f"{directory / CHECKSUMS_FILE} holds no checksums")
    return {inner(name): str(value) for name, value in checksums.items()}


def seal_sha256(directory: AnyPath) -> str:
    """Return one checksum for a sealed directory: that of the file of checksums.

    Raises:
        OSError: it isn't sealed.
    """
    return _sha256(directory / CHECKSUMS_FILE)


def _damage_of(directory: AnyPath, name: str, expected: str) -> str:
    path = directory / name
    if not path.is_file():
        return f"{name} is missing"
    if not in_bucket(path) and path.resolve() != absolute(directory) / name:
        return f"{name} is a link, which may lead anywhere"
    return "" if _sha256(path) == expected else f"{name} has changed"


def _sha256(path: AnyPath) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
