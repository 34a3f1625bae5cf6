import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from occrobnet_jax.parallel import platforms

START = "import sys; from occrobnet_jax.parallel import platforms; platforms.start_on(sys.argv[1] or None)"


@pytest.mark.parametrize("wanted", ["cpu", None])
def test_the_platform_that_is_there_is_taken(wanted):
    platforms.start_on(wanted)
    assert jax.default_backend() == "cpu"


@pytest.mark.parametrize("wanted", ["gpu", "tpu"])
def test_without_the_wanted_platform_nothing_starts(wanted):
    with pytest.raises(ValueError, match=f"--platform={wanted}: JAX finds no such device .*; look whether"):
        platforms.start_on(wanted)


def test_another_default_than_the_wanted_one_is_named(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    with pytest.raises(ValueError, match="--platform=cpu, but JAX is on gpu; leave JAX_PLATFORMS unset"):
        platforms.start_on("cpu")


def test_cuda_without_a_gpu_is_a_sentence():
    environment = os.environ | {"JAX_PLATFORMS": "cuda"}
    done = subprocess.run(
        [sys.executable, "-c", START, ""],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ValueError: JAX_PLATFORMS=cuda: JAX finds no such device; correct or unset JAX_PLATFORMS" in done.stderr
