"""Prepared datasets in buckets: brought to this machine's disk, where shards can be read at random.

Its manifest says what belongs to a dataset and which checksum each file has. A file that is here whole is not brought
again; every process of a machine may stage at the same time, since a file gets its name when it is complete.
"""

from pathlib import Path, PurePosixPath
from typing import Any

from etils import epath

from input_pipeline.manifest_file import MANIFEST_FILE, read_manifest
from occrobnet_jax.files.copies import download
from occrobnet_jax.files.paths import copy_of, in_bucket, inner, path_of
from occrobnet_jax.progress import progress


def local_data_dir(data_dir: str, name: str) -> Path:
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
        return Path(data_dir).expanduser()
    version = _newest_version(place / name)
    copy = copy_of(version)
    download(version / MANIFEST_FILE, copy / MANIFEST_FILE)
    missing = [facts for facts in _files(read_manifest(copy)) if not _is_here(copy / facts["file"], facts)]
    for facts in progress(missing, f"bringing {version} to {copy}", len(missing), delay_s=2.0):
        download(version / facts["file"], copy / facts["file"], facts["sha256"])
    return copy_of(place)


def _newest_version(dataset: epath.Path) -> epath.Path:
    """Return the version of a dataset's folder that is whole: its manifest is written last."""
    versions = list(dataset.iterdir()) if dataset.is_dir() else []
    whole = [path for path in versions if _number(path) and (path / MANIFEST_FILE).exists()]
    if not whole:
        raise ValueError(
            f"there is no prepared dataset in {dataset}: no folder 1.0.0 or the like with a {MANIFEST_FILE}; prepare "
            "it on a disk and copy its folder there, the manifest last"
        )
    return max(whole, key=_number)


def _number(version: PurePosixPath) -> tuple[int, ...]:
    parts = version.name.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


def _files(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    return [facts | {"file": inner(facts["file"])} for facts in (*shards, *manifest["files"])]


def _is_here(path: Path, facts: dict[str, Any]) -> bool:
    """Return whether a file was brought whole; its checksum was compared then."""
    return path.is_file() and path.stat().st_size == facts["bytes"]
