"""What XLA compiled before, for the next start."""

import jax

from occrobnet_jax.files.paths import path_of


def use_compilation_cache(folder: str) -> None:
    """Let XLA keep what it compiles in `folder` for the next start; "" is off.

    XLA runs what lies there, so the user alone names the folder, never a checkpoint.
    """
    if folder:
        jax.config.update("jax_compilation_cache_dir", str(path_of(folder)))
