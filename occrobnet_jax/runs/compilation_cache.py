"""What XLA compiled before, for the next start."""

import jax

from occrobnet_jax.files.paths import in_bucket, path_of
from occrobnet_jax.runs.experiment import Experiment


def use_compilation_cache(experiment: Experiment) -> None:
    """Let XLA keep what it compiles for the next start."""
    if experiment.compilation_cache_dir:
        place = path_of(experiment.compilation_cache_dir)
        jax.config.update("jax_compilation_cache_dir", str(place if in_bucket(place) else place.expanduser()))
