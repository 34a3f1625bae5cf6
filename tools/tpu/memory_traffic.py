"""What a compiled program reads from and writes to its chip's main memory.

XLA's own "bytes accessed" is no measure of it: it counts arrays in on-chip memory like others, a whole array for every
slice that is fetched of it, and the body of a loop once.
"""

import re

from tools.tpu.hlo import arrays_of, instructions, main_memory_bytes, num_bytes, times_called

_INSTRUCTION = re.compile(
    r"\s+(?:ROOT )?%?(?P<name>[\w.\-]+) = (?P<type>.*?) (?P<kind>[a-z][\w\-]*)\((?P<operands>[^)]*)"
)
_NAME = re.compile(r"%([\w.\-]+)")
_FREE = ("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional", "call", "after-all")
_PAIRS = ("copy-start", "all-gather-start", "collective-permute-start")
"""Operations whose type lists what they read beside what they write."""
_PARTS = ("slice-start", "slice", "dynamic-slice")
"""Operations that read of their operand no more than their result holds."""


def bytes_moved(hlo: str) -> int:
    """Return bytes that instructions read and write in main memory.

    Each counts its operands and results once, whole. Fusions that read parts of an operand are so counted too high.
    """
    times = times_called(hlo, with_fusions=False)
    types = {match["name"]: match["type"] for _, line in instructions(hlo) if (match := _INSTRUCTION.match(line))}
    total = 0
    for computation, line in instructions(hlo):
        match = _INSTRUCTION.match(line)
        if match and times.get(computation) and not match["kind"].endswith(("-done", "-update", *_FREE)):
            read = [types.get(name, "") for name in _NAME.findall(match["operands"])]
            total += times[computation] * _bytes_of(match["kind"], match["type"], read)
    return total


def _bytes_of(kind: str, result: str, operands: list[str]) -> int:
    if kind in _PAIRS:
        return main_memory_bytes(result)
    if kind in _PARTS:
        result = result.split("), ")[-1]  # an asynchronous one's type lists its operand first
        whole = sum(num_bytes(array) for array in arrays_of(result)[:1])
        return main_memory_bytes(result) + min(whole, sum(main_memory_bytes(operand) for operand in operands))
    return main_memory_bytes(result) + sum(main_memory_bytes(operand) for operand in operands)
