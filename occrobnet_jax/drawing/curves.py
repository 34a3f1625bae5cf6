"""Curves of metrics over the steps of a run, or over something else, as SVG to stand inside an HTML page."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.figure import Figure

Points = list[tuple[int | float, int | float]]

COLUMNS = 3
LINE_COLORS = ("#c2274a", "#2454e2", "#0f9b8e", "#e8890c", "#7a3fc4", "#5b6470")


@dataclasses.dataclass(frozen=True)
class Panel:
    """One diagram: metrics of equal unit over the training steps, or over `axis`."""

    title: str
    names: tuple[str, ...]  # as in metrics.jsonl
    logarithmic: bool = False
    axis: str = "step"


def curves_svg(history: Sequence[Mapping[str, Any]], panels: Sequence[Panel]) -> str:
    """Return diagrams of those panels of which the history has at least two values; "" where there are none.

    Args:
        history: lines of metrics.jsonl, each with its "step" or what else the panels' axis is.
        panels: in order.
    """
    series = {name: _points(history, name, panel.axis) for panel in panels for name in panel.names}
    drawn = [panel for panel in panels if any(len(series[name]) > 1 for name in panel.names)]
    if not drawn:
        return ""
    rows = -(-len(drawn) // COLUMNS)
    with svg_settings():
        figure = Figure(figsize=(4.1 * COLUMNS, 2.7 * rows), layout="constrained")
        for i, panel in enumerate(drawn):
            _draw_panel(figure.add_subplot(rows, COLUMNS, i + 1), panel, series)
        return inline_svg(figure)


def _points(history: Sequence[Mapping[str, Any]], name: str, axis: str) -> Points:
    return [(line[axis], value) for line in history if (value := line.get(name)) is not None]


def _draw_panel(axes: Any, panel: Panel, series: Mapping[str, Points]) -> None:
    for name, color in zip((name for name in panel.names if series[name]), LINE_COLORS, strict=False):
        steps, values = zip(*series[name], strict=True)
        baseline = name.endswith("mean_pose")
        axes.plot(steps, values, color="#888" if baseline else color, ls="--" if baseline else "-", lw=1.4, label=name)
    if panel.logarithmic:
        axes.set_yscale("log")
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.set_xlabel(panel.axis)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=7)


def svg_settings() -> contextlib.AbstractContextManager[None]:
    """Return a context in which matplotlib writes text as text, and the same bytes each time."""
    return matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "occrobnet", "font.size": 9})


def inline_svg(figure: Figure) -> str:
    """Return the figure without XML head, metadata and namespaces, none of which HTML needs."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    return re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
