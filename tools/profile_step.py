"""Where a training step's time goes: python -m tools.profile_step --config=configs/X.py --output=DIR.

Needs no dataset: the batch is grey photos without labels. Prints the share of the network's parts, and leaves a trace
in DIR that TensorBoard and https://ui.perfetto.dev open. Operations of several threads count as often as they run, and
a loop or a call counts without the operations that run within it, which count by themselves.
"""

import collections
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
from absl import flags

from occrobnet_jax import command_line
from occrobnet_jax.runs.compilation_cache import use_compilation_cache
from occrobnet_jax.training.blank_batch import blank_batch
from occrobnet_jax.training.setup import build

STEPS = 3
PARTS = (
    *(
        "backbone",
        "fpn",
        "unet",
        "ciet",
        "rebuilt",
        "finest",
        "heatmap_head",
        "object_head",
        "hand_maps_head",
        "joint_maps_head",
        "finder_head",
    ),
    *("keypoints", "tokens", "encoder", "decoder", "class_head", "hand_head", "pose_heads"),
)
"""Named scopes of the network, as they stand in operations' names; the rest is losses, metrics and optimiser."""

NO_PART = "unnamed operations"
RESOLUTION_US = 1e-3  # of times in a trace

Event = dict[str, Any]

OPERATION = re.compile(r'%?([\w.-]+) = .*metadata=\{[^}]*op_name="([^"]*)"')


def main(arguments: list[str]) -> None:
    """Profile what the flags say."""
    if arguments:
        raise ValueError(f"only flags are taken, not {arguments[0]!r}")
    experiment, folder = command_line.experiment_of(CONFIG), Path(OUTPUT.value)
    use_compilation_cache(experiment.compilation_cache_dir)
    run = build(experiment)
    state, batch = run.carrier.carried(run.create_state()), blank_batch(experiment)
    print("compiling ...", flush=True)
    program = run.train_step.trace(state, batch).lower().compile().as_text()
    state, _ = jax.block_until_ready(run.train_step(state, batch))
    with jax.profiler.trace(str(folder)):
        for _ in range(STEPS):
            state, metrics = run.train_step(state, batch)
        jax.block_until_ready((state, metrics))
    newest = max(folder.rglob("*.trace.json.gz"), key=lambda path: path.stat().st_mtime)
    print(table(time_of_parts(newest, parts_of_operations(program))))
    print(f"trace: {newest}")


def parts_of_operations(program: str) -> dict[str, str]:
    """Return the network's part that each operation of a compiled program belongs to."""
    return {name: part_of(scope) for name, scope in OPERATION.findall(program)}


def part_of(scope: str) -> str:
    """Return the outermost part in a name such as
    "jit(train_step)/transpose(jvp(OccRobNet))/ciet/block0/dot_general".
    """
    return next((word for word in re.split(r"[/()]", scope) if word in PARTS), "losses and optimiser")


def time_of_parts(trace: Path, parts: dict[str, str]) -> dict[str, float]:
    """Return seconds of each part in a trace, over all threads and steps.

    Operations without a part, such as copies that the compiler adds, count as what they run within, if there is such.
    """
    events: list[Event] = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    operations = [event for event in events if "hlo_op" in event.get("args", {}) and "dur" in event]
    seconds: dict[str, float] = collections.defaultdict(float)
    for event, own_us in own_times([event for event in operations if event["args"]["hlo_op"] in parts]):
        seconds[parts[event["args"]["hlo_op"]]] += own_us / 1e6
    seconds[NO_PART] = max(0.0, sum(own_us for _, own_us in own_times(operations)) / 1e6 - sum(seconds.values()))
    return dict(sorted(seconds.items(), key=lambda item: -item[1]))


def own_times(operations: list[Event]) -> Iterator[tuple[Event, float]]:
    """Return each operation with its microseconds, less those of the operations within it on the same thread.

    A trace has an event for a loop, a call or a condition, and others for all that runs in it.
    """
    own_us = [event["dur"] for event in operations]
    enclosing: list[int] = []
    for i in sorted(range(len(operations)), key=lambda i: (*_thread(operations[i]), *_span(operations[i]))):
        while enclosing and not _is_within(operations[i], operations[enclosing[-1]]):
            enclosing.pop()
        if enclosing:
            own_us[enclosing[-1]] -= operations[i]["dur"]
        enclosing.append(i)
    return zip(operations, own_us, strict=True)


def _thread(event: Event) -> tuple[int, int]:
    return event["pid"], event["tid"]


def _span(event: Event) -> tuple[float, float]:
    """Sort events by their start, and of those with the same start the longest first."""
    return event["ts"], -event["dur"]


def _is_within(inner: Event, outer: Event) -> bool:
    """Return whether an event that doesn't start before another one on its thread ends no later; sums of times are
    rounded.
    """
    late_us = inner["ts"] + inner["dur"] - outer["ts"] - outer["dur"]
    return _thread(inner) == _thread(outer) and late_us < RESOLUTION_US / 2


def table(seconds: dict[str, float]) -> str:
    """Return the parts with their times a step and their shares."""
    total = sum(seconds.values()) or 1.0
    lines = [f"{name:24s}{value / STEPS:9.4f} s{value / total:8.1%}" for name, value in seconds.items()]
    return "\n".join([f"{'part':24s}{'a step':>11s}{'share':>8s}", *lines])


if __name__ == "__main__":
    CONFIG = command_line.define_config_flag()
    OUTPUT = flags.DEFINE_string("output", "runs/profile", "folder for the trace")
    command_line.run(main)
