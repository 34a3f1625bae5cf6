"""A teacher's labels of photos in the custom format."""

from pathlib import Path
from typing import Any

import pytest

from tools.photo_labels import custom_images


def label(image: str = "a.jpg", hand: str = "right", **more: Any) -> dict[str, Any]:
    return {"image": image, "hand": hand, "joints_px": [[1.0, 2.0]] * 21, "set": "homes_train", **more}


def images(*labels: dict[str, Any], most_disagreement: float = 0.02) -> list[dict[str, Any]]:
    return custom_images(labels, most_disagreement, ("homes_val",), Path("labels.json"))


def test_sets_that_are_held_out_are_splits_of_their_own():
    found = images(label(), label("b.jpg", set="homes_val"))
    assert [(image["file"], image["split"], image["sequence"]) for image in found] == [
        ("images/a.jpg", "train", "homes_train"),
        ("images/b.jpg", "homes_val", "homes_val"),
    ]
    assert found[0]["right"] == {"joints_px": [[1.0, 2.0]] * 21}


def test_hands_that_the_teacher_is_unsure_of_are_left_out_and_then_others_may_be_there():
    (both,) = images(label(), label(hand="left"))
    assert both["all_hands"] is True
    assert {"right", "left"} <= both.keys()
    (one,) = images(label(disagreement=0.01), label(hand="left", disagreement=0.05))
    assert one["all_hands"] is False
    assert "left" not in one
    assert images(label(disagreement=0.05)) == []


def test_a_hand_that_nobody_labeled_and_a_second_one_of_the_same_side_may_be_there():
    (unlabeled,) = images(label(hands_in_photo=2))
    (twice,) = images(label(score=0.9, box=[0, 0, 9, 9]), label(score=0.5, box=[5, 5, 8, 8]))
    assert (unlabeled["all_hands"], twice["all_hands"]) == (False, False)
    assert twice["box"] == [0, 0, 9, 9]


@pytest.mark.parametrize("wrong", [label(hand="both"), label("../a.jpg"), label("")])
def test_what_is_no_label_is_refused(wrong):
    with pytest.raises(ValueError, match=r"must be one of|not the name of a file"):
        images(wrong)
