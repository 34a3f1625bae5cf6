"""The manifest of a dataset that was just converted, and the report on it."""

import collections
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from input_pipeline.convert.sources import Source
from input_pipeline.manifest_file import FORMAT, content_hash, own_hash, read_manifest
from occrobnet_jax.files.atomic import write_atomically

MAX_EXAMPLES_NAMED = 20  # of those that were left out, for each shard
COUNTS = ("examples", "two_hands", "black", "occlusion_known")
"""What is counted of each shard; the last: examples of which it is known what hides a joint."""


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that is there as a whole or not at all."""
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def make_manifest(source: Source, shards: dict[str, list[dict[str, Any]]], files: list[dict[str, Any]]) -> Any:
    """Return the manifest of a dataset.

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
        "content_sha256": content_hash(splits),
        "files": files,
        "splits": splits,
    }
    return manifest | {"manifest_sha256": own_hash(manifest)}


def report(folder: Path) -> str:
    """Return the counts of a prepared dataset beside the published ones, and what was left out and why."""
    manifest = read_manifest(folder)
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
    """Return what an incomplete dataset lacks, a sentence each."""
    lost = [split for split in source.splits if split not in splits]  # no example could be used
    absent = [f"{source.name}: the split {split} is absent" for split in (*getattr(source, "absent_splits", ()), *lost)]
    short = [
        f"{source.name}: {split} lacks {count:,} of {facts['source_examples']:,} examples: {reason}"
        for split, facts in splits.items()
        for reason, count in facts["left_out"].items()
    ]
    counts = [
        f"{source.name}: {split} has {_count(splits, split, kind):,} {kind.replace('_', ' ')} where "
        f"{published:,} were published"
        for split, kinds in getattr(source, "published", {}).items()
        for kind, published in kinds.items()
        if any(part in splits for part in split.split("+")) and _count(splits, split, kind) != published
    ]
    return absent + short + counts
