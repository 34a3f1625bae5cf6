"""Errors of the object's pose: MSSD as Keypoint Transformer reports it, ADD and its kin as the 6D pose papers do.

The object is seen from the right wrist (the left one where it is alone), in both prediction and truth.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.object_models import ObjectModel, model_of
from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.measures import Measures, pooled
from occrobnet_jax.evaluation.metrics.mesh_errors import nearest_distances
from occrobnet_jax.evaluation.metrics.objects import true_translation_m
from occrobnet_jax.evaluation.metrics.protocols.conventions import Convention, Extras, need
from occrobnet_jax.evaluation.metrics.protocols.depth import MM_PER_M
from occrobnet_jax.geometry.symmetry import HALF_TURNS, OBJECT_SYMMETRY
from occrobnet_jax.progress import progress

STEP_DEG = 5  # in which turns about an axis are tried
ADD_SHARE = 0.1  # of the diameter
Turns = Float[np.ndarray, "t 3 3"]


def turns_about_z(step_deg: int) -> Turns:
    """Return rotations about z in equal steps, from none."""
    angles = np.radians(np.arange(0, 360, step_deg))
    cosine, sine, zero = np.cos(angles), np.sin(angles), np.zeros(len(angles))
    rows = ((cosine, -sine, zero), (sine, cosine, zero), (zero, zero, zero + 1))
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=1)


NO_TURN, HALF_TURN_Z, ANY_TURN_Z = HALF_TURNS[:1], HALF_TURNS[[0, 3]], turns_about_z(STEP_DEG)


@dataclasses.dataclass(frozen=True)
class ObjectPose(Convention):
    """A convention: which objects look the same from two sides, and which frames count."""

    published: str
    described: str
    half_turns: frozenset[int]  # YCB numbers of what a half turn about z leaves as it is
    any_turns: frozenset[int]  # and of what any turn about z does
    left_out: frozenset[int]  # objects
    sequences_left_out: tuple[bytes, ...] = ()  # beginnings of their names
    least_share: float | None = None  # of the crop, that must show the object, which must be seen at all
    symmetries_of_the_file: bool = False  # instead of the lists

    @property
    def name(self) -> str:
        """`object/kypt_ho3d` and the like."""
        return f"object/{self.published}"

    @property
    def words(self) -> str:
        """What the numbers are."""
        return (
            f"{self.described}; seen from the right wrist. MSSD: largest vertex distance, least over the symmetries; "
            "ADD: mean vertex distance; ADD-S: mean distance from each true vertex to the nearest predicted one; "
            "ADD-0.1d: share of frames below a tenth of the diameter by ADD, of symmetric objects by ADD-S; corner: "
            "mean over the 8 corners, least over the symmetries; centre: of the box. Without --object_models a box's "
            "corners stand for its vertices"
        )

    def rows(self, records: Records, extras: Extras) -> Bool[np.ndarray, " n"]:
        """Return the frames with a known object that the convention doesn't leave out."""
        rows = true_translation_m(records)[1] & ~np.isin(records["object_id"], list(self.left_out))
        if self.sequences_left_out:
            names = need(records, "sequence", self.name)
            rows &= ~np.any([np.char.startswith(names, start) for start in self.sequences_left_out], axis=0)
        if self.least_share is not None:
            share = need(records, "object_share", self.name)  # below 0 where it isn't known
            rows &= (share < 0) | ((share > 0) & (share >= self.least_share))
        return rows

    def measures(self, records: Records, setting: Setting, extras: Extras) -> Measures:
        """Return the errors over all frames, and the largest distance of each object.

        Raises:
            ValueError: the network predicts no object, or an object has no model.
        """
        if np.isnan(records["predicted_object_translation_m"]).any():
            raise ValueError("the predictions hold no poses of objects")
        errors = self._errors(records, extras.object_models)
        everything = np.ones(len(records["object_id"]), bool)
        for name, values in errors.items():
            yield name, pooled(values, everything)
        for number in np.unique(records["object_id"]):
            yield f"mssd_mm/object_{number:03d}", pooled(errors["mssd_mm"], records["object_id"] == number)

    def _errors(self, records: Records, models: Mapping[int, ObjectModel]) -> dict[str, Float[np.ndarray, " n"]]:
        translations = true_translation_m(records)[0]
        rows, numbers = [], records["object_id"]
        for row, number in enumerate(progress(numbers, self.name, len(numbers), delay_s=2.0)):
            own = (records["predicted_object_rotation"][row], records["predicted_object_translation_m"][row])
            true = (records["object_rotation"][row], translations[row])
            corners = records["object_corners_rest_m"][row].astype(np.float64)
            model = model_of(models, int(number), corners)
            turns, is_symmetric = self._turns(records, row)
            rows.append(pose_errors(_float64(own), _float64(true), model, corners, turns, is_symmetric))
        return {name: np.array([row[name] for row in rows]) for name in rows[0]}

    def _turns(self, records: Records, row: int) -> tuple[Turns, bool]:
        """Turn of the rest pose that make no difference, and whether there are any but none."""
        number = int(records["object_id"][row])
        symmetry = OBJECT_SYMMETRY[records["object_symmetry"][row]]
        if not self.symmetries_of_the_file:
            symmetry = "any_turn_z" if number in self.any_turns else "none"
            symmetry = "half_turn_z" if number in self.half_turns else symmetry
        if symmetry == "sphere":
            own, true = (records[name][row].astype(np.float64) for name in _ROTATIONS)
            return (true.T @ own)[None], True
        turns = {"none": NO_TURN, "half_turn_z": HALF_TURN_Z, "any_turn_z": ANY_TURN_Z, "box": HALF_TURNS}[symmetry]
        return turns, symmetry != "none"


_ROTATIONS = ("predicted_object_rotation", "object_rotation")
HALF_TURN_IDS = frozenset({6, 10, 21})
PUBLISHED = (
    ObjectPose(
        "kypt_ho3d",
        "Keypoint Transformer's code on HO-3D: half turns of 006, 010 and 021 make no difference, AP1* (pitcher, not "
        "in the training set) and frames whose crop doesn't show the object left out",
        HALF_TURN_IDS,
        frozenset(),
        frozenset(),
        sequences_left_out=(b"AP1",),
        least_share=0.0,
    ),
    ObjectPose(
        "kypt_h2o3d",
        "Keypoint Transformer's code on H2O-3D: half turns of 003, 004, 006, 010, 021 and turns in steps of 5 degrees "
        "of 019, 024, 025 make no difference; 004 and objects below 2 % of the crop left out",
        HALF_TURN_IDS | {3, 4},
        frozenset({19, 24, 25}),
        frozenset({4}),
        least_share=0.02,
    ),
    ObjectPose(
        "own",
        "ours: the symmetries that the dataset's converter gives each object, every frame",
        *(frozenset[int](), frozenset[int](), frozenset[int]()),
        symmetries_of_the_file=True,
    ),
)


def pose_errors(
    own: tuple[np.ndarray, np.ndarray],
    true: tuple[np.ndarray, np.ndarray],
    model: ObjectModel,
    corners_m: Float[np.ndarray, "8 3"],
    turns: Turns,
    is_symmetric: bool,
) -> dict[str, float]:
    """Return all errors of one pose, by name.

    Args:
        own: rotation [3, 3] and translation (m).
        true: the same.
        model: the object's surface at rest.
        corners_m: of its box at rest.
        turns: of the rest pose, that look the same; the truth is turned, as in Keypoint Transformer's `evaluate`
            (data/dataset_ho3d.py), which differs where the points are no symmetric set.
        is_symmetric: which of ADD and ADD-S decides about ADD-0.1d.
    """
    posed, truth = model.points_m @ own[0].T + own[1], model.points_m @ true[0].T + true[1]
    apart = [_distances_mm(posed, model.points_m @ (true[0] @ turn).T + true[1]) for turn in turns]
    own_corners = corners_m @ own[0].T + own[1]
    corner = [_distances_mm(own_corners, corners_m @ (true[0] @ turn).T + true[1]).mean() for turn in turns]
    center = corners_m.mean(axis=0, keepdims=True)
    add = _distances_mm(posed, truth).mean()
    add_s = MM_PER_M * nearest_distances(truth, posed).mean()
    deciding = add_s if is_symmetric else add
    return {
        "mssd_mm": min(each.max() for each in apart),
        "add_mm": add,
        "add_s_mm": add_s,
        "add_0.1d": float(deciding < ADD_SHARE * MM_PER_M * model.diameter_m),
        "corner_error_mm": min(corner),
        "centre_error_mm": _distances_mm(center @ own[0].T + own[1], center @ true[0].T + true[1]).item(),
    }


def _distances_mm(first: Float[np.ndarray, "p 3"], second: Float[np.ndarray, "p 3"]) -> Float[np.ndarray, " p"]:
    return MM_PER_M * np.linalg.norm(first - second, axis=-1)


def _float64(pose: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return pose[0].astype(np.float64), pose[1].astype(np.float64)
