"""Trains a network: python train.py --config=configs/X.py --workdir=DIR [--config.key=value ...].

Started again on the same workdir, it goes on from the newest checkpoint as if it had never stopped. SIGTERM to any of
its processes makes all of them save and end, with status 0; Ctrl-C does the same, with status 130. docs/multi_host.md
says how to start it on several hosts.
"""

from occrobnet_jax import usage  # isort: split

usage.answer_help(__name__)  # before all that takes seconds to load

import contextlib
import dataclasses
import gc
import math
import shlex
import signal
import sys
import time
import typing
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags, logging

from input_pipeline.pipeline import check_workers, split_size, train_batches
from occrobnet_jax import command_line
from occrobnet_jax.evaluation.evaluate import Evaluation, Interrupted, MustEnd, make_evaluate
from occrobnet_jax.evaluation.pictures import overlays
from occrobnet_jax.files.paths import AnyPath, here, path_of
from occrobnet_jax.parallel import hosts, platforms, watchdog
from occrobnet_jax.parallel.mesh import describe
from occrobnet_jax.parallel.preemption import Preemption
from occrobnet_jax.runs.agreement import check_hosts_agree, check_workdir_is_shared
from occrobnet_jax.runs.bucket_checkpoints import AnyCheckpointWriter, checkpoint_writer
from occrobnet_jax.runs.checkpoint import CheckpointMeta
from occrobnet_jax.runs.compilation_cache import use_compilation_cache
from occrobnet_jax.runs.config import config_of, places_of
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.history import METRICS_FILE
from occrobnet_jax.runs.recipe import check_lengths
from occrobnet_jax.runs.state import TrainState, state_sha256
from occrobnet_jax.runs.summary import (
    SUMMARY_FILE,
    config_changes,
    git_sha,
    prepare_workdir,
    write_config,
    write_summary,
)
from occrobnet_jax.runs.wandb_run import workdir_of
from occrobnet_jax.training import compile_time
from occrobnet_jax.training.goodput import goodput, note_start
from occrobnet_jax.training.metric_window import MetricWindow
from occrobnet_jax.training.metric_writer import MetricWriter
from occrobnet_jax.training.profiler import profiled, steps_to_profile
from occrobnet_jax.training.setup import Position, Run, build, compiled_meanwhile, restore_or_create
from occrobnet_jax.training.tensorboard_run import check_installed
from occrobnet_jax.types import Batch

Metrics = dict[str, float]
Evaluate = Callable[[dict[str, Any]], Evaluation]
LocalBatches = Generator[dict[str, np.ndarray], None, None]

NUM_OVERLAYS = 8
NO_STEPS = range(0)
PREEMPTED = 128 + signal.SIGTERM  # what a run that goes on elsewhere ends with in Weights & Biases
Save = Callable[[TrainState, Position], None]
Validate = Callable[[TrainState, int], None]


def train(experiment: Experiment, workdir: AnyPath, profiled_steps: range = NO_STEPS) -> int:
    """Train from the newest checkpoint, or the beginning, to the experiment's last step.

    Args:
        experiment: what to train.
        workdir: where the run is kept.
        profiled_steps: which steps to write a trace of.

    Returns:
        The exit status: 0, or that of a program which Ctrl-C has ended.

    Raises:
        ValueError: the workdir, the dataset, the devices or a checkpoint doesn't fit the experiment.
        FloatingPointError: the loss or the gradient isn't finite any more.
    """
    started_s = time.monotonic()
    num_examples = prepare(experiment, workdir)
    run, preemption = build(experiment, keeps_programs=True), Preemption()
    told = compile_time.told(workdir, "the training step") if hosts.is_lead() else contextlib.nullcontext()
    with told, compiled_meanwhile(run):
        state, start, began_with = restore_or_create(run, workdir)
        batches = open_batches(experiment, start)
        evaluate = open_evaluation(run, preemption.is_due)
    announce(run, start, num_examples, began_with)
    keep_config(experiment, workdir)
    with (
        preemption,  # the first: SIGTERM may come again while the last checkpoint is written
        contextlib.closing(batches),
        written_at_the_end(workdir) as summary,  # when Weights & Biases, too, has all that it gets
        open_writer(experiment, workdir, start) as writer,
        open_checkpoints(experiment, workdir) as checkpoints,
        profiled(run.train_step, profiled_steps, start.step, profile_folder(workdir)) as train_step,
    ):
        save = make_save(experiment, writer, checkpoints, began_with)
        validate = make_validate(evaluate, run, writer, checkpoints)
        make_up_evaluation(validate, experiment, state, start)
        run = dataclasses.replace(run, train_step=train_step)  # type: ignore[arg-type]
        state, end = take_steps(run, state, start, batches, validate, writer, save, preemption.is_due)
        checkpoints.wait()  # before anybody is told that it is there
        if end.step < experiment.last_step:
            end_unfinished(writer, preemption)
        summary |= finish(state, end, workdir, writer, time.monotonic() - started_s)
    if hosts.is_lead():
        announce_end(experiment, workdir, end)
    return command_line.INTERRUPTED if preemption.by_user else 0


def make_save(experiment: Experiment, writer: MetricWriter, checkpoints: AnyCheckpointWriter, began_with: str) -> Save:
    """Return a function that saves a state, with where it stands and which weights the run began with."""
    config, code = config_of(experiment), git_sha()

    def save(state: TrainState, position: Position) -> None:
        at = (position.step, position.examples_seen)
        meta = CheckpointMeta(*at, config, code, writer.wandb_id, began_with=began_with)
        writer.flush()  # the lines up to a step are in the workdir before its checkpoint is
        checkpoints.save(state, meta)

    return save


def prepare(experiment: Experiment, workdir: AnyPath) -> int:
    """Look whether everything is there that a run needs, and note its start; return the number of examples.

    Raises:
        ValueError: the workdir, the dataset, the batch size, shared memory or another host doesn't fit the
            experiment.
    """
    prepare_workdir(workdir)
    use_compilation_cache(experiment.compilation_cache_dir)
    if experiment.tensorboard:
        check_installed()
    num_examples = split_size(experiment.data, experiment.data.train_split)  # a missing dataset is told at once
    check_workers(
        experiment.data,
        heatmap_stride=experiment.model.heatmap_stride,
        global_batch_size=experiment.global_batch_size,
        num_hosts=hosts.num_hosts(),
    )
    check_lengths(experiment.recipe, experiment.global_batch_size, num_examples)
    check_hosts_agree(experiment)
    check_workdir_is_shared(workdir)
    if hosts.is_lead():
        note_start(workdir)
    return num_examples


def take_steps(
    run: Run,
    state: TrainState,
    start: Position,
    batches: LocalBatches,
    validate: Validate,
    writer: MetricWriter,
    save: Save,
    must_end: MustEnd,
) -> tuple[TrainState, Position]:
    """Take the steps; return the last state and its position, an earlier one than planned where `must_end` said so.

    Its order: fetch a batch, hand the step to the device, then write the window before it, so that the device works
    while the host does; then save, then evaluate. Numbers are read, and found finite, before a state is saved, and a
    state is saved before it is evaluated: a run that is killed meanwhile goes on from there.
    """
    experiment, step = run.experiment, start.step
    gc.freeze()  # Python's collector would look through the traced programs again and again, a third of the host's time
    carried = run.carrier.carried(state)
    window = MetricWindow(experiment.global_batch_size, run.step_at_peak_s)
    for step in range(start.step + 1, experiment.last_step + 1):
        with window.waiting():
            batch = Batch.of(next(batches))
        with jax.transfer_guard("disallow"):  # nothing but batches goes to the device, and nothing comes back
            carried, metrics = run.train_step(carried, batch)
        if len(window) and is_due(step - 1, experiment.log_every_steps):
            writer.write(step - 1, window.read())
        window.add(step, metrics)
        watchdog.beat()

        ends_early, is_last = must_end(), step == experiment.last_step
        evaluates = evaluation_is_due(experiment, step) and not ends_early
        if is_last or ends_early or evaluates or is_due(step, experiment.checkpoint_every_steps):
            writer.write(step, window.read())
            state = run.carrier.state(carried)
            save(state, start.after(step, experiment.global_batch_size))
            if evaluates:
                validate(state, step)
                ends_early = must_end()  # an evaluation takes its time
            window.restart_clock()
        if ends_early:
            break
    return run.carrier.state(carried), start.after(step, experiment.global_batch_size)


def make_up_evaluation(validate: Validate, experiment: Experiment, state: TrainState, start: Position) -> None:
    """Evaluate the state that a run goes on from where it was killed, or asked to end, in that evaluation."""
    if not start.is_evaluated and evaluation_is_due(experiment, start.step):
        validate(state, start.step)


def evaluation_is_due(experiment: Experiment, step: int) -> bool:
    """Return whether the state after this step is evaluated."""
    is_last = step == experiment.last_step and experiment.eval_every_steps > 0
    return is_last or is_due(step, experiment.eval_every_steps)


def is_due(step: int, every_steps: int) -> bool:
    """Return whether `step` is one of every so many; 0 is never."""
    return every_steps > 0 and step % every_steps == 0


def open_batches(experiment: Experiment, start: Position) -> LocalBatches:
    """Return the training batches from `start` on, this host's share of them."""
    batches = train_batches(
        experiment.data,
        heatmap_stride=experiment.model.heatmap_stride,
        global_batch_size=experiment.global_batch_size,
        seed=experiment.seed,
        examples_seen=start.examples_seen,
        host=hosts.host_index(),
        num_hosts=hosts.num_hosts(),
    )
    return typing.cast(LocalBatches, batches)


def open_evaluation(run: Run, must_end: MustEnd) -> Evaluate | None:
    """Return a function that evaluates the network's variables on the evaluation split, if the run evaluates at all."""
    if not run.experiment.eval_every_steps:
        return None
    return make_evaluate(run.experiment, run.model, run.mesh, run.experiment.data.eval_split, must_end, NUM_OVERLAYS)


def make_validate(
    evaluate: Evaluate | None, run: Run, writer: MetricWriter, checkpoints: AnyCheckpointWriter
) -> Validate:
    """Return a function that evaluates a saved state, and record what is found in the run's numbers and beside the
    state.
    """

    def validate(state: TrainState, step: int) -> None:
        if measured := measure(evaluate, run, state, step, writer):
            writer.write(step, {f"val/{name}": float(value) for name, value in measured.items()})
            checkpoints.keep_metrics(step, measured)

    return validate


def measure(evaluate: Evaluate | None, run: Run, state: TrainState, step: int, writer: MetricWriter) -> Metrics:
    """Return the metrics of a state, with its averaged weights where there are any; pictures of some examples go to the
    writer.

    There are none on hosts other than the lead, and where the run was asked to end meanwhile.
    """
    if evaluate is None:
        return {}
    try:
        evaluation = evaluate(state.variables)
    except Interrupted:
        logging.warning("asked to end during the evaluation of step %d; the next start makes up for it", step)
        return {}
    if writer.shows_images:
        data = run.experiment.data
        writer.write_images(step, {"val/overlays": overlays(evaluation.shown, data, data.eval_split)})
    return dict(evaluation.metrics)


def open_writer(experiment: Experiment, workdir: AnyPath, start: Position) -> MetricWriter:
    """Return the record of the run's numbers, continued after `start`."""
    return MetricWriter(
        workdir,
        experiment.wandb,
        config_of(experiment),
        step=start.step,
        last_step=experiment.last_step,
        is_lead=hosts.is_lead(),
        tensorboard=experiment.tensorboard,
    )


def open_checkpoints(experiment: Experiment, workdir: AnyPath) -> AnyCheckpointWriter:
    """Return where states are saved, and which of them stay."""
    return checkpoint_writer(
        workdir,
        experiment.keep_checkpoints,
        every_steps=experiment.keep_every_steps,
        best=experiment.keep_best,
        best_is=experiment.best_is,
    )


def profile_folder(workdir: AnyPath) -> Path:
    """Return where this host's traces go."""
    return here(workdir) / "profile" / f"host_{hosts.host_index()}"


def announce(run: Run, start: Position, num_examples: int, began_with: str) -> None:
    """Say what is about to be trained, where, and on how much."""
    experiment = run.experiment
    batch = experiment.global_batch_size
    if hosts.is_lead():
        print(
            f"{describe(run.mesh, hosts.num_machines())}\n"
            f"{run.num_parameters:,} parameters; batches of {batch}, {batch // run.mesh.size} a device; "
            f"{num_examples:,} examples, {math.ceil(num_examples / batch)} steps an epoch; "
            f"from step {start.step} to {experiment.last_step}, "
            f"{experiment.last_step * batch / num_examples:.1f} epochs\nweights: {began_with}",
            flush=True,
        )
        if experiment.model.representation == "angles" and not experiment.has_pose_labels:
            print(
                f"the pose parameters of {experiment.data.name} are of another hand than model.hand_model="
                f"{experiment.model.hand_model!r}: its joints teach, its angles and shapes don't",
                flush=True,
            )


def keep_config(experiment: Experiment, workdir: AnyPath) -> None:
    """Write config.json, after naming what has changed since the run was started."""
    if hosts.is_lead():
        for change in config_changes(workdir, config_of(experiment)):
            logging.warning("the config has changed since this workdir's last run: %s", change)
        write_config(workdir, config_of(experiment))


@contextlib.contextmanager
def written_at_the_end(workdir: AnyPath) -> Iterator[dict[str, Any]]:
    """Write what the body has put into the dictionary as summary.json, unless an error ended it."""
    summary: dict[str, Any] = {}
    yield summary
    if hosts.is_lead():
        write_summary(workdir, summary)


def end_unfinished(writer: MetricWriter, preemption: Preemption) -> None:
    """Tell Weights & Biases why the run ends before its last step: its user interrupts it, or a scheduler does."""
    status = command_line.INTERRUPTED if preemption.by_user else PREEMPTED
    writer.end_unfinished(status, preempted=not preemption.by_user)


def finish(state: TrainState, end: Position, workdir: AnyPath, writer: MetricWriter, wall_s: float) -> dict[str, Any]:
    """Return what the run has come to, which Weights & Biases gets as well."""
    position = {"step": end.step, "examples_seen": end.examples_seen}
    summary = {**position, "state_sha256": state_sha256(state), "wall_s": wall_s}
    if hosts.is_lead():
        summary |= goodput(workdir)
    writer.summarize(summary)
    return summary


def announce_end(experiment: Experiment, workdir: AnyPath, end: Position) -> None:
    """Say where everything is, and what comes next."""
    print(f"{workdir}: checkpoints/{end.step}, {METRICS_FILE}, {SUMMARY_FILE}")
    if end.step < experiment.last_step:
        print(f"asked to end: step {end.step} is saved; started again, the run goes on from there")
    else:
        flags = [f"--config=configs/workdir.py:{workdir}", f"--workdir={workdir}", *places_of(experiment)]
        print(f"next: python eval.py {shlex.join(flags)}")
    if experiment.wandb.mode == "offline":
        print(f"to Weights & Biases, from where there is a network: python -m occrobnet_jax.runs.sync {workdir}")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Train what the flags say; return the exit status."""
    if arguments:
        raise ValueError(f"only flags are taken, not {arguments[0]!r}")
    experiment = command_line.experiment_of(CONFIG)
    profiled_steps = steps_to_profile(PROFILE_STEPS.value, experiment.last_step)
    command_line.join_hosts(HOSTS, experiment, saves_on_sigterm=True)
    platforms.start_on(PLATFORM.value)
    with watchdog.watching(experiment.hosts.watchdog_minutes):
        return train(experiment, workdir_of(path_of(WORKDIR.value)), profiled_steps)


if __name__ == "__main__":
    CONFIG = command_line.define_config_flag()
    HOSTS = command_line.define_host_flags()
    PLATFORM = command_line.define_platform_flag()
    WORKDIR = flags.DEFINE_string("workdir", None, "folder that the run is kept in, here or in a bucket", required=True)
    PROFILE_STEPS = flags.DEFINE_string("profile_steps", "", "FIRST:LAST: steps to trace into WORKDIR/profile")
    command_line.run(main)
