"""Where a 2.5D pose is put: pixels and relative depths become metres at the depth that a protocol says."""

import numpy as np
from jaxtyping import Float

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.metrics.protocols.conventions import need
from occrobnet_jax.geometry.cameras import back_project
from occrobnet_jax.geometry.root_depth import PRIOR_DEPTH_M, root_depth_from_bones

MM_PER_M = 1000.0
DEPTHS = ("rootnet", "ground_truth", "own", "none")
"""RootNet's estimate; the true wrist's; where the hand has bones of ordinary length; none, of poses in 3D."""


def root_depth_m(records: Records, depth: str) -> Float[np.ndarray, "n 2"]:
    """Return the depth of each wrist, from a source of `DEPTHS`.

    Raises:
        ValueError: RootNet's output is not there for some example.
    """
    if depth == "ground_truth":
        # A hand without a known wrist is not evaluated; it only must not become NaN.
        return np.where(records["root_known"], records["root_cam_m"][..., 2].astype(np.float64), PRIOR_DEPTH_M)
    if depth == "rootnet":
        known = need(records, "rootnet_known", "depth=rootnet").astype(bool)
        if not known.all():
            first = records["example_index"][known.argmin()]
            raise ValueError(
                f"RootNet's depth is unknown for some examples, the first is in row {first}; prepare the dataset with "
                "its rootnet_output/, or score with +depth=ground_truth or +depth=own"
            )
        return records["rootnet_depth_m"].astype(np.float64)
    px, intrinsics = (records[name].astype(np.float64) for name in ("predicted_joints_px", "intrinsics"))
    depths_rel_m = records["predicted_joints_rel_m"].astype(np.float64)[..., 2]
    return root_depth_from_bones(px, depths_rel_m, np.ones(depths_rel_m.shape), intrinsics[:, None])


def joints_at_depth(records: Records, depth: str) -> Float[np.ndarray, "n 2 21 3"]:
    """Return the predicted joints in the camera frame; up to where the wrist is, if `depth` is "none"."""
    if depth == "none":
        return records["predicted_joints_rel_m"].astype(np.float64)
    px, intrinsics = (records[name].astype(np.float64) for name in ("predicted_joints_px", "intrinsics"))
    depths_m = records["predicted_joints_rel_m"].astype(np.float64)[..., 2] + root_depth_m(records, depth)[..., None]
    return back_project(px, depths_m, intrinsics[:, None, None])
