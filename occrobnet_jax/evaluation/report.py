"""report.html: what an evaluation found, in one file that opens offline."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from occrobnet_jax.drawing.curves import Panel, curves_svg
from occrobnet_jax.drawing.overlay import encode_jpeg, legend
from occrobnet_jax.drawing.page import data_uri, render_page
from occrobnet_jax.drawing.reliability import reliability_svg
from occrobnet_jax.drawing.scene import scene_json
from occrobnet_jax.evaluation import pictures
from occrobnet_jax.evaluation.formats.records import Records, num_rows
from occrobnet_jax.evaluation.formats.records_file import RecordsFile
from occrobnet_jax.evaluation.metrics.calibration import Reliabilities
from occrobnet_jax.evaluation.metrics.metrics import HIGH, LOW, PROTOCOL, Metrics, example_errors_mm, is_of_an_interval
from occrobnet_jax.evaluation.metrics.occlusion import HIDDEN, HIDDEN_AREAS, SEEN
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.skeleton import ARMS, FINGERS, HAND_NAMES, SCENE_KINDS, VISIBILITY

TEMPLATE = Path(__file__).parent / "report.html"
EXAMPLES = 5  # in each gallery

CURVES = (
    Panel("training loss", ("loss",), logarithmic=True),
    Panel("MPJPE, mm", ("val/mpjpe_mm", "val/mpjpe_mm/visible", "val/mpjpe_mm/occluded", "val/mpjpe_mm/mean_pose")),
    Panel("PA-MPJPE, mm", ("val/pa_mpjpe_mm", "val/pa_mpjpe_mm/mean_pose")),
    Panel("shares", ("val/token_recall", "val/token_precision", "val/handedness_accuracy", "val/visibility_accuracy")),
    Panel("object and hands, mm", ("val/object_corner_error_mm", "val/mrrpe_mm", "val/root_error_mm")),
    Panel("images/s", ("images_per_s",)),
)

HIDDEN_AREA = "hidden area of the hand, %"
AREA_CURVES = (
    Panel("MPJPE, mm", ("behind the occluder", "without it"), axis=HIDDEN_AREA),
    Panel("MPJPE of hidden joints, mm", ("hidden, behind the occluder", "hidden, without it"), axis=HIDDEN_AREA),
)
AREA_METRICS = dict(
    zip(
        (name for panel in AREA_CURVES for name in panel.names),
        ("arm_occluded", "arm_free", "arm_occluded/hidden", "arm_free/hidden"),
        strict=True,
    )
)

# Key figures: metric, name, unit, baseline that it is divided by.
CARDS = (
    ("mpjpe_mm", "MPJPE", "mm", "mpjpe_mm/mean_pose"),
    ("mpjpe_mm/occluded", "MPJPE, hidden joints", "mm", "mpjpe_mm/mean_pose/occluded"),
    ("pa_mpjpe_mm", "PA-MPJPE", "mm", "pa_mpjpe_mm/mean_pose"),
    ("mrrpe_mm", "MRRPE", "mm", ""),
    ("error_2d_px", "2D error in the crop", "px", ""),
    ("token_recall", "token recall", "", ""),
    ("handedness_accuracy", "handedness", "", ""),
    ("visibility_auc", "visibility, area under ROC", "", ""),
    ("object_corner_error_mm", "object corners", "mm", ""),
)

# Columns of the large table: heading, metric, digits.
COLUMNS = (
    ("joints", "num_joints", 0),
    ("MPJPE mm", "mpjpe_mm", 1),
    ("mean pose mm", "mpjpe_mm/mean_pose", 1),
    ("PA-MPJPE mm", "pa_mpjpe_mm", 1),
    ("2D px", "error_2d_px", 1),
    ("token recall", "token_recall", 3),
)
BAR_COLUMN = 1
SECTIONS = (
    ("", ("",)),
    ("what hides the joint", (*(f"/{name}" for name in VISIBILITY[1:]), "/occluded")),
    ("scene", tuple(f"/{name}" for name in SCENE_KINDS)),
    ("hand", tuple(f"/{name}" for name in HAND_NAMES)),
    ("joints behind the occluder", tuple(f"/arm_{arm}{HIDDEN}" for arm in ARMS[1:])),
    ("joints beside the occluder", tuple(f"/arm_{arm}{SEEN}" for arm in ARMS[1:])),
    ("finger", tuple(f"/{name}" for name in FINGERS)),
)
ROW_NAMES = {
    "": "all joints",
    "/own_hand": "hidden by the own hand",
    "/other_hand": "hidden by the other hand",
    "/object": "hidden by the object",
    "/something": "hidden by what is unknown",
    "/occluded": "hidden by any of these",
    "/outside": "outside the photo or crop",
    "/hand_object": "one hand and object",
    "/two_hands_object": "two hands and object",
    **{
        f"/arm_{arm}{part}": words
        for arm, words in {
            "occluded": "occluder before the hands, without its shadow",
            "shadowed": "the same with its shadow",
            "free": "without the occluder",
            "aside": "occluder beside the hands",
        }.items()
        for part in (HIDDEN, SEEN)
    },
}
IN_SHORT = (
    "MPJPE: each hand's wrist joined to its true wrist, no scale, no rotation, wrists not counted. "
    "PA-MPJPE: each hand aligned by a similarity."
)
DEPTHS = {"own": "Depth: the network's own.", "ground_truth": "Depth in 2.5D: the true wrist's."}
BOXES = {
    "stored": "Crops: the dataset's boxes.",
    "joints": "Crops: boxes around the labels.",
    "rootnet": "Crops: RootNet's.",
}


def report_html(
    metrics: Metrics,
    predictions: RecordsFile,
    experiment: Experiment,
    *,
    step: int,
    history: Sequence[Mapping[str, Any]] = (),
    origin: str = "",
) -> str:
    """Return the page.

    Args:
        metrics: of the predictions.
        predictions: that examples are chosen from.
        experiment: as run.
        step: of the checkpoint.
        history: lines of metrics.jsonl, for the curves.
        origin: commit and versions, in words.
    """
    switches = predictions.setting.switches
    context = {
        "title": f"{switches['dataset']} / {switches['split']}",
        "subtitle": f"OccRobNet after {step:,} steps, on {metrics['num_examples']:,} examples. "
        f"{IN_SHORT} {BOXES[switches['box_source']]} {DEPTHS[switches['root_depth']]}",
        "cards": _cards(metrics),
        "columns": [heading for heading, _, _ in COLUMNS],
        "bar_column": BAR_COLUMN,
        "sections": _sections(metrics),
        "protocol": list(PROTOCOL.items()),
        "switches": list(switches.items()),
        "all_metrics": [(name, _figure(metrics, name)) for name in sorted(metrics) if not is_of_an_interval(name)],
        "curves": Markup(curves_svg(history, CURVES)),
        "areas": Markup(curves_svg(_by_area(metrics), AREA_CURVES)),
        "reliability": Markup(_reliability(predictions)),
        "galleries": _galleries(predictions, experiment),
        "legend": legend(),
        "config": json.dumps(config_of(experiment), indent=1),
        "origin": origin,
    }
    return render_page(TEMPLATE, context)


def _by_area(metrics: Metrics) -> list[dict[str, float]]:
    """Return the errors of each tenth of hidden area at its middle; nothing where there are no matched arms."""
    return [
        {HIDDEN_AREA: 10.0 * place + 5}
        | {
            curve: metrics[f"mpjpe_mm/{name}{suffix}"]
            for curve, name in AREA_METRICS.items()
            if f"mpjpe_mm/{name}{suffix}" in metrics
        }
        for place, suffix in enumerate(HIDDEN_AREAS)
    ]


def _reliability(predictions: RecordsFile) -> str:
    found = Reliabilities()
    for records in predictions.chunks():
        found.add(records)
    diagrams = [(name.replace("_", " "), *reliability.points()) for name, reliability in found.by_name.items()]
    confidence = found.by_name.get("joint_confidence")
    return reliability_svg(diagrams, None if confidence is None else confidence.risk_coverage())


def _cards(metrics: Metrics) -> list[dict[str, str]]:
    cards = []
    for name, title, unit, baseline in CARDS:
        if name in metrics:
            note = f"{metrics[name] / metrics[baseline]:.2f} × mean pose" if baseline in metrics else ""
            value = f"{metrics[name]:.1f}" if unit else f"{metrics[name]:.3f}"
            cards.append({"name": title, "value": value, "unit": unit, "note": note})
    return cards


def _sections(metrics: Metrics) -> list[dict[str, Any]]:
    present = [suffix for _, suffixes in SECTIONS for suffix in suffixes if f"mpjpe_mm{suffix}" in metrics]
    longest = max((metrics[f"mpjpe_mm{suffix}"] for suffix in present), default=1.0) or 1.0
    sections = []
    for title, suffixes in SECTIONS:
        rows = [_row(metrics, suffix, longest) for suffix in suffixes if suffix in present]
        if rows:
            sections.append({"title": title, "rows": rows})
    return sections


def _row(metrics: Metrics, suffix: str, longest: float) -> dict[str, Any]:
    cells = [f"{metrics[name + suffix]:,.{digits}f}" if name + suffix in metrics else "" for _, name, digits in COLUMNS]
    name = ROW_NAMES.get(suffix, suffix.removeprefix("/").replace("_", " "))
    return {"name": name, "cells": cells, "share": round(100 * metrics[f"mpjpe_mm{suffix}"] / longest, 1)}


def _figure(metrics: Metrics, name: str) -> str:
    interval = [f"{metrics[name + end]:,.4g}" for end in (LOW, HIGH) if name + end in metrics]
    return f"{metrics[name]:,.4g}" + (f" [{', '.join(interval)}]" if interval else "")


def _galleries(predictions: RecordsFile, experiment: Experiment) -> list[dict[str, Any]]:
    errors_mm = np.concatenate([example_errors_mm(records) for records in predictions.chunks()])
    typical, worst = pictures.typical_and_worst(errors_mm, EXAMPLES)
    galleries = (
        ("Typical examples", "Around the median MPJPE. Drag the 3D views; ctrl + wheel zooms.", typical),
        ("Worst examples", "Largest MPJPE first.", worst),
    )
    shown = predictions.rows(typical + worst)
    examples = _examples(shown, experiment, predictions.setting.switches["split"])
    return [
        {"title": title, "note": note, "examples": list(itertools.islice(examples, len(rows)))}
        for title, note, rows in galleries
        if rows
    ]


def _examples(records: Records, experiment: Experiment, split: str) -> Iterator[dict[str, Any]]:
    rows = list(range(num_rows(records)))
    for crop, row in zip(pictures.crops(records, rows, experiment.data, split), rows, strict=True):
        yield {
            "picture": data_uri(encode_jpeg(pictures.panels(crop, records, row)), "jpeg"),
            "caption": pictures.caption(records, row),
            "scene": Markup(scene_json(pictures.scene(records, row))),
        }
