"""Whether the network knows which joints are hidden."""

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records
from occrobnet_jax.evaluation.metrics.groups import HIDDEN
from occrobnet_jax.skeleton import VISIBILITY


def visibility_metrics(records: Records) -> dict[str, float]:
    """Accuracy at 0.5 and area under the ROC curve, over joints known to be visible or hidden inside the image.

    Nothing is returned for a network without the visibility head, and no area where all joints are of one kind.
    """
    visibility = records["visibility"]
    is_visible = visibility == VISIBILITY.index("visible")
    counts = is_visible | np.isin(visibility, HIDDEN)
    probability = records["predicted_visibility_probability"].astype(np.float64)[counts]
    truth = is_visible[counts]
    if truth.size == 0 or np.isnan(probability).all():
        return {}
    metrics = {
        "visibility_accuracy": float(np.mean((probability > 0.5) == truth)),
        "visible_joint_share": float(truth.mean()),
    }
    if truth.any() and not truth.all():
        metrics["visibility_auc"] = area_under_roc(probability, truth)
    return metrics


def area_under_roc(scores: Float[np.ndarray, " n"], positive: Bool[np.ndarray, " n"]) -> float:
    """Probability that a positive has a higher score than a negative, ties counting half (Mann-Whitney)."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(count)
    mean_rank = (last_rank - (count - 1) / 2)[place]
    positives = int(positive.sum())
    above = mean_rank[positive].sum() - positives * (positives + 1) / 2
    return float(above / (positives * (len(positive) - positives)))
