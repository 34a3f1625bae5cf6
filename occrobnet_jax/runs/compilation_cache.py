"""What XLA compiled before, for the next start."""

from pathlib import Path

import jax

from occrobnet_jax.runs.experiment import Experiment


def use_compilation_cache(experiment: Experiment) -> None:
    """Lets XLA keep what it compiles for the next start."""
    if experiment.compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(Path(experiment.compilation_cache_dir).expanduser()))
