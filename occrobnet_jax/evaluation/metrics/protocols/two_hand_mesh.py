"""InterHand2.6M as the papers on meshes of two hands score it (IntagHand, ACR, A2P, ...): the base of the middle finger
as the root, each hand scaled to the true length from wrist to that base.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.measures import Measure, Measures, per_joint, pooled
from occrobnet_jax.evaluation.metrics.protocols.conventions import AsDecoded, Extras
from occrobnet_jax.evaluation.metrics.protocols.depth import MM_PER_M
from occrobnet_jax.evaluation.metrics.protocols.interhand26m import kinds_of_samples
from occrobnet_jax.skeleton import LEFT, MIDDLE_BASE, RIGHT, WRIST


@dataclasses.dataclass(frozen=True)
class TwoHandMesh(AsDecoded):
    """The convention of IntagHand's evaluation script."""

    @property
    def name(self) -> str:
        """`interhand26m/two_hand_mesh`."""
        return f"interhand26m/two_hand_mesh{self.depth_suffix}"

    @property
    def words(self) -> str:
        """What the numbers are."""
        return (
            "IntagHand's script (CVPR 2022), also in ACR's, InterWild's and A2P's tables: hands joined at the base of "
            "the middle finger, scaled to the true length from wrist to that base; mean over the joints (the root, 0 "
            "by construction, counts) or vertices of hands that are fully known, then of left and right. The papers "
            "regress joints from MANO's vertices; here they are the joints of the file"
        )

    def rows(self, records: Records, extras: Extras) -> Bool[np.ndarray, " n"]:
        """Return the frames that know all joints of a hand."""
        return np.asarray(records["joint_annotated"].all(axis=-1).any(axis=-1))

    def measures(self, records: Records, setting: Setting, extras: Extras) -> Measures:
        """Yield MPJPE, and MPVPE where there are meshes, by kind of sample."""
        known = records["joint_annotated"].all(axis=-1)
        errors = middle_rooted_errors_mm(records)
        meshes = {}
        if "vertices_cam_m" in records and "predicted_vertices_rel_m" in records:
            meshes = {"mpvpe_mm": (mesh_errors_mm(records), known & records["vertices_known"].astype(bool))}
        for name, (values, valid) in ({"mpjpe_mm": (errors, known)} | meshes).items():
            for kind, members in kinds_of_samples(records).items():
                yield f"{name}/{kind}", hand_means(values, valid & members[:, None])
            for hand, hand_name in ((RIGHT, "right"), (LEFT, "left")):
                both = valid[:, hand] & kinds_of_samples(records)["interacting"]
                yield f"{name}/interacting/{hand_name}", pooled(values[:, hand].mean(axis=-1), both)


PUBLISHED = (TwoHandMesh(),)


def hand_means(values: Float[np.ndarray, "n 2 p"], valid: Bool[np.ndarray, "n 2"]) -> Measure:
    """Return each hand's mean over its points is a cell, so that the two hands weigh the same however often each
    occurs.
    """
    return per_joint(values.mean(axis=-1), valid)


def middle_rooted_errors_mm(records: Records) -> Float[np.ndarray, "n 2 21"]:
    """Return joint errors in mm."""
    own, truth = _joints(records)
    own_root, root = (joints[:, :, MIDDLE_BASE : MIDDLE_BASE + 1] for joints in (own, truth))
    return MM_PER_M * np.linalg.norm((own - own_root) * _scales(own, truth) - (truth - root), axis=-1)


def mesh_errors_mm(records: Records) -> Float[np.ndarray, "n 2 v"]:
    """Return the vertex errors in mm, under the root and the scale of the joints."""
    own, truth = _joints(records)
    own_root, root = (joints[:, :, MIDDLE_BASE : MIDDLE_BASE + 1] for joints in (own, truth))
    vertices = (records["predicted_vertices_rel_m"].astype(np.float64) - own_root) * _scales(own, truth)
    return MM_PER_M * np.linalg.norm(vertices - (records["vertices_cam_m"].astype(np.float64) - root), axis=-1)


def _joints(records: Records) -> tuple[np.ndarray, np.ndarray]:
    return records["predicted_joints_rel_m"].astype(np.float64), records["joints_cam_m"].astype(np.float64)


def _scales(own: Float[np.ndarray, "n 2 21 3"], truth: Float[np.ndarray, "n 2 21 3"]) -> Float[np.ndarray, "n 2 1 1"]:
    """Return true over predicted length from wrist to middle base; 1 where that has no length."""
    length, true_length = (np.linalg.norm(j[:, :, MIDDLE_BASE] - j[:, :, WRIST], axis=-1) for j in (own, truth))
    return np.where(length > 0, true_length / np.where(length > 0, length, 1.0), 1.0)[..., None, None]
