"""What is said of a prediction."""

import dataclasses
import json
import re

import numpy as np
import pytest

from occrobnet_jax.inference.results import MOST_FIT_ERROR, hand_json, is_3d_consistent, page_entry, readable_json
from occrobnet_jax.skeleton import LEFT, RIGHT
from tests.support.seen_hands import HAND_PX, prediction

SIDE_PX = (HAND_PX.max(0) - HAND_PX.min(0)).max()


@pytest.mark.parametrize(("share", "is_consistent"), [(0.9, True), (1.1, False)])
def test_a_3d_hand_that_misses_its_own_2d_joints_is_not_to_be_used(share, is_consistent):
    error_px = np.array([0.0, share * MOST_FIT_ERROR * SIDE_PX])
    said = dataclasses.replace(prediction(LEFT, HAND_PX), root_fit_error_px=error_px)
    assert is_3d_consistent(said, LEFT) is is_consistent
    assert hand_json(said, LEFT)["is_3d_consistent"] is is_consistent


def test_json_and_page_tell_how_sure_the_finder_was():
    found = dataclasses.replace(prediction(LEFT, HAND_PX), finder_probability=np.array([np.nan, 0.625]))
    assert [hand_json(found, hand)["finder_probability"] for hand in (RIGHT, LEFT)] == [None, 0.625]
    assert hand_json(prediction(LEFT, HAND_PX), LEFT)["finder_probability"] is None  # a box that was given
    (crop,) = page_entry([found], found.photo, "a")["crops"]
    said = dict(crop["facts"])
    assert (said["right hand"], said["left hand"]) == ("0.00", "0.90 (found at 0.62)")


CONTENT = {'a "b"': [[1.5, -2e-07], [3.0]], "names": ["wrist", "手"], "none": None, "empty": [], "no": {}, "is": True}


def test_json_has_a_line_for_each_field_and_one_for_each_array_of_numbers():
    """As the json module writes it, but for the arrays of numbers."""
    content = CONTENT | {"inner": {"crops": [CONTENT, CONTENT], "pair": ("x", "y")}}
    on_one_line = re.sub(r"\[[-\d.e,\s]*\]", lambda array: "".join(array[0].split()), json.dumps(content, indent=1))
    assert readable_json(content).replace(", ", ",") == on_one_line.replace(", ", ",")
    assert "[1.5, -2e-07]" in readable_json(content)


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_json_has_no_number_that_json_does_not_know(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        readable_json({"a": [1.0, number]})
