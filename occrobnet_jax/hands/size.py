"""Whether lengths can be meant: a wrong unit makes hands of 160 m, or objects of 300 m, and nothing else shows it.

Projections don't depend on scale, so that 2D errors, crops and pictures look right whatever the unit.
"""

import numpy as np
from jaxtyping import Bool, Float

LARGEST_SPAN_M = 0.4  # between the joints of one hand; 4,666 of real photos have 0.07 to 0.24
SMALLEST_SPAN_M = 0.03  # of many joints: a fist of a small child has twice of that
CLOSEST_JOINTS_M = 0.002  # of a few: fingertips that touch are a finger's thickness apart
MANY_JOINTS = 10  # of which not all can be of one finger
USUAL_SPAN_M = 0.18
MOST_TIMES_ITS_BOX = 2.0  # units differ by 2.5 at least
UNITS_M = {"mm": 0.001, "cm": 0.01, "inches": 0.0254, "feet": 0.3048, "m": 1.0}


def hand_span_m(joints_m: Float[np.ndarray, "j 3"], known: Bool[np.ndarray, " j"]) -> float:
    """Return the largest distance between two known joints of a hand; NaN with fewer than two."""
    points = joints_m[known].astype(np.float64)
    if len(points) < 2:
        return float("nan")
    return float(np.linalg.norm(points[:, None] - points[None], axis=-1).max())


def check_hand_size(
    joints_m: Float[np.ndarray, "j 3"], known: Bool[np.ndarray, " j"], *, name: str, unit_m: float = 1.0
) -> None:
    """Refuse joints that lie further apart, or closer, than those of any hand.

    Args:
        joints_m: of one hand, metres.
        known: which of them count.
        name: what and where they are, for the message.
        unit_m: metres per unit in which they were given, for the advice.

    Raises:
        ValueError: they can't be a hand's in metres; says in which unit they could.
    """
    span_m, count = hand_span_m(joints_m, known), int(known.sum())
    smallest_m = SMALLEST_SPAN_M if count > MANY_JOINTS else CLOSEST_JOINTS_M
    if count < 2 or smallest_m <= span_m <= LARGEST_SPAN_M:
        return
    raise ValueError(
        f"{name}: the joints of a hand lie up to {span_m:.3g} m apart, where {smallest_m} to {LARGEST_SPAN_M} m are a "
        f"hand's; {unit_advice(span_m / unit_m, USUAL_SPAN_M)}"
    )


def check_object_size(points_m: Float[np.ndarray, "p 3"], corners_m: Float[np.ndarray, "8 3"], *, name: str) -> None:
    """Refuse a model of an object that is much larger or smaller than the box which is labelled for it.

    Args:
        points_m: of its surface, at rest.
        corners_m: of the labelled box, at rest.
        name: of the model, for the message.

    Raises:
        ValueError: they can't be in the same unit; says in which one the model could be.
    """
    own_m, labeled_m = (float(np.linalg.norm(np.ptp(points, axis=0))) for points in (points_m, corners_m))
    if labeled_m and not 1 / MOST_TIMES_ITS_BOX < own_m / labeled_m < MOST_TIMES_ITS_BOX:
        raise ValueError(
            f"{name} measures {own_m:.3g} m across where the box of its labels measures {labeled_m:.3g} m; models are "
            f"in metres, and {unit_advice(own_m, labeled_m)}"
        )


def unit_advice(given: float, usual_m: float) -> str:
    """Return which unit would make a length that was given without one about what it usually is, as advice."""
    ratios = {unit: abs(np.log(max(given, 1e-30) * meters / usual_m)) for unit, meters in UNITS_M.items()}
    unit = min(ratios, key=lambda name: ratios[name])
    return (
        f"as {unit} it would fit" if ratios[unit] < np.log(2.2) else "no usual unit fits: check the axes and the labels"
    )
