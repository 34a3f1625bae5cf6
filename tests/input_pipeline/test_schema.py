import numpy as np
import pytest

from input_pipeline.schema import ARRAY_FIELDS, empty_example, validate_example
from occrobnet_jax.skeleton import VISIBILITY
from tests.support.fake_datasets import fake_example


@pytest.mark.parametrize("index", range(6))
def test_good_examples_pass(index):
    validate_example(fake_example(index, size=32))


def test_an_empty_example_is_not_a_finished_one():
    with pytest.raises(ValueError, match="image is empty"):
        validate_example(empty_example())


def broken(name, change):
    """A good example of two hands and an object whose field `name` is replaced."""
    example = fake_example(5, size=32)
    value = example[name]
    example[name] = change(value.copy() if isinstance(value, np.ndarray) else value)
    return example


def put(where, number):
    def change(array):
        array[where] = number
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("joints_cam_m", lambda value: value[:, :20], r"joints_cam_m is float32\(2, 20, 3\)"),
        ("joints_cam_m", lambda value: value.astype(np.float64), "joints_cam_m is float64"),
        ("joints_cam_m", put((0, 3, 1), np.nan), "joints_cam_m holds values that are not finite"),
        ("joints_cam_m", put((1, 3, 2), -0.5), "front of the camera"),
        ("joints_annotated", put((0, 4), 0), "isn't zero where"),
        ("joints_annotated", put((0, 4), 2), "joints_annotated holds the value 2"),
        ("visibility", put((0, 4), len(VISIBILITY)), "visibility holds the value 7"),
        ("visible_share", put((0, 4), 1.5), "visible_share"),
        ("root_cam_m", put((0, 2), -1.0), "root_cam_m"),
        ("intrinsics", put((0, 0), 0.0), "intrinsics"),
        ("intrinsics", put((2, 0), 1.0), "intrinsics"),
        ("box_px", put(2, -100.0), "box_px"),
        ("object_rotation", put((0, 0), 2.0), "not a rotation"),
        ("object_rotation", lambda value: -value, "not a rotation"),
        ("object_translation_m", put(2, -0.4), "the object isn't in front"),
        ("object_symmetry", lambda value: np.int32(9), "object_symmetry"),
        ("height", lambda value: np.int32(0), "height"),
        ("image", lambda value: b"", "image is empty"),
        ("image", lambda value: "text", "image is a str"),
        ("key", lambda value: "", "key must have"),
        ("key", lambda value: 97 * "k", "key must have"),
    ],
)
def test_broken_examples_are_refused_by_field(name, change, message):
    with pytest.raises(ValueError, match=f"example .*{message}"):
        validate_example(broken(name, change))


def test_missing_and_unknown_fields_are_named():
    example = fake_example(0, size=32)
    example["joints_mm"] = example.pop("joints_cam_m")
    with pytest.raises(ValueError, match=r"missing: \['joints_cam_m'\], unknown: \['joints_mm'\]"):
        validate_example(example)


def test_every_array_field_is_checked():
    for name in ARRAY_FIELDS:
        with pytest.raises(ValueError, match=name):
            validate_example(broken(name, lambda value: np.zeros((7, 7))))
