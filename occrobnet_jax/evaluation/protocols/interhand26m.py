"""InterHand2.6M's way of averaging, for comparison with its published numbers.

Own wrist joined, no scale, no rotation; an invalid wrist invalidates its hand. Errors are averaged per joint over the
valid samples and then over the 42 joints: each joint has the same weight, and the wrists count with their error of 0,
which lowers the figure by 1/21. "all" pools both kinds of samples per joint and so is not the mean of the other two.
"""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.records import Records
from occrobnet_jax.skeleton import WRIST


def interhand_metrics(
    errors_mm: Float[np.ndarray, "n 2 21"], valid: Bool[np.ndarray, "n 2 21"], records: Records
) -> dict[str, float]:
    """`mpjpe_mm/interhand_*_42`: single hands, interacting hands, all.

    Args:
        errors_mm: wrist-relative errors.
        valid: of the joints but the wrists, as `joint_errors.root_relative_errors_mm` gives them.
        records: of the same examples; tells which wrists are annotated and how many hands there are.
    """
    valid = valid.copy()
    valid[..., WRIST] = records["joint_annotated"][..., WRIST]
    hands = records["hand_present"].sum(axis=1)
    kinds = {"single": hands == 1, "interacting": hands == 2, "all": hands >= 0}
    means = {kind: _mean_of_joint_means(errors_mm, valid & members[:, None, None]) for kind, members in kinds.items()}
    return {f"mpjpe_mm/interhand_{kind}_42": mean for kind, mean in means.items() if mean is not None}


def _mean_of_joint_means(errors: Float[np.ndarray, "n 2 21"], valid: Bool[np.ndarray, "n 2 21"]) -> float | None:
    """Mean over the joints that have a valid sample; None without any."""
    count = valid.sum(axis=0)
    if not count.any():
        return None
    total = np.where(valid, errors, 0.0).sum(axis=0)
    return float((total[count > 0] / count[count > 0]).mean())
