"""Compiles configs/interhand26m.py for several chips, batches, layouts and types, and prints the table of them.

    .venv-aot/bin/python -m tools.aot_table --folder=benchmarks/aot [--only=v5e_bfloat16]

One case after another, each in a process of its own; what is in the folder already isn't compiled again, so that it
can be stopped at any time. A second table has the switches that save memory, on v5e with 96 images a chip. `--show`
prints the tables of what is there.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CONFIG = "configs/interhand26m.py"
TOPOLOGIES = {"v5e:4x4": 16, "v6e:4x4": 16, "v5p:2x2x2": 8}
"""Grids, and how many chips they have."""

IMAGES = 96
LAYOUTS = {"data": ("-1", "1"), "fsdp": ("1", "-1")}
TYPES = ("bfloat16", "float32")
HEADER = (
    *("chips", "layout", "type", "images a chip", "GiB a chip", "of", "TFLOP", "GB moved", "roofline ms", "limit"),
    *("images/s a chip, bound", "collectives", "MB", "commit"),
)

SWITCHES = {
    "remat_elementwise": "--config.model.remat=elementwise",
    "remat_blocks": "--config.model.remat=blocks",
    "accumulation_4": "--config.accumulation_steps=4",
}
"""What saves memory, each alone, beside the case without them."""

SWITCHED = "v5e_bfloat16_data_1536"
SWITCH_HEADER = ("switch", "GiB a chip", "of these temporary", "TFLOP", "GB moved", "bound, ms", "commit")


def cases() -> Iterator[tuple[str, list[str]]]:
    """Name and flags of each case, the ones that matter most first."""
    for kind, a_chip, layout, topology in itertools.product(TYPES, (False, True), LAYOUTS, TOPOLOGIES):
        batch = IMAGES * (TOPOLOGIES[topology] if a_chip else 1)
        data, fsdp = LAYOUTS[layout]
        flags = [f"--topology={topology}", f"--config.compute_dtype={kind}", f"--config.global_batch_size={batch}"]
        flags += [f"--config.mesh.data={data}", f"--config.mesh.fsdp={fsdp}"]
        yield f"{topology.split(':')[0]}_{kind}_{layout}_{batch}", flags


def switch_cases() -> Iterator[tuple[str, list[str]]]:
    """Name and flags of the cases with a switch."""
    flags = dict(cases())[SWITCHED]
    yield from ((f"{SWITCHED}_{name}", [*flags, flag]) for name, flag in SWITCHES.items())


def compile_case(flags: list[str], output: Path) -> None:
    """Leaves the report of a case in a file.

    Raises:
        ValueError: it doesn't compile.
    """
    command = [sys.executable, "-m", "tools.aot_compile", f"--config={CONFIG}", *flags, f"--json={output}"]
    if subprocess.run(command).returncode:
        raise ValueError(f"{' '.join(command)} failed; what it says stands above")


def table(reports: dict[str, dict[str, Any]]) -> str:
    """The reports as a table in Markdown."""
    rows = [HEADER, ("---",) * len(HEADER), *(_row(report) for report in reports.values())]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def switch_table(reports: dict[str, dict[str, Any]]) -> str:
    """The reports of `switch_cases` and of the case without a switch as a table in Markdown."""
    rows = [SWITCH_HEADER, ("---",) * len(SWITCH_HEADER)]
    for name, report in reports.items():
        memory = (f"{report['total_gib']:.2f}", f"{report['temporary_gib']:.2f}")
        switch = name.removeprefix(SWITCHED).removeprefix("_") or "none"
        rows.append((switch, *memory, *_work(report), _commit(report)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _commit(report: dict[str, Any]) -> str:
    """Short, with what git says of changes to it."""
    return re.sub(r"^([0-9a-f]{7})[0-9a-f]*", r"\1", report["commit"])


def _work(report: dict[str, Any]) -> tuple[str, str, str]:
    if report["accumulation_steps"] > 1:
        return "not said of a loop", "", ""
    return f"{report['tflop']:.2f}", f"{report['gb_moved']:.1f}", f"{1e3 * report['roofline_s']:.1f}"


def _row(report: dict[str, Any]) -> tuple[str, ...]:
    layout = "fsdp" if report["mesh"]["fsdp"] > 1 else "data"
    setting = (report["topology"], layout, report["compute_dtype"], f"{report['images']:g}")
    if not report["fits"]:
        blank = [""] * (len(HEADER) - len(setting) - 2)
        return (*setting, f"does not fit: {report['reason']}", *blank, _commit(report))
    kinds = ", ".join(f"{one['count']} {kind}" for kind, one in report["collectives"].items())
    return (
        *setting,
        f"{report['total_gib']:.2f}",
        f"{report['chip_gib']:g}",
        f"{report['tflop']:.2f}",
        f"{report['gb_moved']:.1f}",
        f"{1e3 * report['roofline_s']:.1f}",
        report["limit"],
        f"{report['images_per_s_bound']:.0f}",
        kinds,
        f"{sum(one['mb'] for one in report['collectives'].values()):.0f}",
        _commit(report),
    )


def main() -> None:
    """Compiles what is missing, one by one, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/aot"))
    parser.add_argument("--only", default="", help="part of the names of the cases to compile")
    parser.add_argument("--show", action="store_true", help="compile nothing")
    options = parser.parse_args()
    try:
        reports = _reports(cases(), options)
        switched = _reports(switch_cases(), options)
    except ValueError as error:
        sys.exit(f"error: {error}")
    print(table(reports))
    if switched:
        print("\n" + switch_table({name: reports[name] for name in (SWITCHED,) if name in reports} | switched))


def _reports(named: Iterator[tuple[str, list[str]]], options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The reports that are there, or that the options want compiled.

    Raises:
        ValueError: one doesn't compile.
    """
    reports = {}
    for name, flags in named:
        output = options.folder / f"{name}.json"
        if not output.exists() and not options.show and options.only in name:
            compile_case(flags, output)
        if output.exists():
            reports[name] = json.loads(output.read_text())
    return reports


if __name__ == "__main__":
    main()
