"""A batch is the same after it was packed for the way to the devices."""

import jax
import numpy as np
import pytest

from occrobnet_jax.parallel.packed_batch import PackedBatch
from tests.support.fake_batches import fake_batch
from tests.support.tiny import INPUT_SIZE_PX, tiny_model


@pytest.fixture
def fields() -> dict[str, np.ndarray]:
    """Of three examples."""
    batch = fake_batch(tiny_model(), INPUT_SIZE_PX, count=3)
    return {name: np.array(values) for name, values in vars(batch).items()}


def test_every_field_keeps_its_numbers_shape_and_type(fields):
    fields["joints_px"][0, 0, 0] = [np.nan, -0.0]
    fields["example_index"] = np.array([2**31 - 1, 0, -1], np.int32)
    unpacked = jax.device_get(jax.jit(PackedBatch.unpacked)(PackedBatch.of(fields)))
    for name, expected in fields.items():
        found = getattr(unpacked, name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name
        assert found.tobytes() == expected.tobytes(), name


def test_it_travels_as_three_arrays_with_one_row_an_example(fields):
    arrays = jax.tree.leaves(PackedBatch.of(fields))
    assert len(arrays) == 3
    assert {len(array) for array in arrays} == {3}


def test_the_order_of_the_fields_does_not_matter(fields):
    packed, turned = PackedBatch.of(fields), PackedBatch.of(dict(reversed(fields.items())))
    assert packed.layout == turned.layout
    np.testing.assert_array_equal(packed.labels, turned.labels)


def test_wide_numbers_are_refused(fields):
    with pytest.raises(ValueError, match="root_cam_m is float64"):
        PackedBatch.of(fields | {"root_cam_m": fields["root_cam_m"].astype(np.float64)})
