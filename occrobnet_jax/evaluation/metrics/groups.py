"""Subsets of joints and of examples that a metric is split by."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.metrics.measures import Measure
from occrobnet_jax.skeleton import FINGERS, HAND_NAMES, INTERHAND, LEFT, RIGHT, SCENE_KINDS, VISIBILITY, finger_of

Groups = dict[str, np.ndarray]
"""From a suffix of metric names ("" for everything, "/occluded", ...) to a mask."""

EVERYTHING: Groups = {"": np.array(True)}

JOINT_GROUPS = ("", *(f"/{name}" for name in (*SCENE_KINDS, *VISIBILITY[1:], "occluded", *HAND_NAMES, *FINGERS)))
"""The suffixes of `joint_groups`."""

HIDDEN = tuple(VISIBILITY.index(name) for name in ("own_hand", "other_hand", "object", "something"))


def scene_kinds(records: Records) -> Int[np.ndarray, " n"]:
    """Return each example's index into `skeleton.SCENE_KINDS`; -1 where the hands are not known."""
    hands = records["hand_present"].astype(int).sum(axis=1)
    with_object = records["object_known"].astype(int)
    kind = 2 * (hands - 1) + with_object
    return np.where(records["hand_present_known"] & (hands > 0), kind, -1)


def example_groups(records: Records) -> dict[str, Bool[np.ndarray, " n"]]:
    """Return all examples, and those of each kind of scene."""
    kinds = scene_kinds(records)
    return {"": np.ones(len(kinds), bool)} | {f"/{name}": kinds == i for i, name in enumerate(SCENE_KINDS)}


def joint_groups(records: Records) -> dict[str, Bool[np.ndarray, "n 2 21"]]:
    """Return all joints, and those of each visibility class, kind of scene, hand and finger; `/occluded`
    by whatever.
    """
    visibility = records["visibility"]
    shape = visibility.shape
    groups: Groups = {
        name: np.broadcast_to(mask[:, None, None], shape) for name, mask in example_groups(records).items()
    }
    groups |= {f"/{name}": visibility == i for i, name in enumerate(VISIBILITY) if name != "unknown"}
    groups["/occluded"] = np.isin(visibility, HIDDEN)
    hand = np.array([RIGHT, LEFT])[:, None]
    groups |= {f"/{name}": np.broadcast_to(hand == i, shape) for i, name in enumerate(HAND_NAMES)}
    fingers = np.array([finger_of(joint) for joint in range(len(INTERHAND))])
    return groups | {f"/{name}": np.broadcast_to(fingers == name, shape) for name in FINGERS}


def grouped(name: str, values: np.ndarray, valid: np.ndarray, groups: Groups) -> Iterator[tuple[str, Measure]]:
    """Yield the plain mean of the valid values of each group, under `name` plus the group's suffix."""
    rows, counts = (len(values), -1), valid.astype(np.float64)
    kept = np.where(valid, values, 0.0)
    for suffix, member in groups.items():
        sums = [(part * member).reshape(rows).sum(axis=1, keepdims=True) for part in (kept, counts)]
        yield name + suffix, Measure(*sums)
