"""What all hosts of a run must have alike, compared before it starts."""

import hashlib
from pathlib import Path
from typing import Any

from input_pipeline.manifest import dataset_manifest
from occrobnet_jax.parallel import coordination
from occrobnet_jax.training.experiment import Experiment, config_of
from occrobnet_jax.training.summary import flat, versions

SOURCES = ("occrobnet_jax", "input_pipeline")
REPOSITORY = Path(__file__).parents[2]


def check_hosts_agree(experiment: Experiment) -> None:
    """Compares config, code, versions of the libraries and content of the dataset over all hosts.

    All hosts must call it, and where it fails it fails on all of them.

    Raises:
        ValueError: they differ; names what, which hosts, and both values. Or the dataset can't be read.
        TimeoutError: a host didn't come.
    """
    data = experiment.data
    manifest = dataset_manifest(data.data_dir, data.name)
    facts: dict[str, Any] = flat(config_of(experiment), "config.") | versions() | {"source_sha256": source_sha256()}
    facts |= {f"dataset.{name}": manifest[name] for name in ("version", "content_sha256")}
    coordination.check_same("config, code and data", facts)


def source_sha256(repository: Path = REPOSITORY) -> str:
    """One checksum for our packages' Python files: a commit doesn't tell apart two trees with changes."""
    digest = hashlib.sha256()
    for path in sorted(path for package in SOURCES for path in (repository / package).rglob("*.py")):
        digest.update(f"{path.relative_to(repository)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()
