"""A compiled program's text (`compiled.as_text()`): its instructions, how often each runs, and the size of arrays."""

import math
import re
from collections.abc import Iterator

Array = tuple[str, tuple[int, ...]]
"""Type ("bf16") and shape."""

_ARRAY = re.compile(r"\b(pred|bf16|[fsuc]\d+\w*)\[([\d,]*)\](\{[^}]*\})?")
_COMPUTATION = re.compile(r"(?:ENTRY )?%?(?P<name>[\w.\-]+) .*\{\s*$")
_ENTRY = re.compile(r"^ENTRY %?([\w.\-]+)", re.MULTILINE)
_CALLED = re.compile(r"(?:body|condition|calls|to_apply|\w+_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_ON_CHIP = re.compile(r"S\([1-9]\)")


def instructions(hlo: str) -> Iterator[tuple[str, str]]:
    """Return lines inside computations, each with its computation's name."""
    name = ""
    for line in hlo.splitlines():
        if line[:1] not in ("", " ", "}"):
            match = _COMPUTATION.match(line)
            name = match["name"] if match else ""
        elif name and " = " in line:
            yield name, line


def times_called(hlo: str, *, with_fusions: bool = True) -> dict[str, int]:
    """Return how often the program runs each computation, those inside fusions too if wanted.

    All branches of a condition count, and a loop whose length the compiler doesn't know counts once.
    """
    calls: dict[str, list[tuple[str, int]]] = {}
    for computation, line in instructions(hlo):
        if " fusion(" in line and not with_fusions:
            continue
        trips, branches = _TRIPS.search(line), _BRANCHES.search(line)
        times = int(trips[1]) if trips and " while(" in line else 1
        names = _CALLED.findall(line) + ([name.strip(" %") for name in branches[1].split(",")] if branches else [])
        calls.setdefault(computation, []).extend((name, times) for name in names)
    entry, total = _ENTRY.search(hlo), dict[str, int]()

    def visit(name: str, times: int) -> None:
        total[name] = total.get(name, 0) + times
        for callee, more in calls.get(name, []):
            visit(callee, times * more)

    if entry:
        visit(entry[1], 1)
    return total


def arrays_of(types: str) -> tuple[Array, ...]:
    """Return the arrays that a type names, in order; a tuple has several."""
    return tuple((dtype, _shape(dims)) for dtype, dims, _ in _ARRAY.findall(types))


def main_memory_bytes(types: str) -> int:
    """Return bytes of those arrays of a type that don't lie in memory on the chip itself."""
    found = _ARRAY.findall(types)
    return sum(num_bytes((dtype, _shape(dims))) for dtype, dims, layout in found if not _ON_CHIP.search(layout))


def num_bytes(array: Array) -> int:
    """Return bytes of an array without padding."""
    bits = re.search(r"\d+", array[0])
    return math.prod(array[1]) * (int(bits[0]) // 8 if bits else 1)


def _shape(dims: str) -> tuple[int, ...]:
    return tuple(int(size) for size in dims.split(",") if size)
