"""Whether joints can be those of a hand: a wrong unit makes hands of 160 m, and nothing else shows it.

Projections don't depend on scale, so that 2D errors, crops and pictures look right whatever the unit.
"""

import numpy as np
from jaxtyping import Bool, Float

LARGEST_SPAN_M = 0.4  # between the joints of one hand; 4,666 of real photos have 0.07 to 0.24
SMALLEST_SPAN_M = 0.03  # of many joints: a fist of a small child has twice of that
CLOSEST_JOINTS_M = 0.002  # of a few: fingertips that touch are a finger's thickness apart
MANY_JOINTS = 10  # of which not all can be of one finger
USUAL_SPAN_M = 0.18
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


def unit_advice(given: float, usual_m: float) -> str:
    """Return which unit would make a length that was given without one about what it usually is, as advice."""
    ratios = {unit: abs(np.log(max(given, 1e-30) * metres / usual_m)) for unit, metres in UNITS_M.items()}
    unit = min(ratios, key=lambda name: ratios[name])
    return (
        f"as {unit} it would fit" if ratios[unit] < np.log(2.2) else "no usual unit fits: check the axes and the labels"
    )
