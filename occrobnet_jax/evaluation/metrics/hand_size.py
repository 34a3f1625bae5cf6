"""Whether predicted hands are as large as true ones: a wrong unit gives numbers that look like any others."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.skeleton import MIDDLE_BASE, WRIST

UNITS = {
    1000.0: "they fit as mm",
    100.0: "they fit as cm",
    0.01: "they were divided by 100 once too often, or the labels are in cm",
    0.001: "they were divided by 1000 once too often, or the labels are in mm",
}
"""What explains hands that are so many times as large as the true ones."""
SPREAD = 2.0  # as many times larger or smaller a hand may be, and still be of that unit


def of_hands_size(chunks: Iterable[Records]) -> Iterator[Records]:
    """Yield the chunks once the first hands are found to be of the size of the true ones.

    Hands that no unit explains, as those of an untrained network, pass.

    Raises:
        ValueError: the hands would fit in another unit; says which.
    """
    is_known = False
    for records in chunks:
        if not is_known:
            is_known = _check_unit(records)
        yield records


def _check_unit(records: Records) -> bool:
    """Return whether the records have hands to look at."""
    both = records["joint_annotated"][..., [WRIST, MIDDLE_BASE]].astype(bool)
    known: np.ndarray = np.asarray(both.all(axis=-1))
    own, true = (_palms_m(records[name], known) for name in ("predicted_joints_rel_m", "joints_cam_m"))
    if not known.any() or np.median(true) == 0:
        return False
    times = float(np.median(own) / np.median(true))
    for factor, reason in UNITS.items():
        if 1 / SPREAD < times / factor < SPREAD:
            raise ValueError(
                f"the predicted hands are {times:.4g} times as large as the true ones (median from wrist to middle "
                f"base {np.median(own):.4g} m and {np.median(true):.4g} m): {reason}; say so in the file (unit), or "
                "write it again in metres (--any_size scores them all the same)"
            )
    return True


def _palms_m(joints_m: Float[np.ndarray, "n 2 21 3"], known: Bool[np.ndarray, "n 2"]) -> Float[np.ndarray, " hands"]:
    joints = joints_m[known].astype(np.float64)
    return np.linalg.norm(joints[:, MIDDLE_BASE] - joints[:, WRIST], axis=-1)
