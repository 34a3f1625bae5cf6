"""A checkpoint's variables, laid out for evaluation on a mesh."""

from pathlib import Path

import jax
from flax import linen as nn
from jax.sharding import Mesh

from occrobnet_jax.evaluation.evaluate import Variables
from occrobnet_jax.parallel import hosts
from occrobnet_jax.parallel.mesh import replicated
from occrobnet_jax.training.restore import restore_for_inference
from occrobnet_jax.training.state import abstract_variables, leaves_by_path


def restore_variables(
    model: nn.Module, input_size_px: int, workdir: Path, step: int | None, mesh: Mesh
) -> tuple[Variables, int]:
    """Variables, a copy on every device, and step of the newest checkpoint, or of that of `step`.

    Raises:
        ValueError: there is none, it is damaged, or its arrays aren't those of the model.
    """
    restored = restore_for_inference(workdir, step)
    expected = abstract_variables(model, input_size_px)
    wanted = {path: leaf.shape for path, leaf in leaves_by_path(expected).items()}
    stored = {path: leaf.shape for path, leaf in leaves_by_path(restored.variables).items()}
    differing = [path for path in sorted(wanted | stored) if wanted.get(path) != stored.get(path)]
    if differing:
        first = differing[0]
        raise ValueError(
            f"the checkpoint of step {restored.step} in {workdir} does not fit the config's model: {len(differing)} "
            f"arrays differ, the first is {first}, {stored.get(first, 'absent')} where {wanted.get(first, 'none')} is "
            f"expected; take the config that it was trained with (see {workdir / 'config.json'})"
        )
    return jax.device_put(hosts.fetch(restored.variables), replicated(mesh)), restored.step
