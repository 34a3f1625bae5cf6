"""What a run was and what came of it: config.json at its start, summary.json at its end."""

import importlib.metadata
import json
import os
import platform
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import occrobnet_jax
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, in_bucket
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.runs.config import experiment_from

CONFIG_FILE, SUMMARY_FILE, EVALUATIONS = "config.json", "summary.json", "eval"
COMMIT_VARIABLE = "OCCROBNET_COMMIT"  # set by the Dockerfile
LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def prepare_workdir(workdir: AnyPath) -> None:
    """Make the workdir where it is missing.

    Raises:
        ValueError: it can't be written, or a link in it leads out of it.
    """
    try:
        if in_bucket(workdir):
            _try_to_write(workdir / f".written_by_{uuid.uuid4().hex}")
            return
        workdir.mkdir(parents=True, exist_ok=True)
        refuse_links(workdir)
        if not os.access(workdir, os.W_OK | os.X_OK):
            raise PermissionError("permission denied")
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"--workdir={workdir} can't be written ({reason}); choose another folder") from error


def refuse_links(workdir: AnyPath) -> None:
    """Look for links to other places where a run or an evaluation would write; the workdir itself may be a link.

    A workdir that came from elsewhere would else decide which of the user's files are overwritten. Links among the
    checkpoints are put aside when a run starts.

    Raises:
        ValueError: there is one; names it.
    """
    if in_bucket(workdir):
        return
    own = workdir.resolve()
    for path in (*workdir.glob("*"), *workdir.glob(f"{EVALUATIONS}/**/*")):
        if path.is_symlink() and not path.resolve().is_relative_to(own):
            raise ValueError(
                f"{path} is a link to {path.readlink()}, out of the workdir: nothing is written through it; move there "
                "the whole workdir instead, or remove the link"
            )


def _try_to_write(path: AnyPath) -> None:
    write_atomically(path, "")
    path.unlink()


def write_config(workdir: AnyPath, config: Mapping[str, Any]) -> None:
    """Keep the whole config as run."""
    write_atomically(workdir / CONFIG_FILE, json.dumps(config, indent=1) + "\n")


def config_changes(workdir: AnyPath, config: Mapping[str, Any]) -> list[str]:
    """Return how `config` differs from what the workdir's earlier run kept, one phrase a setting.

    Raises:
        ValueError: that is not a JSON object.
    """
    kept = kept_config(workdir)
    if not kept:
        return []
    old, new = flat(kept), flat(json.loads(json.dumps(config)))
    return [
        f"{name}: {old.get(name)} -> {new.get(name)}" for name in sorted(old | new) if old.get(name) != new.get(name)
    ]


def write_summary(workdir: AnyPath, summary: Mapping[str, Any]) -> None:
    """Keep what the run came to, with the versions of everything that computed it."""
    write_atomically(workdir / SUMMARY_FILE, json.dumps({**summary, "versions": versions()}, indent=1) + "\n")


def kept_config(workdir: Path) -> dict[str, Any]:
    """Return what a workdir's config.json holds; nothing where no run has begun.

    Raises:
        ValueError: it is not a JSON object.
    """
    return _kept(workdir / CONFIG_FILE)


def read_summary(workdir: Path) -> dict[str, Any]:
    """Return what the workdir's last process has left at its end; nothing where none has come to it.

    Raises:
        ValueError: summary.json is not a JSON object.
    """
    return _kept(workdir / SUMMARY_FILE)


def is_finished(workdir: Path) -> bool:
    """Return whether the run in a workdir has come to the last step that its config.json plans.

    Raises:
        ValueError: config.json or summary.json is not of this project.
    """
    step = read_summary(workdir).get("step")
    return step is not None and step >= experiment_from(kept_config(workdir)).last_step


def _kept(path: Path) -> dict[str, Any]:
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not of this project: it must hold a JSON object; without it a run writes it anew")
    return content


def versions() -> dict[str, str]:
    """Return the versions of Python, of this project and its code, and of the libraries that compute."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {
        "python": platform.python_version(),
        "occrobnet_jax": occrobnet_jax.__version__,
        "git_sha": git_sha(),
    } | found


def git_sha() -> str:
    """Return the commit of the code, with "+changes" where files differ from it; in an image what it was built from; or
    "".
    """
    if COMMIT_VARIABLE in os.environ:
        return os.environ[COMMIT_VARIABLE]
    repository = Path(occrobnet_jax.__file__).parents[1]
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"],
            cwd=repository,
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return described.stdout.strip()


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the nested settings under names such as "model.ciet"."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return found
