"""A trained network, from wherever a user names it: a run, one of its checkpoints, or a network's file."""

from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.runs.model_file import SUFFIX, read_model
from occrobnet_jax.runs.restored import Restored


def read_trained(source: AnyPath, step: int | None = None) -> Restored:
    """Return what a run's checkpoint, by default the newest, or a network's file holds.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    if source.suffix.lower() == SUFFIX:
        return read_model(source)
    from occrobnet_jax.runs.restore import restore_for_inference  # orbax takes seconds to import

    return restore_for_inference(source, step)
