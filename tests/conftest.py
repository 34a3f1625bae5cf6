"""Settings for all tests, made before any of them starts a JAX backend."""

import os
import pkgutil
from pathlib import Path

import jax
import pytest
from absl import flags
from jaxtyping import install_import_hook

REPOSITORY = Path(__file__).parents[1]

os.environ["JAX_PLATFORMS"] = "cpu"  # also for the processes that tests start
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_numpy_rank_promotion", "raise")
flags.FLAGS.mark_as_parsed()  # grain reads absl's flags

# Shapes and types of arguments are checked in tests only, so that it costs nothing in a run.
# The pytrees of types.py are left out: JAX builds them with shapes and shardings in place of arrays too.
CHECKED = [
    f"{package}.{module.name}"
    for package in ("occrobnet_jax", "input_pipeline")
    for module in pkgutil.iter_modules([str(REPOSITORY / package)])
    if module.name != "types"
]
install_import_hook(CHECKED, "beartype.beartype")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Folder of the real frames; tests that need it are skipped where it is missing."""
    folder = Path(os.environ.get("OCCROBNET_FIXTURES", REPOSITORY.parent / "shared" / "fixtures"))
    if not folder.is_dir():
        pytest.skip(f"no real frames in {folder}; set OCCROBNET_FIXTURES")
    return folder
