"""H2O-3D on labels that are at hand: a split of its training sequences, since its test labels are not public.

The server's exact alignment isn't published. These numbers are named as ours and must not be set beside a published
one.
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.measures import Measures, auc, per_joint, pooled
from occrobnet_jax.evaluation.metrics.protocols.conventions import AsDecoded, Extras
from occrobnet_jax.evaluation.metrics.protocols.depth import MM_PER_M
from occrobnet_jax.geometry.alignment import from_right_wrist, root_relative
from occrobnet_jax.skeleton import HAND_NAMES, LEFT, RIGHT, WRIST


@dataclasses.dataclass(frozen=True)
class H2o3d(AsDecoded):
    """Both hands relative to their own wrist, and as submissions hold them, relative to the right one."""

    wrist: str = "counted"

    SWITCHES: ClassVar[Mapping[str, tuple[str, ...]]] = {"wrist": ("counted", "left_out")}

    @property
    def name(self) -> str:
        """`h2o3d/local`."""
        wrist = "" if self.wrist == "counted" else f"+wrist={self.wrist}"
        return f"h2o3d/local{wrist}{self.depth_suffix}"

    @property
    def words(self) -> str:
        """What the numbers are."""
        return (
            "ours, on a split with labels: /own_wrist joins each hand's wrist to its true one, /right_wrist only the "
            "right one, as submissions are written; per joint over samples, then over 42 joints; MRRPE from the "
            f"network's own head; wrist={self.wrist}. The server's own alignment is not published"
        )

    def measures(self, records: Records, setting: Setting, extras: Extras) -> Measures:
        """Yield MPJPE and its area in both frames, of each hand too, and MRRPE."""
        truth = records["joints_cam_m"].astype(np.float64)
        own = root_relative(records["predicted_joints_rel_m"].astype(np.float64))
        annotated = records["joint_annotated"].astype(bool)
        valid = annotated & annotated[..., WRIST:]
        if self.wrist == "left_out":
            valid[..., WRIST] = False
        errors = MM_PER_M * np.linalg.norm(own - root_relative(truth), axis=-1)
        yield "mpjpe_mm/own_wrist", per_joint(errors, valid)
        yield "auc_0_50mm/own_wrist", per_joint(auc(errors), valid)
        for hand, name in enumerate(HAND_NAMES):
            yield f"mpjpe_mm/own_wrist/{name}", per_joint(errors[:, hand], valid[:, hand])
        step = records["predicted_relative_translation_m"].astype(np.float64)
        known: np.ndarray = np.asarray(
            np.isfinite(step).all(axis=-1)
        )  # not of hands that are relative to their own wrist
        both = valid & annotated[:, RIGHT, WRIST, None, None] & known[:, None, None]
        from_right = from_right_wrist(own, step) - (truth - truth[:, RIGHT, None, WRIST : WRIST + 1])
        yield "mpjpe_mm/right_wrist", per_joint(MM_PER_M * np.linalg.norm(from_right, axis=-1), both)
        true_step = truth[:, LEFT, WRIST] - truth[:, RIGHT, WRIST]
        error = MM_PER_M * np.linalg.norm(step - true_step, axis=-1)
        yield "mrrpe_mm/regressed", pooled(error, known & annotated[:, :, WRIST].all(axis=1))


PUBLISHED = (H2o3d(),)
