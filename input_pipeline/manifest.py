"""What a prepared dataset is, for whoever quotes a number that was measured on it."""

import hashlib
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds


def dataset_manifest(data_dir: str | Path, name: str) -> dict[str, Any]:
    """Version and content of a prepared dataset.

    Returns:
        "version"; "content_sha256", over names and bytes of its shards; "partial", sentences that say what is missing.

    Raises:
        ValueError: there is no such dataset.
    """
    root = Path(data_dir).expanduser()
    try:
        folder = Path(tfds.core.read_only_builder.builder_from_files(name, data_dir=root).data_path)
    except Exception as error:  # TFDS's own, and whatever damaged JSON files lead to
        raise ValueError(f"there is no prepared dataset in {root / name}: {error}") from error
    digest = hashlib.sha256()
    for shard in sorted(folder.glob("*.array_record*")):
        digest.update(shard.name.encode())
        with shard.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return {"version": folder.name, "content_sha256": digest.hexdigest(), "partial": []}
