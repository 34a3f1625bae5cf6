"""What a prepared dataset holds, file by file, in `manifest.json` beside TFDS's metadata; and whether it still does."""

import collections
import hashlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tqdm import tqdm

from input_pipeline.convert.sources import OfficialSource, Source
from occrobnet_jax.files.readers import read_json

MANIFEST_FILE = "manifest.json"
FORMAT = 1
MAX_EXAMPLES_NAMED = 20  # of those that were left out, for each shard
COUNTS = ("examples", "two_hands", "black", "occlusion_known")
"""What is counted of each shard; the last: examples of which it is known what hides a joint."""
_READ_BYTES = 2**22


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file that is there as a whole or not at all."""
    unfinished = unfinished_path(path)
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    unfinished.replace(path)


def unfinished_path(path: Path) -> Path:
    """Name of a file while it is written: no other process, here or on another machine, has the same."""
    return path.with_name(f"{path.name}.incomplete-{secrets.token_hex(8)}")


def file_facts(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while part := stream.read(_READ_BYTES):
            digest.update(part)
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}


def make_manifest(source: Source, shards: dict[str, list[dict[str, Any]]], files: list[dict[str, Any]]) -> Any:
    """The manifest of a dataset.

    Args:
        source: what was converted.
        shards: what `shards.write_shard` says about each shard, by split.
        files: `file_facts` of the metadata.
    """
    splits = {split: _split_facts(split, source.splits[split], facts) for split, facts in shards.items()}
    manifest = {
        "format": FORMAT,
        "name": source.name,
        "version": source.version,
        "settings": getattr(source, "settings", {}),
        "notes": list(getattr(source, "notes", ())),
        "published": {split: dict(counts) for split, counts in getattr(source, "published", {}).items()},
        "partial": _partial(source, splits),
        "content_sha256": _content_hash(splits),
        "files": files,
        "splits": splits,
    }
    return manifest | {"manifest_sha256": _own_hash(manifest)}


def dataset_manifest(data_dir: str | Path, name: str) -> dict[str, Any]:
    """What metrics must say about the data that they were made with.

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
        "content_sha256": _hash_lines(part["content_sha256"] for part in parts),
        "partial": [sentence for part in parts for sentence in part["partial"]],
        "version": "+".join(part["version"] for part in parts),
        "occlusion": "; ".join(part["occlusion"] for part in parts),
    }


def dataset_folder(data_dir: str | Path, name: str) -> Path:
    """Folder of a dataset's newest version.

    Raises:
        ValueError: there is none.
    """
    root = Path(data_dir).expanduser()
    try:
        return Path(tfds.core.read_only_builder.builder_from_files(name, data_dir=root).data_path)
    except Exception as error:  # TFDS's own, and whatever damaged JSON files lead to
        raise ValueError(f"there is no prepared dataset in {root / name}: {error}") from error


def verify(folder: Path, *, progress: bool = True) -> list[str]:
    """Compares a dataset's files with its manifest; returns a sentence for each that is missing or changed."""
    try:
        manifest = _read_manifest(folder)
    except ValueError as error:
        return [str(error)]
    shards = [shard for split in manifest["splits"].values() for shard in split["shards"]]
    found = []
    with tqdm(total=len(shards), unit="shard", desc="verify", disable=not progress) as bar:
        for expected in (*manifest["files"], *shards):
            found += _changes(folder / expected["file"], expected)
            bar.update("examples" in expected)
    return found


def report(folder: Path) -> str:
    """The counts of a prepared dataset beside the published ones, and what was left out and why."""
    manifest = _read_manifest(folder)
    lines = [f"{'split':<12}{'examples':>12}{'two hands':>12}{'occlusion':>12}{'black':>8}{'left out':>10}"]
    for split, facts in manifest["splits"].items():
        left_out = sum(facts["left_out"].values())
        counts = "".join(f"{facts.get(kind, 0):>12,}" for kind in ("examples", "two_hands", "occlusion_known"))
        lines.append(f"{split:<12}{counts}{facts['black']:>8,}{left_out:>10,}")
    lines += _published_lines(manifest)
    for split, facts in manifest["splits"].items():
        lines += [f"left out of {split}: {count:,}, {reason}" for reason, count in facts["left_out"].items()]
        lines += [f"    {sentence}" for sentence in facts["left_out_examples"][:MAX_EXAMPLES_NAMED]]
    lines += [f"note: {note}" for note in manifest["notes"]]
    lines += [f"partial: {sentence}" for sentence in manifest["partial"]]
    return "\n".join([*lines, f"content sha256 {manifest['content_sha256']}"])


def _published_lines(manifest: Any) -> Iterator[str]:
    for split, counts in manifest["published"].items():
        for kind, published in counts.items():
            held = _count(manifest["splits"], split, kind)
            verdict = "as published" if held == published else f"{published:,} were published"
            yield f"{split}: {held:,} {kind.replace('_', ' ')}, {verdict}"


def _count(splits: dict[str, Any], split: str, kind: str) -> int:
    return sum(splits[part][kind] for part in split.split("+") if part in splits)


def _split_facts(split: str, num_rows: int, shards: list[dict[str, Any]]) -> dict[str, Any]:
    left_out: collections.Counter[str] = collections.Counter()
    for shard in shards:
        left_out.update(shard["left_out"])
    named = [sentence for shard in shards for sentence in shard["left_out_examples"]]
    kept = ("file", "examples", "bytes", "sha256", "content_sha256")
    return {
        "source_examples": num_rows,
        **{kind: sum(shard.get(kind, 0) for shard in shards) for kind in COUNTS},
        "left_out": dict(sorted(left_out.items())),
        "left_out_examples": named[: 5 * MAX_EXAMPLES_NAMED],
        "shards": [{name: shard[name] for name in kept} for shard in shards],
    }


def _partial(source: Source, splits: dict[str, Any]) -> list[str]:
    """What an incomplete dataset lacks, a sentence each."""
    if not isinstance(source, OfficialSource):
        return []
    absent = [f"{source.name}: the split {split} is absent" for split in source.absent_splits]
    short = [
        f"{source.name}: {split} lacks {count:,} of {facts['source_examples']:,} examples: {reason}"
        for split, facts in splits.items()
        for reason, count in facts["left_out"].items()
    ]
    counts = [
        f"{source.name}: {split} has {_count(splits, split, kind):,} {kind.replace('_', ' ')} where "
        f"{published:,} were published"
        for split, kinds in source.published.items()
        for kind, published in kinds.items()
        if any(part in splits for part in split.split("+")) and _count(splits, split, kind) != published
    ]
    return absent + short + counts


def _content_hash(splits: dict[str, Any]) -> str:
    shards = [(split, shard) for split, facts in splits.items() for shard in facts["shards"]]
    return _hash_lines(f"{split} {shard['examples']} {shard['content_sha256']}" for split, shard in shards)


def _hash_lines(lines: Any) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _own_hash(manifest: Any) -> str:
    others = {name: value for name, value in manifest.items() if name != "manifest_sha256"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


def _one_manifest(data_dir: str | Path, name: str) -> dict[str, Any]:
    folder = dataset_folder(data_dir, name)
    if not (folder / MANIFEST_FILE).exists():
        unknown = f"{name}: {folder} has no {MANIFEST_FILE}, so that nothing says whether it is complete"
        return {"content_sha256": "", "partial": [unknown], "version": folder.name, "occlusion": f"{name}: unknown"}
    manifest = _read_manifest(folder)
    known = [
        f"{facts.get('occlusion_known', 0):,} of {facts['examples']:,} of {split}"
        for split, facts in manifest["splits"].items()
    ]
    found = {key: manifest[key] for key in ("content_sha256", "partial", "version")}
    return found | {"occlusion": f"{name}: known in {', '.join(known)}"}


def _read_manifest(folder: Path) -> Any:
    path = folder / MANIFEST_FILE
    manifest = read_json(path)
    try:
        sound = manifest["manifest_sha256"] == _own_hash(manifest)
        sound = sound and manifest["content_sha256"] == _content_hash(manifest["splits"])
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise ValueError(f"{path} was altered or damaged; delete {folder} and prepare the dataset again")
    return manifest


def _changes(path: Path, expected: dict[str, Any]) -> list[str]:
    """What is wrong with a file, in a sentence; nothing if it is as it was written."""
    try:
        size = path.stat().st_size
        if size != expected["bytes"]:
            kind = "truncated" if size < expected["bytes"] else "longer than it was"
            return [f"{path} is {kind}: {size:,} bytes where {expected['bytes']:,} were written"]
        if file_facts(path)["sha256"] != expected["sha256"]:
            return [f"{path} was altered: its SHA-256 is not the one that was written"]
    except OSError as error:
        return [f"{path} is missing or can't be read: {error.strerror}"]
    return []
