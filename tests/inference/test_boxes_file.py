"""Boxes of many photos in one file: each photo gets its own, and a file that is none is told."""

import json
from pathlib import Path

import pytest

from occrobnet_jax.inference.inputs import read_boxes

IMAGES = [Path("a/one.jpg"), Path("a/two.jpg"), Path("b/two.jpg")]


def test_each_photo_has_its_boxes(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"one.jpg": [[1, 2, 30, 40.5], [50, 2, 90, 40]]}))
    assert read_boxes(path, IMAGES) == {"one.jpg": [(1.0, 2.0, 30.0, 40.5), (50.0, 2.0, 90.0, 40.0)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[]", "must be an object"),
        ('{"three.jpg": [[1, 2, 3, 4]]}', "'three.jpg', which is 0 of the 3 photos"),
        ('{"two.jpg": [[1, 2, 3, 4]]}', "'two.jpg', which is 2 of the 3 photos"),
        ('{"one.jpg": []}', "must have a list of 1 to 100 boxes"),
        ('{"one.jpg": [1, 2, 3, 4]}', r"has a box 1; it must be \[x0"),
        ('{"one.jpg": [[1, 2, 3]]}', r"has a box \[1, 2, 3\]"),
        ('{"one.jpg": [[1, 2, 3, "4"]]}', "has a box"),
        ('{"one.jpg": [[true, 2, 3, 4]]}', "has a box"),
        ('{"one.jpg": [[NaN, 2, 3, 4]]}', "has a box"),
        ('{"one.jpg": [[1, 2, Infinity, 4]]}', "has a box"),
        ('{"one.jpg": [[5, 2, 3, 4]]}', "with x0 < x1 and y0 < y1"),
    ],
)
def test_a_file_that_is_none_is_told(text, message, tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_boxes(path, IMAGES)
