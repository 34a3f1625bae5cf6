"""What makes a folder of shards a dataset: the settings that it is made with, the manifest, and TFDS's metadata."""

import json
import tempfile
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from input_pipeline.convert.manifest import make_manifest, write_json
from input_pipeline.convert.sources import Source
from input_pipeline.manifest_file import MANIFEST_FILE, file_facts
from input_pipeline.records import features

SETTINGS_FILE = "settings.json"
METADATA_FILES = ("features.json", "dataset_info.json")  # the last one makes the folder a dataset
_FILE_FORMAT = "array_record"


def split_template(folder: Path, name: str, split: str) -> tfds.core.ShardedFileTemplate:
    """Name of a split's files."""
    return tfds.core.ShardedFileTemplate(data_dir=folder, dataset_name=name, split=split, filetype_suffix=_FILE_FORMAT)


def write_settings(folder: Path, source: Source) -> None:
    """Write what the examples depend on, or compares it with what is there.

    Raises:
        ValueError: the folder can't be written, or holds a dataset made with other settings.
    """
    settings: dict[str, Any] = {"name": source.name, "version": source.version, "splits": dict(source.splits)}
    settings |= json.loads(json.dumps(getattr(source, "settings", {})))
    written = folder / SETTINGS_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not written.exists():
            write_json(written, settings)
        found = json.loads(written.read_text())
    except OSError as error:
        raise ValueError(f"can't write to {folder}: {error.strerror}; choose another --data_dir") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{written} is damaged; delete {folder} and start again") from error
    changed = [
        f"{key}: {found.get(key)} there, {settings.get(key)} asked for"
        for key in settings | found
        if found.get(key) != settings.get(key)
    ]
    if changed:
        raise ValueError(
            f"{folder} holds a dataset made with other settings ({'; '.join(changed)}); "
            "choose another --data_dir, or delete that folder"
        )


def write_metadata(source: Source, folder: Path, facts: dict[str, list[dict[str, Any]]]) -> None:
    """Write manifest, features.json and dataset_info.json, each as a whole or not at all."""
    splits = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=[shard["examples"] for shard in shards],
            num_bytes=sum(shard["bytes"] for shard in shards),
            filename_template=split_template(folder, source.name, split),
        )
        for split, shards in facts.items()
    ]
    identity = tfds.core.DatasetIdentity(
        name=source.name, version=tfds.core.Version(source.version), data_dir=str(folder), module_name=__name__
    )
    info = tfds.core.DatasetInfo(builder=identity, features=features(getattr(source, "has_arms", False)))
    info.set_file_format(_FILE_FORMAT)
    info.set_splits(tfds.core.SplitDict(splits))
    with tempfile.TemporaryDirectory(prefix="metadata.incomplete-", dir=folder) as unfinished:
        info.write_to_directory(unfinished)
        files = [file_facts(Path(unfinished, name)) for name in METADATA_FILES]
        write_json(folder / MANIFEST_FILE, make_manifest(source, facts, [file_facts(folder / SETTINGS_FILE), *files]))
        for name in METADATA_FILES:
            Path(unfinished, name).replace(folder / name)
