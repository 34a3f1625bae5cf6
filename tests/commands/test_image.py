"""The Dockerfile, .dockerignore and the locks: no container engine is needed."""

import fnmatch
import re
import shlex
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PLATFORMS = ("cpu", "cuda12", "cuda13", "tpu")


def copied() -> list[str]:
    """What the Dockerfile copies from the checkout, `${PLATFORM}` put in."""
    lines = re.findall(r"^COPY (.*)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for line in lines for source in shlex.split(line)[:-1]]
    return [source.replace("${PLATFORM}", platform) for source in sources for platform in PLATFORMS]


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a path through: the last line that names it, or a folder of it, decides."""
    sent = True
    for line in (REPOSITORY / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.lstrip("!").rstrip("/").removeprefix("**/")
        parts = Path(path).parts
        names = ["/".join(parts[: end + 1]) for end in range(len(parts))]
        candidates = names + list(parts) if line.startswith("**/") else names
        if any(fnmatch.fnmatch(name, pattern) for name in candidates):
            sent = line.startswith("!")
    return sent


def test_what_the_dockerfile_copies_is_there_and_sent():
    for source in copied():
        assert (REPOSITORY / source).exists(), source
        assert is_sent(source), source


@pytest.mark.parametrize(
    "path", [".git/HEAD", ".venv/bin/python", "runs/demo/config.json", "data/x", "wandb/x", "tools/__pycache__/x.pyc"]
)
def test_nothing_else_is_sent(path):
    assert not is_sent(path)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_platform_has_a_lock_of_the_same_jax(platform):
    def jax_of(path: Path) -> set[str]:
        return set(re.findall(r"^jax==.*$", path.read_text(), re.MULTILINE))

    lock = REPOSITORY / "requirements" / f"{platform}.txt"
    assert jax_of(lock) == jax_of(REPOSITORY / "requirements.txt") != set()
    accelerator = {"cpu": "jaxlib", "tpu": "libtpu"}.get(platform, f"jax-{platform}-plugin")
    assert re.search(rf"^{accelerator}==", lock.read_text(), re.MULTILINE)


@pytest.mark.parametrize("lock", sorted((REPOSITORY / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_locks_are_exact(lock):
    lines = [line for line in lock.read_text().splitlines() if line and not line.lstrip().startswith("#")]
    assert all(re.match(r"[\w.-]+==[\w.+!]+( ;.*)?$", line) for line in lines)
    assert lock.with_suffix(".in").is_file()
