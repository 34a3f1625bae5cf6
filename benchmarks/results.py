"""What a benchmark found, as runs/bench/results.json keeps it, and the table of all of them."""

import dataclasses
import json
import os
import platform
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.timing import Times, spread


@dataclasses.dataclass(frozen=True)
class Measurement:
    """Time per item of ours and of what it is compared with."""

    ours: float
    competitor: float
    unit: str
    competitor_is: str  # PyTorch in which form, or which limit
    runs: int
    spread: dict[str, float]  # of either side's runs
    flops: float | None = None  # of one item of ours
    ratio: float | None = None  # where it is another one than ours / competitor
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)  # competitors that failed, and how


def measurement(times: Mapping[str, list[float]], unit: str, items: int = 1, **extra: Any) -> Measurement:
    """Return the measurement from the runs of "ours" and of others, of which the best is the competitor.

    Args:
        times: seconds.
        unit: of one item, such as "s/step".
        items: that each run worked through.
        **extra: further fields of the measurement.

    Raises:
        ValueError: all others were left out.
    """
    left_out = times.left_out if isinstance(times, Times) else {}
    medians = {name: statistics.median(values) / items for name, values in times.items()}
    rivals = {name: value for name, value in medians.items() if name != "ours"}
    if not rivals:
        raise ValueError(f"there is nothing to compare with: {left_out}")
    best = min(rivals, key=lambda name: rivals[name])
    details = {f"{name} {unit}": value for name, value in rivals.items()} | extra.pop("details", {})
    return Measurement(
        ours=medians["ours"],
        competitor=medians[best],
        unit=unit,
        competitor_is=best,
        runs=len(times["ours"]),
        spread={"ours": spread(times["ours"]), "competitor": spread(times[best])},
        details=details,
        left_out=left_out,
        **extra,
    )


def as_row(name: str, floor: float, goal: float, found: Measurement, context: dict[str, Any]) -> dict[str, Any]:
    """Return the object that results.json holds."""
    fields = dataclasses.asdict(found)
    ratio = found.ours / found.competitor if found.ratio is None else found.ratio
    rate = None if found.flops is None else found.flops / found.ours / 1e9
    return {"name": name, **fields, "ratio": ratio, "gflops_per_s": rate, "floor": floor, "goal": goal, **context}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a results file; none where there is no file.

    Raises:
        ValueError: it isn't such a file.
    """
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text())
        return [row for row in rows if row["name"]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not a results file of benchmarks.run; delete it ({error})") from error


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a results file, as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.incomplete-{os.getpid()}")
    unfinished.write_text(json.dumps(list(rows), indent=1) + "\n")
    unfinished.replace(path)


def table(rows: Iterable[dict[str, Any]], remarks: Mapping[str, str] | None = None) -> str:
    """Return the rows in columns, with a mark where a floor or a goal is reached.

    Args:
        rows: of a results file.
        remarks: what a reader must know of some of them, by their names; they stand below, with a number in the row.
    """
    remarks = remarks or {}
    notes = list(dict.fromkeys(remarks.values()))
    head = f"{'name':14s}{'ours':>11s}{'other':>11s} {'unit':12s}{'ratio':>7s}{'floor':>7s}{'goal':>7s}  "
    lines = [head + "spread      other is"]
    for row in rows:
        mark = "goal" if row["ratio"] <= row["goal"] else "floor" if row["ratio"] <= row["floor"] else "MISSED"
        without = f", without {' and '.join(row['left_out'])}" if row.get("left_out") else ""
        note = f" ({notes.index(remarks[row['name']]) + 1})" if row["name"] in remarks else ""
        spreads = "/".join(f"{100 * row['spread'].get(side, 0):.0f}%" for side in ("ours", "competitor"))
        lines.append(
            f"{row['name']:14s}{row['ours']:11.4g}{row['competitor']:11.4g} {row['unit']:12s}{row['ratio']:7.3f}"
            f"{row['floor']:7.2f}{row['goal']:7.2f}  {spreads:11s} {row['competitor_is']}{without} [{mark}]{note}"
        )
    return "\n".join(lines + [f"({number}) {note}" for number, note in enumerate(notes, 1)])


def machine() -> dict[str, Any]:
    """Return the processor, in what a reader needs to compare."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": _processor(), "cores": cores, "system": platform.platform()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
