"""Joint orders against the table that data.md wrote down from the datasets' own files, not from our names."""

import itertools

import numpy as np
import pytest

from occrobnet_jax.skeleton import HO3D, INTERHAND, OPENPOSE, PARENTS, WRIST, permutation
from tests.conftest import REPOSITORY

ORDERS = {"INTERHAND": INTERHAND, "HO3D": HO3D, "OPENPOSE": OPENPOSE}
TABLE = {
    ("HO3D", "INTERHAND"): "16 15 14 13 17 3 2 1 18 6 5 4 19 12 11 10 20 9 8 7 0",
    ("INTERHAND", "HO3D"): "20 7 6 5 11 10 9 19 18 17 15 14 13 3 2 1 0 4 8 12 16",
    ("HO3D", "OPENPOSE"): "0 13 14 15 16 1 2 3 17 4 5 6 18 10 11 12 19 7 8 9 20",
    ("OPENPOSE", "HO3D"): "0 5 6 7 9 10 11 17 18 19 13 14 15 1 2 3 4 8 12 16 20",
    ("INTERHAND", "OPENPOSE"): "20 3 2 1 0 7 6 5 4 11 10 9 8 15 14 13 12 19 18 17 16",
    ("OPENPOSE", "INTERHAND"): "4 3 2 1 8 7 6 5 12 11 10 9 16 15 14 13 20 19 18 17 0",
}


@pytest.mark.parametrize(("source", "target"), TABLE)
def test_permutations_are_those_of_the_datasets(source: str, target: str) -> None:
    expected = [int(number) for number in TABLE[source, target].split()]
    assert permutation(ORDERS[source], ORDERS[target]) == expected


@pytest.mark.parametrize("way", list(itertools.product(ORDERS, repeat=3)), ids="-".join)
def test_there_and_back_by_any_way_is_the_identity(way: tuple[str, str, str]) -> None:
    joints = np.arange(21)
    for source, target in zip(way, (*way[1:], way[0]), strict=True):
        joints = joints[permutation(ORDERS[source], ORDERS[target])]
    np.testing.assert_array_equal(joints, np.arange(21))


def test_parents_lead_to_the_wrist() -> None:
    for joint in range(WRIST):
        steps, at = 0, joint
        while at != WRIST:
            at, steps = PARENTS[at], steps + 1
        assert steps == int(INTERHAND[joint][-1])


def test_the_documented_tables_are_these() -> None:
    text = (REPOSITORY / "docs" / "coming_from.md").read_text()
    shown = [pair for pair in TABLE if f"| {pair[0]} to {pair[1]} | {TABLE[pair]} |" in text]
    assert len(shown) == 4
