"""Errors of the object's pose relative to the hand, up to the symmetries of the object."""

import numpy as np
from jaxtyping import Bool, Float, Int

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.metrics.groups import example_groups, grouped
from occrobnet_jax.evaluation.metrics.joint_errors import MM_PER_M
from occrobnet_jax.evaluation.metrics.measures import Measures
from occrobnet_jax.geometry.symmetry import HALF_TURNS, OBJECT_SYMMETRY
from occrobnet_jax.skeleton import LEFT, RIGHT


def object_measures(records: Records) -> Measures:
    """Yield translation error (from the reference wrist), mean corner distance, and rotation angle where there is one.

    The reference wrist is the right one, or the left where there is no right hand. A rotation counts as the nearest
    of those that a symmetry makes equal; of spheres none counts. Nothing is yielded for a network without object
    heads.
    """
    if np.isnan(records["predicted_object_translation_m"]).all():
        return
    rotation = records["object_rotation"].astype(np.float64)
    translation, valid = true_translation_m(records)
    shift = records["predicted_object_translation_m"].astype(np.float64) - translation
    predicted = equivalent_rotations(
        records["predicted_object_rotation"].astype(np.float64), rotation, records["object_symmetry"]
    )
    corners = records["object_corners_rest_m"].astype(np.float64)[:, None]
    turned = corners @ np.swapaxes(predicted - rotation[:, None], -1, -2)
    corner_error = np.linalg.norm(turned + shift[:, None, None], axis=-1).mean(axis=-1).min(axis=-1)
    angle = rotation_angles_deg(predicted, rotation[:, None]).min(axis=-1)
    has_rotation = valid & (records["object_symmetry"] != OBJECT_SYMMETRY.index("sphere"))
    groups = example_groups(records)
    yield from grouped("object_translation_error_mm", MM_PER_M * np.linalg.norm(shift, axis=-1), valid, groups)
    yield from grouped("object_corner_error_mm", MM_PER_M * corner_error, valid, groups)
    yield from grouped("object_rotation_error_deg", angle, has_rotation, groups)


def equivalent_rotations(
    rotations: Float[np.ndarray, "n 3 3"], target: Float[np.ndarray, "n 3 3"], symmetry: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n 4 3 3"]:
    """Return the rotations that look like the given ones, as four candidates of which one is the nearest to the target.

    Continuous symmetries are resolved in closed form, so all four candidates are then the same.
    """
    turns = np.empty((len(rotations), 4, 3, 3))
    difference = np.swapaxes(target, -1, -2) @ rotations
    for number, kind in enumerate(OBJECT_SYMMETRY):
        turns[symmetry == number] = _symmetry_turns(kind, difference[symmetry == number])
    return rotations[:, None] @ turns


def _symmetry_turns(symmetry: str, difference: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "#n #4 3 3"]:
    """Turn of the rest pose that change nothing, of continuous ones the one that undoes most of each `difference`."""
    if symmetry == "box":
        return HALF_TURNS[None]
    if symmetry == "half_turn_z":
        return HALF_TURNS[None, [0, 3, 0, 3]]
    if symmetry == "any_turn_z":
        return _best_turn_z(difference)[:, None]
    if symmetry == "sphere":
        return np.swapaxes(difference, -1, -2)[:, None]
    return HALF_TURNS[None, :1]


def _best_turn_z(difference: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Return the turn Z about z that makes difference @ Z the smallest rotation, that is of the largest trace."""
    angle = np.arctan2(difference[:, 0, 1] - difference[:, 1, 0], difference[:, 0, 0] + difference[:, 1, 1])
    turn = np.zeros(difference.shape)
    turn[:, 0, 0], turn[:, 0, 1], turn[:, 2, 2] = np.cos(angle), -np.sin(angle), 1.0
    turn[:, 1, 0], turn[:, 1, 1] = np.sin(angle), np.cos(angle)
    return turn


def rotation_angles_deg(
    first: Float[np.ndarray, "*n 3 3"], second: Float[np.ndarray, "*#n 3 3"]
) -> Float[np.ndarray, "*n"]:
    """Return the angle of the rotation between two."""
    cosine = (np.sum(first * second, axis=(-2, -1)) - 1) / 2
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def true_translation_m(records: Records) -> tuple[Float[np.ndarray, "n 3"], Bool[np.ndarray, " n"]]:
    """Return the object seen from the reference wrist, and where both are known."""
    present = records["hand_present"]
    reference = np.where(present[:, RIGHT], RIGHT, LEFT)
    rows = np.arange(len(reference))
    translation = records["object_translation_m"].astype(np.float64) - records["root_cam_m"][rows, reference]
    valid = records["object_known"] & records["hand_present_known"] & present.any(axis=1)
    return translation, valid & records["root_known"][rows, reference]
