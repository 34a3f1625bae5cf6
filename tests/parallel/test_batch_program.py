"""A batch is the same after its way to the devices."""

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

from occrobnet_jax.parallel import batch_program
from occrobnet_jax.parallel.batch_program import BatchProgram, PackedBatch
from occrobnet_jax.parallel.mesh import MeshConfig, batch_sharding, make_mesh, replicated
from occrobnet_jax.types import Batch
from tests.support.fake_batches import fake_batch
from tests.support.tiny import INPUT_SIZE_PX, tiny_model

COUNT = 8


@pytest.fixture
def fields() -> dict[str, np.ndarray]:
    """Of one example a device."""
    batch = fake_batch(tiny_model(), INPUT_SIZE_PX, count=COUNT)
    return {name: np.array(values) for name, values in vars(batch).items()}


def test_every_field_keeps_its_numbers_shape_and_type(fields):
    fields["joints_px"][0, 0, 0] = [np.nan, -0.0]
    fields["example_index"] = np.array([2**31 - 1, 0, -1, *range(COUNT - 3)], np.int32)
    mesh = make_mesh(MeshConfig())
    program = BatchProgram(lambda _, batch: batch, mesh, result=batch_sharding(mesh))
    unpacked = jax.device_get(program(None, Batch.of(fields)))
    for name, expected in fields.items():
        found = getattr(unpacked, name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        assert found.tobytes() == expected.tobytes(), name


def test_it_travels_as_three_arrays_with_one_row_an_example(fields):
    arrays = jax.tree.leaves(PackedBatch.of(Batch.of(fields)))
    assert len(arrays) == 3
    assert {len(array) for array in arrays} == {COUNT}


def test_wide_numbers_are_refused(fields):
    with pytest.raises(ValueError, match="root_cam_m is float64"):
        PackedBatch.of(Batch.of(fields | {"root_cam_m": fields["root_cam_m"].astype(np.float64)}))


def test_a_batch_travels_where_nothing_else_may(fields, monkeypatch):
    """Several hosts put their shares together in a way that the guard takes for an oversight."""

    def put_together(batch: PackedBatch, mesh: Mesh) -> PackedBatch:
        layout = batch_sharding(mesh)
        return jax.tree.map(
            lambda array: jax.make_array_from_callback(array.shape, layout, lambda index: array[index]), batch
        )

    monkeypatch.setattr(batch_program, "place_batch", put_together)
    mesh = make_mesh(MeshConfig())
    program = BatchProgram(lambda _, batch: batch.joints_px.sum(), mesh, result=replicated(mesh))
    with jax.transfer_guard("disallow"):
        total = program(None, Batch.of(fields))
    np.testing.assert_allclose(total, fields["joints_px"].sum(), rtol=1e-5)
