"""What all hosts of a run must have alike, compared before it starts."""

import contextlib
import hashlib
import time
import uuid
from pathlib import Path
from typing import Any

import jax

from input_pipeline.manifest import dataset_manifest
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, in_bucket
from occrobnet_jax.parallel import coordination, hosts
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.summary import flat, versions

SOURCES = ("occrobnet_jax", "input_pipeline")
REPOSITORY = Path(__file__).parents[2]
APPEARS_WITHIN_S, POLL_S = 60.0, 0.5  # network file systems keep what they knew of a folder for some seconds


def check_hosts_agree(experiment: Experiment) -> None:
    """Compare config, code, versions of the libraries, platform and content of the dataset over all hosts.

    All hosts must call it, and where it fails it fails on all of them.

    Raises:
        ValueError: they differ; names what, which hosts, and both values. Or the dataset can't be read.
        TimeoutError: a host didn't come.
    """
    data = experiment.data
    manifest = dataset_manifest(data.data_dir, data.name)
    facts: dict[str, Any] = flat(config_of(experiment), "config.") | versions() | {"source_sha256": source_sha256()}
    facts |= {f"dataset.{name}": manifest[name] for name in ("version", "content_sha256")}
    facts |= {"platform": jax.default_backend()}  # where CUDA fails to load on one host, JAX takes its CPU
    coordination.check_same("config, code and data", facts)


def check_workdir_is_shared(workdir: AnyPath, limit_s: float = APPEARS_WITHIN_S) -> None:
    """Look whether all hosts see the same folder: in folders of their own each would keep a part of every checkpoint.

    All hosts must call it, and where it fails it fails on all of them.

    Raises:
        ValueError: the lead can't write there, or a host doesn't see what it has written; names the host.
        TimeoutError: a host didn't come.
    """
    if hosts.num_hosts() == 1:
        return
    name = coordination.from_lead("mark in the workdir", _leave_mark(workdir) if hosts.is_lead() else None)
    if name is None:
        raise ValueError(f"{coordination.host_name(0)} can't write to --workdir={workdir}")
    mark = workdir / name
    answers = coordination.exchange("sight of the workdir", "yes" if _appears(mark, limit_s) else "no")
    if hosts.is_lead():
        with contextlib.suppress(OSError):
            mark.unlink()
    blind = [coordination.host_name(host) for host, answer in enumerate(answers) if answer == "no"]
    if blind:
        raise ValueError(
            f"{', '.join(blind)} doesn't see what {coordination.host_name(0)} writes to --workdir={workdir}; it must "
            "be a folder that all hosts share"
        )


def _leave_mark(workdir: AnyPath) -> str | None:
    """Return the name of a new file in the workdir; None where it can't be written."""
    mark = workdir / f".seen_by_all_{uuid.uuid4().hex}"
    try:
        write_atomically(mark, "") if in_bucket(mark) else mark.touch()  # which makes no folder
    except OSError:
        return None  # an error here alone would leave the others waiting
    return mark.name


def _appears(path: AnyPath, limit_s: float) -> bool:
    end_s = time.monotonic() + limit_s
    while not path.exists():
        if time.monotonic() > end_s:
            return False
        time.sleep(POLL_S)
    return True


def source_sha256(repository: Path = REPOSITORY) -> str:
    """Return one checksum for our Python files, programs and packages: a commit doesn't tell apart two trees with
    changes.
    """
    digest = hashlib.sha256()
    packages = [path for package in SOURCES for path in (repository / package).rglob("*.py")]
    for path in sorted([*repository.glob("*.py"), *packages]):
        digest.update(f"{path.relative_to(repository)} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()
