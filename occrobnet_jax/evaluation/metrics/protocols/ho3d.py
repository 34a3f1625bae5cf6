"""HO-3D v2 and v3 as the official eval.py scores them, formula for formula, in float64.

Per joint over frames, then over the 21 joints, the wrist too: unaligned; scaled and shifted so that the wrist and the
length from wrist to middle base agree; and aligned by its orthogonal Procrustes, which admits mirror images, with the
scale that the sum of singular values gives. Areas under PCK for thresholds from 0 to 50 mm. Meshes are aligned by
their own vertices. Errors here are mm; the script prints cm.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.measures import Measures, auc, per_joint, pooled
from occrobnet_jax.evaluation.metrics.mesh_errors import f_score
from occrobnet_jax.evaluation.metrics.protocols.conventions import AsDecoded, Extras
from occrobnet_jax.evaluation.metrics.protocols.depth import MM_PER_M
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.progress import progress
from occrobnet_jax.skeleton import INTERHAND, MIDDLE_BASE, RIGHT, WRIST

F_THRESHOLDS_MM = (5, 15)
ROUNDING_M = 1e-12
GUARD = 1e-8  # that the official script adds to norms


class Hands(NamedTuple):
    """Predicted and true right hands, in metres and the same axes, joints in our order."""

    joints_m: Float[np.ndarray, "n 21 3"]
    true_joints_m: Float[np.ndarray, "n 21 3"]
    vertices_m: Float[np.ndarray, "n v 3"] | None
    true_vertices_m: Float[np.ndarray, "n v 3"] | None


@dataclasses.dataclass(frozen=True)
class Ho3d(AsDecoded):
    """The official protocol of one version of the dataset."""

    version: str
    num_frames: int  # of the evaluation split

    @property
    def name(self) -> str:
        """`ho3d_v2/official`."""
        return f"ho3d_{self.version}/official{self.depth_suffix}"

    @property
    def words(self) -> str:
        """What the numbers are."""
        return (
            f"the official eval.py on HO-3D {self.version} ({self.num_frames:,} frames): /unaligned, "
            "/scale_translation (wrist joined, wrist to middle base of the true length), /procrustes (similarity, "
            "mirror images admitted); 21 joints, the wrist counts; F-scores and mesh errors on MANO vertices"
        )

    def notes(self, records: Records, setting: Setting) -> list[str]:
        """Return what makes the numbers of meshes no result of the benchmark."""
        if "predicted_vertices_rel_m" in records and not np.ptp(records["predicted_vertices_rel_m"], axis=2).any():
            return ["the predictions have no mesh (all vertices of a frame coincide): its numbers mean nothing"]
        return []

    @property
    def num_expected(self) -> int:
        """Frames of the evaluation split."""
        return self.num_frames

    @property
    def if_none(self) -> str:
        """Where labels are to be had."""
        return (
            "the predictions hold no labels, as HO-3D's evaluation split has none: give the released ground "
            "truth with --truth=evaluation_xyz.json --truth_vertices=evaluation_verts.json"
        )

    def rows(self, records: Records, extras: Extras) -> Bool[np.ndarray, " n"]:
        """Return the frames of which the whole right hand is known."""
        return np.asarray(records["joint_annotated"][:, RIGHT].all(axis=-1))

    def measures(self, records: Records, setting: Setting, extras: Extras) -> Measures:
        """Return joint and mesh errors under the three alignments."""
        return hand_measures(_right_hands(records))


PUBLISHED = (Ho3d("v2", 11_524), Ho3d("v3", 20_137))


def hand_measures(hands: Hands) -> Measures:
    """Return all numbers of the official script."""
    predicted, truth = hands.joints_m, hands.true_joints_m
    aligned = {
        "unaligned": predicted,
        "scale_translation": scale_translation(predicted, truth),
        "procrustes": official_procrustes(predicted, truth),
    }
    for alignment, joints in aligned.items():
        yield from _errors("mpjpe_mm", "auc_0_50mm", alignment, joints, truth)
    yield from _by_joint(aligned["procrustes"], truth)
    if hands.vertices_m is None or hands.true_vertices_m is None:
        return
    meshes = {
        "unaligned": hands.vertices_m,
        "procrustes": official_procrustes(hands.vertices_m, hands.true_vertices_m),
    }
    for alignment, vertices in meshes.items():
        yield from _errors("mpvpe_mm", "mesh_auc_0_50mm", alignment, vertices, hands.true_vertices_m)
        yield from _f_scores(alignment, vertices, hands.true_vertices_m)


def scale_translation(
    predicted: Float[np.ndarray, "n 21 3"], truth: Float[np.ndarray, "n 21 3"]
) -> Float[np.ndarray, "n 21 3"]:
    """Join the wrists, and scale the step from wrist to middle base to the true length.

    Where that step is 0 the prediction is multiplied by the true length, as the script does.
    """
    own, wanted = (
        np.linalg.norm(joints[:, MIDDLE_BASE] - joints[:, WRIST], axis=-1)[:, None, None]
        for joints in (predicted, truth)
    )
    scaled = predicted / np.where(own > 0, own, 1.0) * wanted
    return scaled - scaled[:, WRIST : WRIST + 1] + truth[:, WRIST : WRIST + 1]


def official_procrustes(
    predicted: Float[np.ndarray, "n p 3"], truth: Float[np.ndarray, "n p 3"]
) -> Float[np.ndarray, "n p 3"]:
    """Return the script's similarity: least squares over rotations and mirror images, with its guard in the norms."""
    center = truth.mean(axis=1, keepdims=True)
    shape, norm = _standardized(truth)
    own_shape, _ = _standardized(predicted)
    left, singular, right = np.linalg.svd(np.swapaxes(shape, 1, 2) @ own_shape)
    turned = own_shape @ np.swapaxes(left @ right, 1, 2)
    return turned * singular.sum(axis=1)[:, None, None] * norm + center


def _standardized(points: Float[np.ndarray, "n p 3"]) -> tuple[Float[np.ndarray, "n p 3"], Float[np.ndarray, "n 1 1"]]:
    centered = points - points.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.sum(centered**2, axis=(1, 2), keepdims=True)) + GUARD
    return centered / norm, norm


def _errors(
    mean_name: str,
    area_name: str,
    alignment: str,
    points: Float[np.ndarray, "n p 3"],
    truth: Float[np.ndarray, "n p 3"],
) -> Measures:
    errors = MM_PER_M * np.linalg.norm(points - truth, axis=-1)
    valid = np.ones(errors.shape, bool)
    yield f"{mean_name}/{alignment}", per_joint(errors, valid)
    yield f"{area_name}/{alignment}", per_joint(auc(errors), valid)


def _by_joint(aligned: Float[np.ndarray, "n 21 3"], truth: Float[np.ndarray, "n 21 3"]) -> Measures:
    errors = MM_PER_M * np.linalg.norm(aligned - truth, axis=-1)
    for joint, name in enumerate(INTERHAND):
        yield f"mpjpe_mm/procrustes/{name}", pooled(errors[:, joint], np.ones(len(errors), bool))


def _f_scores(alignment: str, vertices: Float[np.ndarray, "n v 3"], truth: Float[np.ndarray, "n v 3"]) -> Measures:
    pairs = progress(zip(vertices, truth, strict=True), f"F-scores, {alignment}", len(truth), delay_s=2.0)
    scores = np.array([f_score(own, true, F_THRESHOLDS_MM) for own, true in pairs])
    for column, threshold in enumerate(F_THRESHOLDS_MM):
        yield f"f_score_{threshold}mm/{alignment}", pooled(scores[:, column], np.ones(len(scores), bool))


def _right_hands(records: Records) -> Hands:
    """Return the right hand in the camera frame, where the predictions put it; meshes where the records have them."""

    def right(name: str) -> np.ndarray:
        return records[name][:, RIGHT].astype(np.float64)

    wrist = right("predicted_root_cam_m")[:, None]
    joints, true_joints = root_relative(right("predicted_joints_rel_m")) + wrist, right("joints_cam_m")
    vertices, truth = None, None
    if "predicted_vertices_rel_m" in records and "vertices_cam_m" in records:
        truth = right("vertices_cam_m")
        vertices = _without_rounding(right("predicted_vertices_rel_m") + wrist, truth)
    return Hands(_without_rounding(joints, true_joints), true_joints, vertices, truth)


def _without_rounding(points: Float[np.ndarray, "n p 3"], truth: Float[np.ndarray, "n p 3"]) -> np.ndarray:
    """Return points that were equal to the true ones before a wrist was subtracted and added again, which PCK at 0 mm
    sees.
    """
    return np.where(np.abs(points - truth) < ROUNDING_M, truth, points)
