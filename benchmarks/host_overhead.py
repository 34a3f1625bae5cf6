"""What a step costs the host: train.py's loop around the paper's whole training state, and a program that does nothing.

Included are the batch's way to the device, the dispatch with every array of parameters, statistics and optimiser, and
the metrics' way into the record. All of it counts, though on an accelerator most would pass while the device works.

Not included is fetching the batch: here it is the same one each time. What receiving one of this size from two workers
costs this process stands in `details`; how much of it a step waits for depends on how far ahead the workers are.
"""

import contextlib
import dataclasses
import io
import itertools
import tempfile
import time
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import photos, workers
from benchmarks.networks import paper_experiment, synthetic_rows
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate
from occrobnet_jax.evaluation.evaluate import never
from occrobnet_jax.runs.state import TrainState
from occrobnet_jax.training.carried_state import Carried
from occrobnet_jax.training.metric_window import StepMetrics
from occrobnet_jax.training.setup import Position, Run, build
from occrobnet_jax.training.step import CompiledStep, compile_for
from occrobnet_jax.types import Batch
from train import open_writer, take_steps

LIMIT_MS, BATCH_SIZE, STEPS, WORKERS = 2.0, 8, 200, 2


def measure(name: str, runs: int) -> Measurement:
    """Measure milliseconds a step."""
    loop = Loop()
    times = alternate({"ours": loop.ms_a_step}, runs)
    times["2 ms"] = [LIMIT_MS] * runs
    received = f"receiving a batch of {BATCH_SIZE} from {WORKERS} workers, not included, processor ms"
    details = {"arrays in the state": loop.num_arrays, received: receiving_ms()}
    return measurement(times, "ms/step", details=details)


def receiving_ms() -> float:
    """Return the processor milliseconds that a batch of photos costs the process that workers make it for, measured
    once.
    """
    made, own_s = photos.Photos(photos.photo_records(), workers.LENGTH), dict[int, list[float]]()
    with mock.patch.object(photos, "BATCH_SIZE", BATCH_SIZE):
        workers.seconds_for(made, WORKERS, own_s)
    return 1e3 * own_s[WORKERS][0] / workers.BATCHES


class Loop:
    """The loop, with all that it needs."""

    def __init__(self) -> None:
        experiment = dataclasses.replace(paper_experiment(BATCH_SIZE), stop_after_steps=STEPS, eval_every_steps=0)
        run, rows = build(experiment), synthetic_rows(BATCH_SIZE)
        self.batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        self.run = dataclasses.replace(run, train_step=_idle_step(run, Batch.of(self.batch)))
        self.num_arrays = len(jax.tree.leaves(run.state))

    def ms_a_step(self) -> float:
        """Go once through the loop; its lines on the screen are dropped."""
        state, start = _zeros(self.run), Position(0, 0)
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stdout(io.StringIO()),
            open_writer(self.run.experiment, Path(folder), start) as writer,
        ):
            batches = (self.batch for _ in itertools.count())
            started_s = time.perf_counter()
            state, _ = take_steps(self.run, state, start, batches, _nothing, writer, _nothing, never)
            jax.block_until_ready(state)
            return 1e3 * (time.perf_counter() - started_s) / STEPS


def _nothing(*_: object) -> None:
    """Do nothing, in place of evaluating and of saving."""


def _idle_step(run: Run, batch: Batch) -> CompiledStep[Carried]:
    """Return a step that takes and returns what the real one does, and only counts."""
    carried = run.carrier.carried(run.state)
    _, metrics = run.train_step.trace(carried, batch).out_info

    def idle(state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
        zeros = jax.tree.map(lambda number: jnp.zeros(number.shape, number.dtype), metrics)
        return dataclasses.replace(state, step=state.step + 1), zeros

    return compile_for(run.mesh, run.carrier.step(idle), [leaf.sharding for leaf in carried])


def _zeros(run: Run) -> TrainState:
    return jax.tree.map(lambda leaf: jax.device_put(np.zeros(leaf.shape, leaf.dtype), leaf.sharding), run.state)
