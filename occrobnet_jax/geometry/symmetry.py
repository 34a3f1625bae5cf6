"""Rotations of an object's rest pose that leave it as it is."""

import numpy as np

OBJECT_SYMMETRY = ("none", "half_turn_z", "any_turn_z", "sphere", "box")
"""Kinds, in the order of their numbers in a dataset: none; by 180 degrees about z; by any angle about z; any rotation;
the box's four half turns (180 degrees about x, y or z)."""

HALF_TURNS = np.array([np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))], np.float64)
"""None, and by 180 degrees about x, y and z."""
HALF_TURN_Z = 3  # its place in HALF_TURNS


def symmetry_number(name: str) -> int:
    """Return the number that stands for a kind of symmetry in a dataset."""
    return OBJECT_SYMMETRY.index(name)
