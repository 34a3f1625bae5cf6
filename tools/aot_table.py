"""Compiles configs/interhand26m.py for several chips, batches, layouts and types, and prints the table of them.

    .venv-aot/bin/python -m tools.aot_table [--only=v5e_bfloat16]

One case after another, each in a process of its own; what is in benchmarks/aot.csv already isn't compiled again, so
that it can be stopped at any time. A second table has the switches that save memory, on v5e with 96 images a chip.
`--show` prints the tables of what is there. The file has a case's sums; `python -m tools.aot_compile` has all of it.
"""

import argparse
import csv
import io
import itertools
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.user_errors import exit_status

FILE = Path("benchmarks/aot.csv")
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
    """Return name and flags of each case, the ones that matter most first."""
    for kind, a_chip, layout, topology in itertools.product(TYPES, (False, True), LAYOUTS, TOPOLOGIES):
        batch = IMAGES * (TOPOLOGIES[topology] if a_chip else 1)
        data, fsdp = LAYOUTS[layout]
        flags = [f"--topology={topology}", f"--config.compute_dtype={kind}", f"--config.global_batch_size={batch}"]
        flags += [f"--config.mesh.data={data}", f"--config.mesh.fsdp={fsdp}"]
        yield f"{topology.split(':')[0]}_{kind}_{layout}_{batch}", flags


def switch_cases() -> Iterator[tuple[str, list[str]]]:
    """Return name and flags of the cases with a switch."""
    flags = dict(cases())[SWITCHED]
    yield from ((f"{SWITCHED}_{name}", [*flags, flag]) for name, flag in SWITCHES.items())


Row = dict[str, str]

COLUMNS = (
    *("case", "topology", "layout", "compute_dtype", "remat", "accumulation_steps", "images", "fits", "reason"),
    *("compile_s", "arguments_gib", "temporary_gib", "total_gib", "chip_gib", "tflop", "gb_moved", "compute_s"),
    *("memory_s", "links_s", "roofline_s", "limit", "images_per_s_bound", "parameters_mb", "collectives"),
    *("collectives_mb", "collectives_on_activations", "commit", "jax", "libtpu"),
)
"""Of the file: a chip and step, if the name doesn't say otherwise. Empty is what the compiler doesn't say."""


def compile_case(name: str, flags: list[str]) -> Row:
    """Return the row of a case.

    Raises:
        ValueError: it doesn't compile.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "report.json"
        command = [sys.executable, "-m", "tools.aot_compile", f"--config={CONFIG}", *flags, f"--json={output}"]
        if subprocess.run(command).returncode:
            raise ValueError(f"{' '.join(command)} failed; what it says stands above")
        return row_of(name, json.loads(output.read_text()))


def row_of(name: str, report: dict[str, Any]) -> Row:
    """Return what the file keeps of a report of `aot_compile`."""
    kinds = report.get("collectives", {})
    found = report | {"case": name, "layout": "fsdp" if report["mesh"]["fsdp"] > 1 else "data"}
    found["collectives"] = ", ".join(f"{one['count']} {kind}" for kind, one in kinds.items())
    found["collectives_mb"] = sum(one["mb"] for one in kinds.values())
    return {column: _written(found.get(column, "")) for column in COLUMNS}


def _written(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def read_rows(path: Path) -> dict[str, Row]:
    """Return the rows of a file by their cases; none where there is no file."""
    if not path.exists():
        return {}
    return {row["case"]: row for row in csv.DictReader(path.read_text().splitlines())}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write a file, as a whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, text.getvalue())


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown."""
    return _markdown(HEADER, [_cells(row) for row in rows])


def switch_table(rows: Iterable[Row]) -> str:
    """Return the rows of `switch_cases` and of the case without a switch as a table in Markdown."""
    return _markdown(SWITCH_HEADER, [_switch_cells(row) for row in rows])


def _markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *rows))


def _switch_cells(row: Row) -> tuple[str, ...]:
    switch = row["case"].removeprefix(SWITCHED).removeprefix("_") or "none"
    in_loop = int(row["accumulation_steps"]) > 1
    work = ("not said of a loop", "", "") if in_loop else _work(row)
    return (switch, _number(row, "total_gib", 2), _number(row, "temporary_gib", 2), *work, _commit(row))


def _cells(row: Row) -> tuple[str, ...]:
    setting = (row["topology"], row["layout"], row["compute_dtype"], row["images"])
    if row["fits"] != "True":
        blank = [""] * (len(HEADER) - len(setting) - 2)
        return (*setting, f"does not fit: {row['reason']}", *blank, _commit(row))
    memory, limit = (_number(row, "total_gib", 2), row["chip_gib"]), row["limit"]
    bound, sent = _number(row, "images_per_s_bound", 0), _number(row, "collectives_mb", 0)
    return (*setting, *memory, *_work(row), limit, bound, row["collectives"], sent, _commit(row))


def _work(row: Row) -> tuple[str, str, str]:
    return _number(row, "tflop", 2), _number(row, "gb_moved", 1), f"{1e3 * float(row['roofline_s']):.1f}"


def _number(row: Row, column: str, digits: int) -> str:
    return f"{float(row[column]):.{digits}f}"


def _commit(row: Row) -> str:
    """Shorten a commit, with what git says of changes to it."""
    return re.sub(r"^([0-9a-f]{7})[0-9a-f]*", r"\1", row["commit"])


def main() -> int:
    """Compile what is missing, one by one, and print the tables; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=FILE)
    parser.add_argument("--only", default="", help="part of the names of the cases to compile")
    parser.add_argument("--show", action="store_true", help="compile nothing")
    return exit_status(_show, parser.parse_args())


def _show(options: argparse.Namespace) -> None:
    rows = read_rows(options.file) if options.show else compile_missing(options.file, options.only)
    print(table(rows[name] for name, _ in cases() if name in rows))
    switched = [rows[name] for name in (SWITCHED, *dict(switch_cases())) if name in rows]
    print("\n" + switch_table(switched))


def compile_missing(path: Path, only: str) -> dict[str, Row]:
    """Return all rows, after compiling the cases that a file lacks and whose names contain `only`.

    Raises:
        ValueError: one doesn't compile.
    """
    rows = read_rows(path)
    for name, flags in (*cases(), *switch_cases()):
        if name not in rows and only in name:
            rows[name] = compile_case(name, flags)
            write_rows(path, rows.values())
    return rows


if __name__ == "__main__":
    sys.exit(main())
