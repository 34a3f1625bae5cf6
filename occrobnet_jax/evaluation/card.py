"""The result card: what makes an evaluation's numbers checkable, and whether they are true."""

import json
import math
from collections.abc import Mapping
from typing import Any

from occrobnet_jax.evaluation.formats.records_file import arrays_sha256, open_records
from occrobnet_jax.evaluation.metrics.metrics import Metrics, compute_metrics
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.hashes import file_sha256, json_sha256
from occrobnet_jax.files.paths import AnyPath, absolute
from occrobnet_jax.files.readers import lookup, read_json
from occrobnet_jax.runs.checksums import CHECKSUMS_FILE, find_damage, seal_sha256

CARD, METRICS, PREDICTIONS = "card.json", "metrics.json", "predictions.npz"
FORMAT = "occrobnet-result-card-1"
TOLERANCE = 1e-9  # relative; another NumPy may add up in another order
LISTED = 5  # of the numbers that differ


def write_card(
    folder: AnyPath, config: Mapping[str, Any], step: int, checkpoint_sha256: str, versions: Mapping[str, str]
) -> None:
    """Write the card of an evaluation whose metrics and predictions are in `folder`."""
    metrics = read_json(folder / METRICS)
    protocol = metrics.pop("protocol")
    content = {
        "format": FORMAT,
        "metrics": metrics,
        "protocol": protocol,
        "config": json.loads(json.dumps(config)),
        "config_sha256": json_sha256(config),
        "data": {name: protocol["switches"].get(f"dataset{suffix}") for name, suffix in _DATA.items()},
        "checkpoint": {"step": step, "sha256": checkpoint_sha256},
        "code": dict(versions),
        "predictions": {
            "file_sha256": file_sha256(folder / PREDICTIONS),
            "arrays_sha256": arrays_sha256(folder / PREDICTIONS),
        },
    }
    write_atomically(folder / CARD, json.dumps(content, indent=1, allow_nan=False) + "\n")


_DATA = {"name": "", "version": "_version", "content_sha256": "_sha256"}


def contradictions(folder: AnyPath) -> list[str]:
    """Return what about an evaluation is not as its card says; nothing if the card is true.

    The metrics are computed again from the stored predictions. Config and checkpoint are compared where the folder
    still lies in the workdir that has them.

    Raises:
        ValueError: there is no card, or a file that it speaks of is missing or damaged.
    """
    card = read_json(folder / CARD)
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise ValueError(f"{folder / CARD} is not a result card of format {FORMAT}")
    found = _about_predictions(card, folder)
    found += _about_metrics(card, folder)
    found += _about_config(card, folder)
    return found + _about_checkpoint(card, folder)


def checked_parts(folder: AnyPath) -> list[str]:
    """Return what `contradictions` can look at, in words."""
    parts = ["metrics from the stored predictions", "hash of the predictions", "hash of the config"]
    step = lookup(read_json(folder / CARD), "checkpoint", "step", source=folder / CARD)
    return parts + (["checkpoint"] if _sealed(folder, step) else [])


def _about_predictions(card: Mapping[str, Any], folder: AnyPath) -> list[str]:
    source = folder / CARD
    expected = lookup(card, "predictions", "arrays_sha256", source=source)
    actual = arrays_sha256(folder / PREDICTIONS)
    return [] if actual == expected else [f"{PREDICTIONS} holds other values than those that the card was made for"]


def _about_metrics(card: Mapping[str, Any], folder: AnyPath) -> list[str]:
    """Return the numbers of the card and of metrics.json that the predictions don't give."""
    stored = read_json(folder / METRICS)
    if not isinstance(stored, dict):
        raise ValueError(f"{folder / METRICS} is not an object of names and numbers")
    protocol = stored.pop("protocol", None)
    try:
        predictions = open_records(folder / PREDICTIONS)
        actual = compute_metrics(predictions.chunks(), predictions.setting)
    except FloatingPointError as error:
        raise ValueError(f"{folder / PREDICTIONS}: {error}") from error
    claimed = lookup(card, "metrics", source=folder / CARD)
    found = _differences(claimed, actual, "the card") + _differences(stored, actual, METRICS)
    if isinstance(claimed, Mapping) and claimed.keys() != stored.keys():
        names = ", ".join(sorted(claimed.keys() ^ stored.keys())[:LISTED])
        found.append(f"the card and {METRICS} don't have the same numbers: {names}")
    if protocol != card.get("protocol"):
        found.append(f"{METRICS} and the card name different protocols")
    return found


def _differences(claimed: Any, actual: Metrics, where: str) -> list[str]:
    """Return the claimed numbers that the predictions don't give; what only a later version computes is not missed."""
    if not isinstance(claimed, Mapping):
        return [f"{where} has no numbers"]
    wrong = [
        f"{name} is {claimed[name]} in {where}, the predictions give {actual.get(name)}"
        for name in sorted(claimed)
        if not _same(claimed[name], actual.get(name))
    ]
    return wrong[:LISTED] + ([f"and {len(wrong) - LISTED} more in {where}"] if len(wrong) > LISTED else [])


def _same(claimed: Any, actual: Any) -> bool:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (claimed, actual)):
        return False
    return math.isclose(claimed, actual, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _about_config(card: Mapping[str, Any], folder: AnyPath) -> list[str]:
    is_same = json_sha256(lookup(card, "config", source=folder / CARD)) == card.get("config_sha256")
    return [] if is_same else ["the card's config has another hash than the card says"]


def _about_checkpoint(card: Mapping[str, Any], folder: AnyPath) -> list[str]:
    step, expected = (lookup(card, "checkpoint", key, source=folder / CARD) for key in ("step", "sha256"))
    directory = _sealed(folder, step)
    if directory is None:
        return []
    damage = find_damage(directory)
    if damage:
        return [f"the checkpoint of step {step} is damaged: {damage[0]}"]
    return [] if seal_sha256(directory) == expected else [f"the checkpoint of step {step} is another one"]


def _sealed(folder: AnyPath, step: Any) -> AnyPath | None:
    """Return the checkpoint in the workdir around an eval/SPLIT folder (or eval/DATASET/SPLIT), if it is there."""
    directories = [around / "checkpoints" / str(step) for around in absolute(folder).parents[1:3]]
    return next((directory for directory in directories if (directory / CHECKSUMS_FILE).is_file()), None)
