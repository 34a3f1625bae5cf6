"""Prepared datasets in buckets: brought to this machine's disk, where shards can be read at random.

Its manifest says what belongs to a dataset and which checksum each file has. A file that is here whole is not brought
again, unless the bucket holds another dataset now. Processes of one machine wait for each other.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from etils import epath

from input_pipeline.manifest_file import MANIFEST_FILE, read_manifest
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.copies import download, several
from occrobnet_jax.files.paths import AnyPath, copy_of, in_bucket, inner, path_of
from occrobnet_jax.progress import progress


def local_data_dir(data_dir: str | AnyPath, name: str) -> Path:
    """Return the folder that datasets are read from: `data_dir` itself, or of a bucket's this machine's copy.

    Args:
        data_dir: folder that holds the prepared datasets, here or in a bucket.
        name: of the dataset whose newest version is brought here.

    Raises:
        ValueError: there is no such dataset, or a file of it is damaged.
        OSError: the bucket can't be reached, or the disk is full.
    """
    place = path_of(data_dir)
    if not in_bucket(place):
        return place
    version = newest_version(place / name)
    with _alone(copy_of(version)) as copy:
        _drop_another(version, copy)
        _bring(version, copy, listed_files(read_manifest(copy)))
    return copy_of(place)


def bring_metadata(version: epath.Path) -> None:
    """Bring what describes a dataset of a bucket, without its shards.

    Raises:
        ValueError, OSError: as `local_data_dir`.
    """
    with _alone(copy_of(version)) as copy:
        _drop_another(version, copy)
        _bring(version, copy, read_manifest(copy)["files"])


def newest_version(dataset: epath.Path) -> epath.Path:
    """Return the version of a dataset's folder in a bucket that is whole: its manifest is written last.

    Raises:
        ValueError: there is none.
    """
    versions = list(dataset.iterdir()) if dataset.is_dir() else []
    whole = [path for path in versions if _number(path) and (path / MANIFEST_FILE).exists()]
    if not whole:
        raise ValueError(
            f"there is no prepared dataset in {dataset}: no folder 1.0.0 or the like with a {MANIFEST_FILE}; prepare "
            f"it with --data_dir={dataset.parent}"
        )
    return max(whole, key=_number)


def listed_files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a manifest says about each file of its dataset: name, bytes, checksum.

    Raises:
        ValueError: one has the name of a file elsewhere.
    """
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    return [facts | {"file": inner(facts["file"])} for facts in (*shards, *manifest["files"])]


def _number(version: PurePosixPath) -> tuple[int, ...]:
    parts = version.name.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


@contextlib.contextmanager
def _alone(copy: Path) -> Iterator[Path]:
    """Keep other processes of this machine from bringing files to the folder; any end lets go of it."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    with copy.with_name(f"{copy.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield copy


def _drop_another(version: epath.Path, copy: Path) -> None:
    """Remove the copy of a dataset that isn't the bucket's any more, and bring the manifest."""
    read_manifest(version)
    content = (version / MANIFEST_FILE).read_bytes()
    kept = copy / MANIFEST_FILE
    if not kept.is_file() or kept.read_bytes() != content:
        shutil.rmtree(copy, ignore_errors=True)
        write_atomically(kept, content)


def _bring(version: epath.Path, copy: Path, files: list[dict[str, Any]]) -> None:
    missing = [facts for facts in files if not _is_here(copy / inner(facts["file"]), facts)]
    with progress(missing, f"bringing {version} to {copy}", len(missing), delay_s=2.0) as bar:

        def bring(facts: dict[str, Any]) -> None:
            download(version / facts["file"], copy / facts["file"], facts["sha256"])
            bar.update()

        several(bring, missing)


def _is_here(path: Path, facts: dict[str, Any]) -> bool:
    """Return whether a file was brought whole; its checksum was compared then."""
    return path.is_file() and path.stat().st_size == facts["bytes"]
