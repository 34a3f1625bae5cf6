"""The paper's network at 256 x 256: forward, losses, backward, optimiser; batch 8 on a CPU, 32 on a GPU."""

from benchmarks.memory import peak_memory_mb
from benchmarks.networks import (
    MirrorStep,
    OurStep,
    mirror_of,
    paper_experiment,
    prepared,
    step_contestants,
    synthetic_batch,
)
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate
from benchmarks.torch_device import torch_device
from occrobnet_jax.runs.experiment import Experiment

BATCH_SIZE, GPU_BATCH_SIZE = 8, 32


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds a step, and each side's peak memory when it is alone."""
    return measure_step(paper_experiment(batch_size()), runs, with_memory=True)


def batch_size() -> int:
    """Return the images of a step."""
    return GPU_BATCH_SIZE if torch_device().type == "cuda" else BATCH_SIZE


def measure_step(experiment: Experiment, runs: int, *, with_memory: bool) -> Measurement:
    """Measure the same for any experiment."""
    contestants, flops = step_contestants(experiment)
    times = alternate(contestants, runs)
    memory = {}
    if with_memory:
        for side in ("ours", "PyTorch eager", *(["torch.compile"] if torch_device().type == "cuda" else [])):
            memory[f"{side}, peak memory in MB"] = peak_memory_mb("benchmarks.train_step", "take_step", side)
    return measurement(times, "s/step", flops=flops, details=memory)


def take_step(side: str) -> None:
    """Take two steps of one side alone, for its memory."""
    experiment = paper_experiment(batch_size())
    run, state = prepared(experiment)
    batch = synthetic_batch(batch_size())
    step: OurStep | MirrorStep
    if side == "ours":
        step = OurStep(run, state, batch)
    else:
        step = MirrorStep(experiment, mirror_of(experiment, state.variables), batch, compiled=side == "torch.compile")
        del state
    step()
    step()
