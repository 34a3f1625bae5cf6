"""What a prepared dataset holds, file by file, in `manifest.json` beside TFDS's metadata; and whether it still does."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from input_pipeline.manifest_file import MANIFEST_FILE, file_facts, hash_lines, read_manifest
from input_pipeline.staging import local_data_dir
from occrobnet_jax.files.paths import AnyPath, size_of
from occrobnet_jax.progress import progress

SHARD = ".array_record-"  # in the name of each


def dataset_manifest(data_dir: str | AnyPath, name: str) -> dict[str, Any]:
    """Return what metrics must say about the data that they were made with.

    Args:
        data_dir: folder that holds the prepared datasets.
        name: of the dataset; "a+b" for several.

    Returns:
        "content_sha256", a hash of all records ("" if unknown); "partial", sentences that say what the dataset
        lacks (empty where it is complete); "version", that of the dataset's content; "occlusion", a sentence on how
        many examples know what hides their joints.

    Raises:
        ValueError: there is no such dataset, or its manifest is damaged.
    """
    parts = [_one_manifest(data_dir, part) for part in name.split("+")]
    if len(parts) == 1:
        return parts[0]
    return {
        "content_sha256": hash_lines(part["content_sha256"] for part in parts),
        "partial": [sentence for part in parts for sentence in part["partial"]],
        "version": "+".join(part["version"] for part in parts),
        "occlusion": "; ".join(part["occlusion"] for part in parts),
    }


def dataset_folder(data_dir: str | AnyPath, name: str) -> Path:
    """Return folder of a dataset's newest version.

    Raises:
        ValueError: there is none.
    """
    root = local_data_dir(data_dir, name)
    try:
        return Path(tfds.core.read_only_builder.builder_from_files(name, data_dir=root).data_path)
    except Exception as error:  # TFDS's own, and whatever damaged JSON files lead to
        raise ValueError(f"there is no prepared dataset in {root / name}: {error}") from error


def verify(folder: AnyPath, *, show_progress: bool = True) -> list[str]:
    """Compare a dataset's files with its manifest; return a sentence for each that is missing or changed."""
    try:
        manifest = read_manifest(folder)
    except ValueError as error:
        return [str(error)]
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    found = []
    with progress(None, "verify", len(shards), unit="shard", is_shown=show_progress) as bar:
        for expected in (*manifest["files"], *shards):
            found += _changes(folder / expected["file"], expected)
            bar.update("examples" in expected)
    listed = {expected["file"] for expected in (*manifest["files"], *shards)}
    return found + [
        f"{path} is a shard that the manifest doesn't list"
        for path in sorted(folder.iterdir())
        if SHARD in path.name and path.name not in listed
    ]


def _one_manifest(data_dir: str | AnyPath, name: str) -> dict[str, Any]:
    folder = dataset_folder(data_dir, name)
    if not (folder / MANIFEST_FILE).exists():
        unknown = f"{name}: {folder} has no {MANIFEST_FILE}, so that nothing says whether it is complete"
        return {"content_sha256": "", "partial": [unknown], "version": folder.name, "occlusion": f"{name}: unknown"}
    manifest = read_manifest(folder)
    known = [
        f"{facts.get('occlusion_known', 0):,} of {facts['examples']:,} of {split}"
        for split, facts in manifest["splits"].items()
    ]
    found = {key: manifest[key] for key in ("content_sha256", "partial", "version")}
    return found | {"occlusion": f"{name}: known in {', '.join(known)}"}


def _changes(path: AnyPath, expected: dict[str, Any]) -> list[str]:
    """Return what is wrong with a file, in a sentence; nothing if it is as it was written."""
    try:
        size = size_of(path)
        if size != expected["bytes"]:
            kind = "truncated" if size < expected["bytes"] else "longer than it was"
            return [f"{path} is {kind}: {size:,} bytes where {expected['bytes']:,} were written"]
        if file_facts(path)["sha256"] != expected["sha256"]:
            return [f"{path} was altered: its SHA-256 is not the one that was written"]
    except OSError as error:
        return [f"{path} is missing or can't be read: {error.strerror or error}"]
    return []
