"""What a compiled program sends between devices, read from its text (HLO)."""

import dataclasses
import math
import re
from typing import Any

import jax
from jaxtyping import PyTree

from tools.tpu.hlo import Array, arrays_of, instructions, num_bytes, times_called

KINDS = (
    *("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all"),
    *("collective-permute", "collective-broadcast"),
)
_KINDS = "|".join(KINDS)
_COLLECTIVE = re.compile(rf"%?\S+ = (?P<type>.*?) (?P<kind>{_KINDS})(?P<start>-start)?\(")
_SCOPE = re.compile(r'op_name="([^"]*)"')
_CHANNEL = re.compile(r"channel_id=(\d+)")
_PARTITIONS = re.compile(r"num_partitions=(\d+)")
_GROUPS = re.compile(r"replica_groups=(?:\{\{([\d,]*)\}|\[(\d+),(\d+)\])")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One operation between devices; XLA puts several arrays into one where it can."""

    kind: str  # of KINDS
    arrays: tuple[Array, ...]  # type and shape of each result on one device
    scope: str  # where in the program it comes from: op_name, the first one's where XLA put several together
    times: int  # a step; more than 1 in a loop
    group: int  # devices that take part together

    @property
    def num_bytes(self) -> int:
        """Bytes a step of the arrays that are reduced, gathered or exchanged, each counted once, whole."""
        whole = self.group if self.kind == "reduce-scatter" else 1
        return self.times * whole * sum(num_bytes(array) for array in self.arrays)

    @property
    def num_bytes_sent(self) -> float:
        """Bytes a step that each device has to send at least, in a ring."""
        others = (self.group - 1) / self.group
        return self.num_bytes * {"all-reduce": 2 * others, "collective-permute": 1.0}.get(self.kind, others)


def collectives(hlo: str) -> list[Collective]:
    """Return every collective of a compiled program (`compiled.as_text()`), with how often a step runs it."""
    times, partitions = times_called(hlo), _PARTITIONS.search(hlo)
    num_devices = int(partitions[1]) if partitions else 1
    found: dict[str, Collective] = {}
    for computation, line in instructions(hlo):
        match = _COLLECTIVE.search(line)
        if match is None or not times.get(computation):
            continue
        arrays = _results(match["kind"], bool(match["start"]), match["type"])
        scope, channel = _SCOPE.search(line), _CHANNEL.search(line)
        # An asynchronous collective may stand in several places, its beginning and its parts; its channel is one.
        name = f"{match['kind']} {channel[1]}" if channel else line.split(" = ")[0] + computation
        found[name] = Collective(
            match["kind"], arrays, scope[1] if scope else "", times[computation], _group_size(line, num_devices)
        )
    return list(found.values())


def on_activations(found: list[Collective], params: PyTree[Any]) -> list[Collective]:
    """Return those that send more than gradients, parameters and statistics, judged by the number of elements of each
    array.

    Statistics are up to two numbers a channel of the widest layer. In a data-parallel step there should be none.
    """
    leaves = jax.tree.leaves(params)
    sizes = {leaf.size for leaf in leaves}
    statistics = 2 * max((leaf.size for leaf in leaves if leaf.ndim == 1), default=1)

    def is_known(shape: tuple[int, ...]) -> bool:
        return math.prod(shape) in sizes or math.prod(shape) <= statistics

    return [one for one in found if not all(is_known(shape) for _, shape in one.arrays)]


def _results(kind: str, is_start: bool, types: str) -> tuple[Array, ...]:
    arrays = arrays_of(types)
    if is_start and kind != "all-reduce":  # its type lists operands, results and, for a permutation, two counters
        arrays = tuple(array for array in arrays if array != ("u32", ()))
        return arrays[len(arrays) // 2 :]
    return arrays


def _group_size(line: str, num_devices: int) -> int:
    groups = _GROUPS.search(line)
    if groups is None:
        return num_devices
    return len(groups[1].split(",")) if groups[1] is not None else int(groups[3])
