"""A trained network as a prediction needs it, wherever it was kept."""

from types import MappingProxyType
from typing import Any, NamedTuple

from flax import linen as nn

from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.runs.calibration import Calibration
from occrobnet_jax.runs.state import abstract_variables, leaves_by_path


class Restored(NamedTuple):
    """A checkpoint's, or a model file's, content."""

    config: dict[str, Any]
    variables: dict[str, Any]  # params (the averaged ones where there are any) and batch_stats
    step: int
    sha256: str  # over everything in the checkpoint
    calibration: Calibration = MappingProxyType({})  # of a network's file that was given one


def check_variables(model: nn.Module, input_size_px: int, restored: Restored, source: AnyPath) -> None:
    """Compare a checkpoint's arrays with those that a network has.

    Raises:
        ValueError: names or shapes differ.
    """
    expected = abstract_variables(model, input_size_px)
    wanted = {path: leaf.shape for path, leaf in leaves_by_path(expected).items()}
    stored = {path: leaf.shape for path, leaf in leaves_by_path(restored.variables).items()}
    differing = [path for path in sorted(wanted | stored) if wanted.get(path) != stored.get(path)]
    if differing:
        first = differing[0]
        raise ValueError(
            f"the checkpoint of step {restored.step} in {source} does not fit the config's model: {len(differing)} "
            f"arrays differ, the first is {first}, {stored.get(first, 'absent')} where {wanted.get(first, 'none')} is "
            f"expected; take the config that it was trained with (config.json in its workdir)"
        )
