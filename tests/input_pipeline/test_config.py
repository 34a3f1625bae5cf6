import dataclasses

import jaxtyping
import pytest

from input_pipeline.config import DataConfig


def test_defaults_are_valid_and_frozen():
    config = DataConfig()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.name = "other"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input_size_px", 0),
        ("input_size_px", 100),
        ("shares", (0.5, 0.5)),
        ("shares", (0.9,)),
        ("num_workers", -1),
        ("box_pad_px", -1.0),
        ("box_scale", 0.0),
        ("box_source", "detector"),
        ("black_frames", "drop"),
        ("shift_share", -0.1),
        ("scale_share", 1.0),
        ("colour_share", 1.5),
        ("rotation_deg", 270.0),
        ("rotation_max_deg", 181.0),
        ("jpeg_probability", 1.1),
        ("rotation_probability", 1.1),
        ("flip_probability", -0.5),
    ],
)
def test_values_out_of_range_are_named(field, value, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # the tests' type checker would be first to object
    with pytest.raises(ValueError, match=f"data.{field}="):
        DataConfig(**{field: value})
