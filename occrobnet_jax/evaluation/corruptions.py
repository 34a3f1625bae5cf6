"""What damage to its pictures costs a network: each corruption at each severity, and their table.

`eval.py --corruptions` runs it. Each corruption has a file of its own, so that a sweep that was stopped goes on.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from input_pipeline.corruptions import ALL, SCALES, Corruption
from occrobnet_jax.drawing.curves import Panel, curves_svg
from occrobnet_jax.drawing.page import render_page
from occrobnet_jax.evaluation.metrics.metrics import Metrics
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.parallel import hosts

TEMPLATE = Path(__file__).with_name("corruptions.html")
CORRUPTIONS, CLEAN, TABLE, PAGE = "corruptions", "clean", "table.json", "corruptions.html"

# Columns of the table: heading, metric, digits.
COLUMNS = (
    ("MPJPE mm", "mpjpe_mm", 1),
    ("visible", "mpjpe_mm/visible", 1),
    ("hidden", "mpjpe_mm/occluded", 1),
    ("PA-MPJPE mm", "pa_mpjpe_mm", 1),
    ("MRRPE mm", "mrrpe_mm", 1),
    ("absolute mm", "absolute_error_mm", 1),
    ("2D px", "error_2d_px", 1),
    ("handedness", "handedness_accuracy", 3),
)
CURVES = ("mpjpe_mm", "pa_mpjpe_mm")

Score = Callable[[Corruption | None], Metrics]
Of = Mapping[str, Any]
"""What numbers are of: checkpoint, dataset and split; those of anything else are computed anew."""


class Row(NamedTuple):
    """One line of the table."""

    corruption: Corruption | None  # None: the pictures as they are
    metrics: Metrics

    @property
    def name(self) -> str:
        """Of its file."""
        return CLEAN if self.corruption is None else self.corruption.name


def sweep(score: Score, folder: AnyPath, of: Of, corruptions: Sequence[Corruption] = ALL) -> list[Row]:
    """Return the metrics of the pictures as they are and of each corruption, and leave table and page in the folder.

    All hosts must call it; the lead writes a file for each corruption, and a later call goes on from there.

    Args:
        score: evaluates the split as it is, or corrupted; returns nothing on hosts other than the lead.
        folder: here or in a bucket; all hosts see it.
        of: what the numbers are of.
        corruptions: in order.

    Raises:
        ValueError: a file of an earlier call can't be read.
    """
    kinds: list[Corruption | None] = [None, *corruptions]
    rows = []
    for number, corruption in enumerate(kinds, 1):
        rows.append(_row(score, corruption, folder, of))
        if hosts.is_lead():
            cells = (
                f"{heading} {cell}" for (heading, _, _), cell in zip(COLUMNS, _cells(rows[-1]), strict=True) if cell
            )
            print(f"{number:3d}/{len(kinds)}  {rows[-1].name:16s} {'   '.join(cells)}", flush=True)
    if hosts.is_lead():
        table = {row.name: row.metrics for row in rows}
        write_atomically(folder / TABLE, json.dumps({"of": of, "metrics": table}, indent=1) + "\n")
        write_atomically(folder / PAGE, page_html(rows, of))
    return rows


def page_html(rows: Sequence[Row], of: Of) -> str:
    """Return the page: a diagram of each kind of corruption, and the table."""
    panels, history, sections = [], [], [{"title": "as they are", "rows": [{"name": "", "cells": _cells(rows[0])}]}]
    for kind, scale in SCALES.items():
        of_kind = {row.corruption.severity: row for row in rows if row.corruption and row.corruption.kind == kind}
        if of_kind:
            title, names = kind.replace("_", " "), {f"{name}, {kind}": name for name in CURVES}
            panels.append(Panel(title, tuple(names), axis=scale.unit))
            for severity, row in sorted({**of_kind, scale.none: rows[0]}.items()):
                known = {label: row.metrics[name] for label, name in names.items() if name in row.metrics}
                history.append({scale.unit: severity, **known})
            lines = [{"name": f"{severity:g}", "cells": _cells(row)} for severity, row in of_kind.items()]
            sections.append({"title": f"{title}: {scale.unit}", "rows": lines})
    context = {
        "title": f"Corruptions of {of['dataset']} / {of['split']}",
        "subtitle": f"After {of['step']:,} steps. Bars, textures and objects hide a share of the boxes around the "
        "labelled joints; they are never those that training may draw.",
        "columns": [heading for heading, _, _ in COLUMNS],
        "sections": sections,
        "curves": Markup(curves_svg(history, panels)),
    }
    return render_page(TEMPLATE, context)


def _row(score: Score, corruption: Corruption | None, folder: AnyPath, of: Of) -> Row:
    """Return the numbers that are there already, or those that are made and written now."""
    row = Row(corruption, {})
    path = folder / f"{row.name}.json"
    kept = read_json(path) if path.is_file() else {}
    if isinstance(kept, dict) and kept.get("of") == of:
        return Row(corruption, kept["metrics"])
    row = Row(corruption, score(corruption))
    if hosts.is_lead():
        write_atomically(path, json.dumps({"of": of, "metrics": row.metrics}, indent=1, allow_nan=False) + "\n")
    return row


def _cells(row: Row) -> list[str]:
    return [f"{row.metrics[name]:,.{digits}f}" if name in row.metrics else "" for _, name, digits in COLUMNS]
