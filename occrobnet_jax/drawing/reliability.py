"""Reliability diagrams and the risk-coverage curve, as SVG to stand inside an HTML page."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from occrobnet_jax.drawing.curves import COLUMNS, LINE_COLORS, inline_svg, svg_settings

Curve = Float[np.ndarray, " n"]
DOT_AREA = 400  # of a bin that holds all answers, in points squared


def reliability_svg(
    diagrams: Sequence[tuple[str, Curve, Curve, Curve]], risk_coverage: tuple[Curve, Curve] | None
) -> str:
    """Return the diagrams side by side; "" where there are none.

    Args:
        diagrams: of each its title, and of its bins what is said, how often it is so, and their share of all answers.
        risk_coverage: shares of answers that are kept, and of errors among them.
    """
    if not diagrams:
        return ""
    count = len(diagrams) + (risk_coverage is not None)
    rows = -(-count // COLUMNS)
    with svg_settings():
        figure = Figure(figsize=(4.1 * COLUMNS, 2.9 * rows), layout="constrained")
        for i, diagram in enumerate(diagrams):
            _draw_reliability(figure.add_subplot(rows, COLUMNS, i + 1), *diagram)
        if risk_coverage is not None:
            _draw_risk_coverage(figure.add_subplot(rows, COLUMNS, count), *risk_coverage)
        return inline_svg(figure)


def _draw_reliability(axes: Any, title: str, said: Curve, so: Curve, share: Curve) -> None:
    axes.plot([0, 1], [0, 1], color="#888", ls="--", lw=1)
    axes.plot(said, so, color=LINE_COLORS[1], lw=1.4)
    axes.scatter(said, so, s=4 + DOT_AREA * share, color=LINE_COLORS[1], alpha=0.4, lw=0)
    _label(axes, title, "probability that is said", "share that is so")


def _draw_risk_coverage(axes: Any, coverage: Curve, risk: Curve) -> None:
    axes.plot(coverage, risk, color=LINE_COLORS[0], lw=1.4)
    _label(axes, "errors among the most confident joints", "share of joints that is kept", "share of errors")


def _label(axes: Any, title: str, x: str, y: str) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.set_title(title, loc="left", fontsize=10)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
