"""Compiles a config's training step with the TPU compiler, for chips that needn't be there, and says what it takes.

    make aot    # once: the compiler, in .venv-aot
    .venv-aot/bin/python -m tools.aot_compile --config=configs/interhand26m.py --topology=v5e:4x4 [--config.k=v ...]

The step, its shardings and its compiler are those of train.py on such chips. Memory and FLOP are what the compiler
says, bytes and collectives are read from its program; the times follow from published peaks: they are bounds, not
measurements.
"""

import importlib.metadata
import importlib.util
import json
import os
import time
from pathlib import Path
from typing import Any

import jax
from absl import flags
from jax.experimental import topologies

from occrobnet_jax import command_line
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.summary import git_sha
from occrobnet_jax.training.blank_batch import blank_batch
from occrobnet_jax.training.setup import Run, build
from tools.tpu.collectives import Collective, collectives, on_activations
from tools.tpu.hlo import num_bytes
from tools.tpu.memory_traffic import bytes_moved
from tools.tpu.topologies import TpuChip, chip_of

Report = dict[str, Any]

MOST_COLLECTIVES_SHOWN = 12
OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"


def compile_report(experiment: Experiment, topology: str) -> tuple[Report, str]:
    """Compile the training step for a topology.

    Returns:
        Its numbers, a chip and step each unless their names say otherwise; and the compiled program's text. With
        accumulation nothing is said of FLOP, bytes moved and time, and collectives are those of one microbatch.

    Raises:
        ValueError: there is no TPU compiler here, no such topology, or the experiment doesn't fit it.
    """
    chip = chip_of(topology)
    run = build(experiment, tpu_devices(topology))
    lowered = run.train_step.trace(run.carrier.carried(run.state), blank_batch(experiment)).lower()
    started = time.perf_counter()
    report = _setting(experiment, topology, run)
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        return report | {"fits": False, "reason": _needed(str(error))}, ""
    hlo = compiled.as_text()
    found = collectives(hlo)
    report |= {"fits": True, "compile_s": round(time.perf_counter() - started, 1), "chip_gib": chip.memory_gib}
    report |= _memory(compiled) | _traffic(found, run)
    if experiment.accumulation_steps == 1:  # the TPU compiler doesn't say how often a loop's body runs
        costs = {"tflop": compiled.cost_analysis()["flops"] / 1e12, "gb_moved": bytes_moved(hlo) / 1e9}
        report |= costs | bounds_of(chip, costs, found, report["images"])
    return report, hlo


def _setting(experiment: Experiment, topology: str, run: Run) -> Report:
    setting: Report = {"topology": topology, "mesh": dict(run.mesh.shape), "compute_dtype": experiment.compute_dtype}
    setting |= {"remat": experiment.model.remat, "accumulation_steps": experiment.accumulation_steps}
    setting |= {"images": experiment.global_batch_size / run.mesh.size, "commit": git_sha()}
    return setting | {name: importlib.metadata.version(name) for name in ("jax", "libtpu")}


def _needed(message: str) -> str:
    """Return the sentence of the compiler's error that says how much memory is missing."""
    return next((line.strip() for line in message.splitlines() if "Used " in line), message.splitlines()[0])


def tpu_devices(topology: str) -> list[Any]:
    """Return the descriptions of a topology's devices.

    Raises:
        ValueError: there is no TPU compiler here, or it knows no such topology.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise ValueError(
            "the TPU compiler is missing: `make aot` installs it (libtpu) in .venv-aot; use the Python there"
        )
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # or it asks the network which TPU this is
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # one process a machine is a rule for real chips only
    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=topology).devices)
    except Exception as error:  # what it raises differs between versions
        raise ValueError(f"--topology={topology}: the TPU compiler says {error}") from error


def bounds_of(chip: TpuChip, costs: Report, found: list[Collective], images: float) -> Report:
    """Return the shortest times that published peaks allow; what limits is the longest of the three, if all else
    overlaps.
    """
    times = {
        "compute_s": chip.compute_s(costs["tflop"]),
        "memory_s": chip.memory_s(costs["gb_moved"] * 1e9),
        "links_s": chip.links_s(sum((collective.num_bytes_sent for collective in found), 0.0)),
    }
    slowest = max(times, key=lambda name: times[name])
    return times | {"roofline_s": times[slowest], "limit": slowest[:-2], "images_per_s_bound": images / times[slowest]}


def _memory(compiled: Any) -> Report:
    """Return GiB: the state and the batch, what is computed in between, and the most at any time."""
    memory = compiled.memory_analysis()
    arguments, outputs = memory.argument_size_in_bytes, memory.output_size_in_bytes - memory.alias_size_in_bytes
    parts = {"arguments_gib": arguments, "temporary_gib": memory.temp_size_in_bytes}
    parts["total_gib"] = sum(parts.values()) + outputs + memory.generated_code_size_in_bytes
    return {name: value / 2**30 for name, value in parts.items()}


def _traffic(found: list[Collective], run: Run) -> Report:
    """Return collectives, largest first, and sums by kind."""
    rows = [_row(collective) for collective in sorted(found, key=lambda one: -one.num_bytes)]
    kinds = {kind: [one for one in found if one.kind == kind] for kind in dict.fromkeys(one.kind for one in found)}
    sums = {kind: {"count": len(ones), "mb": sum(one.num_bytes for one in ones) / 1e6} for kind, ones in kinds.items()}
    parameters_mb = 4 * run.num_parameters / 1e6
    unexpected = on_activations(found, run.state.params)
    return {
        "parameters_mb": parameters_mb,
        "collectives": sums,
        "collectives_on_activations": len(unexpected),
        "all_collectives": rows,
    }


def _row(collective: Collective) -> Report:
    dtype, shape = max(collective.arrays, key=num_bytes)
    row: Report = {"kind": collective.kind, "mb": collective.num_bytes / 1e6, "times": collective.times}
    return row | {"arrays": len(collective.arrays), "largest": f"{dtype}{list(shape)}", "scope": collective.scope}


def table(report: Report) -> str:
    """Return the report for people."""
    chip, lines = chip_of(report["topology"]), []
    lines += [f"{report['topology']} {report['mesh']}, {report['compute_dtype']}, {report['images']:g} images a chip"]
    if not report["fits"]:
        return "\n".join([*lines, f"does not fit: {report['reason']}"])
    lines += [f"compiled in {report['compile_s']:.0f} s; numbers are a chip and step"]
    rows = [
        ("memory", f"{report['total_gib']:.2f} GiB of {chip.memory_gib:g}", f"{report['temporary_gib']:.2f} temporary"),
        *(_time_rows(report, chip) if report["accumulation_steps"] == 1 else ()),
    ]
    lines += [f"  {name:<10}{value:<22}{remark}" for name, value, remark in rows]
    lines += [f"collectives (parameters are {report['parameters_mb']:.1f} MB)"]
    lines += [f"  {kind:<20}{one['count']:>5} {one['mb']:>9.2f} MB" for kind, one in report["collectives"].items()]
    lines += [f"  {report['collectives_on_activations']} of them on activations"]
    shown = report["all_collectives"][:MOST_COLLECTIVES_SHOWN]
    lines += [f"  {row['kind']:<20}{row['mb']:>9.2f} MB  {_origin(row)}" for row in shown]
    if more := len(report["all_collectives"]) - len(shown):
        lines += [f"  and {more} smaller ones"]
    if report["accumulation_steps"] > 1:
        lines += ["collectives are those of one microbatch; the compiler says nothing of the FLOP and bytes of a loop"]
    return "\n".join(lines)


def _time_rows(report: Report, chip: TpuChip) -> list[tuple[str, str, str]]:
    return [
        (
            "FLOP",
            f"{report['tflop']:.3f} T",
            f"{1e3 * report['compute_s']:.2f} ms at {chip.peak_tflop_per_s:g} TFLOP/s",
        ),
        (
            "moved",
            f"{report['gb_moved']:.2f} GB",
            f"{1e3 * report['memory_s']:.2f} ms at {chip.memory_gb_per_s:g} GB/s",
        ),
        ("links", "", f"{1e3 * report['links_s']:.2f} ms at {chip.links_gb_per_s / 2:g} GB/s each way"),
        (
            "roofline",
            f"{1e3 * report['roofline_s']:.2f} ms",
            f"limited by {report['limit']}: a bound, not a measurement",
        ),
        ("bound", f"{report['images_per_s_bound']:.0f} images/s", "a chip"),
    ]


def _origin(row: Report) -> str:
    return f"{row['times']}x {row['arrays']} arrays, {row['largest']}  {row['scope']}"


def main(arguments: list[str]) -> None:
    """Compile what the flags say, print the table, writes JSON and HLO where wanted."""
    if arguments:
        raise ValueError(f"only flags are taken, not {arguments[0]!r}")
    jax.config.update("jax_platforms", "cpu")
    experiment = command_line.experiment_of(CONFIG)
    print(f"compiling for {TOPOLOGY.value}; this takes minutes", flush=True)
    report, hlo = compile_report(experiment, TOPOLOGY.value)
    print(table(report))
    if JSON.value:
        write_atomically(Path(JSON.value), json.dumps(report, indent=1) + "\n")
    if HLO.value:
        write_atomically(Path(HLO.value), hlo)


if __name__ == "__main__":
    CONFIG = command_line.define_config_flag()
    TOPOLOGY = flags.DEFINE_string("topology", "v5e:4x4", "chip and grid, for example v6e:4x4 or v5p:2x2x2")
    JSON = flags.DEFINE_string("json", "", "file for the report")
    HLO = flags.DEFINE_string("hlo", "", "file for the compiled program's text")
    command_line.run(main)
