"""How far programs are apart, and what is run of a file, where both are known."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tools.time_export import KINDS, differences, timed


def outputs(px: float) -> dict[str, np.ndarray]:
    zeros = {name: np.zeros((1, 2, 21)) for names in KINDS.values() for name in names}
    return zeros | {"joints_px": np.stack([np.zeros((2, 21)), np.full((2, 21), px)])[None]}


def test_differences_are_over_all_crops_and_outputs_of_a_kind():
    found = differences([outputs(1.0), outputs(3.0)], [outputs(0.0), outputs(0.0)])
    assert found == {"px": (1.0, 3.0), "m": (0.0, 0.0), "probability": (0.0, 0.0)}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux's /proc")
def test_a_stablehlo_file_is_run_on_each_crop(tmp_path: Path):
    program = jax.jit(lambda image, intrinsics: {"joints_px": image.sum() + intrinsics.sum()})
    shapes = jax.ShapeDtypeStruct((1, 4, 4, 3), jnp.uint8), jax.ShapeDtypeStruct((1, 3, 3), jnp.float32)
    path = tmp_path / "a.stablehlo"
    path.write_bytes(jax.export.export(program)(*shapes).serialize())
    crops = [(np.full((1, 4, 4, 3), value, np.uint8), np.ones((1, 3, 3), np.float32)) for value in (0, 1)]
    said = timed(path, crops)
    assert [float(each["joints_px"]) for each in said.outputs] == [9, 57]
    assert said.first_s > 0
    assert said.peak_mb > 10
