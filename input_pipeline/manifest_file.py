"""The file `manifest.json` of a prepared dataset, which says what each of its files is."""

import hashlib
import json
from typing import Any

from occrobnet_jax.files.paths import AnyPath, inner, size_of
from occrobnet_jax.files.readers import read_json

MANIFEST_FILE = "manifest.json"
FORMAT = 1
_READ_BYTES = 2**22


def file_facts(path: AnyPath) -> dict[str, Any]:
    """Return size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(_READ_BYTES):
            digest.update(part)
    return {"file": path.name, "bytes": size_of(path), "sha256": digest.hexdigest()}


def content_hash(splits: dict[str, Any]) -> str:
    """Hash the records of all splits."""
    shards = [(split, shard) for split, facts in splits.items() for shard in facts["shards"]]
    return hash_lines(f"{split} {shard['examples']} {shard['content_sha256']}" for split, shard in shards)


def hash_lines(lines: Any) -> str:
    """Hash lines of text, in their order."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def own_hash(manifest: Any) -> str:
    """Hash a manifest without its own hash."""
    others = {name: value for name, value in manifest.items() if name != "manifest_sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: AnyPath) -> Any:
    """Read the manifest of a dataset's folder.

    Raises:
        ValueError: it is absent, altered or damaged.
    """
    path = folder / MANIFEST_FILE
    manifest = read_json(path)
    try:
        sound = manifest["manifest_sha256"] == own_hash(manifest)
        sound = sound and manifest["content_sha256"] == content_hash(manifest["splits"])
        files = [shard for split in manifest["splits"].values() for shard in split["shards"]] + manifest["files"]
        sound = sound and all(inner(file["file"]) and file["bytes"] >= 0 and file["sha256"] for file in files)
        sound = sound and isinstance(manifest["partial"], list) and isinstance(manifest["version"], str)
    except (KeyError, TypeError, AttributeError, ValueError):
        sound = False
    if not sound:
        raise ValueError(f"{path} was altered or damaged; delete {folder} and prepare the dataset again")
    return manifest
