"""Settings for all tests, made before any of them starts a JAX backend."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest
from absl import flags
from beartype import beartype
from jaxtyping import install_import_hook

from tests.support.xla_flags import xla_flags

REPOSITORY = Path(__file__).parents[1]

os.environ["JAX_PLATFORMS"] = "cpu"  # also for the processes that tests start
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {xla_flags(num_devices=8)}"
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
flags.FLAGS.mark_as_parsed()  # grain reads absl's flags


def checked(function: Callable) -> Callable:
    """beartype, constructors aside.

    Records check their own values, in better words; and JAX builds pytrees with shapes and shardings in place of
    arrays too.
    """
    return function if function.__name__ == "__init__" else beartype(function)


# Shapes and types of arguments are checked in tests only, so that it costs nothing in a run.
install_import_hook(["occrobnet_jax", "input_pipeline"], f"{__name__}.checked")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Folder of the real frames; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("OCCROBNET_FIXTURES", REPOSITORY.parent / "shared" / "fixtures"))
    if not folder.is_dir():
        pytest.skip(f"no real frames in {folder}; set OCCROBNET_FIXTURES")
    return folder


@pytest.fixture(scope="module", autouse=True)
def own_compilation_cache() -> Iterator[None]:
    """Leave no folder for programs to the next file's tests: commands that are tested in this process choose one."""
    before = jax.config.jax_compilation_cache_dir
    yield
    jax.config.update("jax_compilation_cache_dir", before)


@pytest.fixture(scope="module")
def shallow_resnet18() -> Iterator[None]:
    """One block in each of ResNet-18's stages: the time that a training step compiles grows with its layers."""
    from occrobnet_jax.models.resnet import STAGE_SIZES

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGE_SIZES, "resnet18", (1, 1, 1, 1))
        yield
