"""The table of fields against what really flows: the types, a crop of an example, and the axes that they name."""

import dataclasses

import numpy as np
import pytest

from input_pipeline.config import DataConfig
from input_pipeline.transforms import crop_example
from occrobnet_jax import fields
from occrobnet_jax.types import Batch, Pose
from tests.support.fake_datasets import fake_example

LENGTHS = {"n": fields.HANDS, "j": fields.JOINTS}


def rows(table):
    return {field.name: field for field in table}


@pytest.mark.parametrize(("kind", "table"), [(Batch, fields.BATCH), (Pose, (*fields.POSE, *fields.OPTIONAL))])
def test_the_types_have_these_fields_in_this_order_and_with_these_axes(kind, table):
    declared = dataclasses.fields(kind)
    assert [field.name for field in declared] == [field.name for field in table]
    for of_type, field in zip(declared, table, strict=True):
        array = getattr(of_type.type, "__args__", (of_type.type,))[0]
        axes = array.dim_str.split()[1:]
        assert len(axes) == len(field.shape), field.name
        for axis, length in zip(axes, field.shape, strict=True):
            known = LENGTHS.get(axis, int(axis) if axis.isdecimal() else None)
            assert known == length, field.name
        assert (axes[:1] == ["n"]) == field.of_hands or kind is Pose, field.name


def test_a_crop_has_these_shapes_and_types():
    row = crop_example(fake_example(2), DataConfig(input_size_px=64), 4)
    assert row.keys() - {"key"} == rows(fields.BATCH).keys()
    for name, field in rows(fields.BATCH).items():
        value = np.asarray(row[name])
        assert value.dtype == field.dtype, name
        assert len(value.shape) == len(field.shape), name
        assert all(length in (None, size) for length, size in zip(field.shape, value.shape, strict=True)), name


def test_masks_are_flags():
    assert all(field.dtype is np.bool_ for field in fields.BATCH if field.is_mask)
