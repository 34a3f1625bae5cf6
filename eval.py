"""Evaluates a checkpoint: python eval.py --config=configs/X.py --workdir=DIR [--split=test] [--step=N | --watch].

Writes metrics.json, predictions.npz, card.json and report.html into DIR/eval/SPLIT. With --watch it evaluates each
checkpoint of a run that trains meanwhile, into DIR/eval/SPLIT/STEP, and ends when the run has finished. With
--corruptions it evaluates the split under each corruption instead, into DIR/eval/SPLIT/corruptions.
"""

from occrobnet_jax import usage  # isort: split

usage.answer_help(__name__)  # before all that takes seconds to load

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import flags
from flax import linen as nn
from jax.sharding import Mesh

from input_pipeline.corruptions import Corruption
from occrobnet_jax import command_line
from occrobnet_jax.evaluation.card import METRICS, PREDICTIONS, write_card
from occrobnet_jax.evaluation.corruptions import CORRUPTIONS, PAGE, sweep
from occrobnet_jax.evaluation.evaluate import make_predict, make_setting, write_metrics, write_predictions
from occrobnet_jax.evaluation.formats.records_file import open_records
from occrobnet_jax.evaluation.metrics.metrics import Metrics, compute_metrics
from occrobnet_jax.evaluation.report import report_html
from occrobnet_jax.evaluation.watch import watch
from occrobnet_jax.files.atomic import write_atomically
from occrobnet_jax.files.paths import AnyPath, path_of
from occrobnet_jax.parallel import hosts, platforms, watchdog
from occrobnet_jax.parallel.mesh import describe, make_mesh
from occrobnet_jax.runs.agreement import check_hosts_agree, check_workdir_is_shared
from occrobnet_jax.runs.compilation_cache import use_compilation_cache
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.history import METRICS_FILE, read_history
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.restore import checkpoint_sha256, restore_variables
from occrobnet_jax.runs.summary import EVALUATIONS, prepare_workdir, refuse_links, versions
from occrobnet_jax.runs.wandb_evaluation import REPORT, EvaluationReport

Report = Callable[[Path], None]

ON_SCREEN = (
    *("mpjpe_mm", "mpjpe_mm/mean_pose", "mpjpe_mm/visible", "mpjpe_mm/occluded"),
    *("pa_mpjpe_mm", "pa_mpjpe_mm/mean_pose", "mrrpe_mm", "error_2d_px", "token_recall", "handedness_accuracy"),
    *("visibility_auc", "object_corner_error_mm"),
)


def evaluate(experiment: Experiment, workdir: AnyPath, split: str, step: int | None) -> None:
    """Evaluate a checkpoint of a workdir on a split, and write the result.

    Raises:
        ValueError: dataset or checkpoint are missing, damaged, or don't fit the experiment.
    """
    refuse_links(workdir)
    with reported(workdir) as report:
        open_evaluation(experiment, workdir, split, report)(step, workdir / EVALUATIONS / split)


def evaluate_all(experiment: Experiment, workdir: AnyPath, split: str) -> None:
    """Evaluate each checkpoint of a run while it trains, each into a folder of its own, until it has finished.

    Raises:
        ValueError: the dataset is missing, a sound checkpoint doesn't fit the experiment, or there are several hosts.
    """
    if hosts.num_hosts() > 1:
        raise ValueError("--watch is for one process, which may have several devices; start it without other hosts")
    prepare_workdir(workdir)
    with reported(workdir) as report:
        watch(workdir, workdir / EVALUATIONS / split, open_evaluation(experiment, workdir, split, report))


def evaluate_corrupted(experiment: Experiment, workdir: AnyPath, split: str, step: int | None) -> None:
    """Evaluate a checkpoint on a split under each corruption, and write the table; what is there already is kept.

    Raises:
        ValueError: dataset or checkpoint are missing, damaged, or don't fit the experiment.
    """
    refuse_links(workdir)
    model, mesh = open_network(experiment, workdir)
    predict, setting = make_predict(experiment, model, mesh, split), make_setting(experiment, split)
    variables, step = restore_variables(model, experiment.data.input_size_px, workdir, step, mesh)

    def score(corruption: Corruption | None) -> Metrics:
        return compute_metrics(predict(variables, corruption), setting(), seed=None)

    of = {"step": step, "checkpoint": checkpoint_sha256(workdir, step), **setting().switches}
    folder = workdir / EVALUATIONS / split / CORRUPTIONS
    sweep(score, folder, json.loads(json.dumps(of)))
    if hosts.is_lead():
        print(folder / PAGE)


@contextlib.contextmanager
def reported(workdir: AnyPath) -> Iterator[Report]:
    """Yield a function that tells Weights & Biases, if the run does, of the evaluation in a folder."""
    report = EvaluationReport(workdir)
    try:
        yield report.add
    finally:
        report.finish()


def open_evaluation(
    experiment: Experiment, workdir: AnyPath, split: str, report: Report
) -> Callable[[int | None, Path], None]:
    """Return a function that evaluates a step's checkpoint, or the newest, into a folder; it compiles once."""
    model, mesh = open_network(experiment, workdir)
    predict, setting = make_predict(experiment, model, mesh, split), make_setting(experiment, split)

    def evaluate_step(step: int | None, folder: AnyPath) -> None:
        variables, step = restore_variables(model, experiment.data.input_size_px, workdir, step, mesh)
        sha256 = checkpoint_sha256(workdir, step)  # a run that goes on may remove it soon
        write_predictions(folder / PREDICTIONS, predict(variables), setting())
        if hosts.is_lead():
            write_results(experiment, workdir, folder, step, sha256)
            report(folder)

    return evaluate_step


def open_network(experiment: Experiment, workdir: AnyPath) -> tuple[nn.Module, Mesh]:
    """Return the network and the devices that it runs on, once the hosts agree on both."""
    use_compilation_cache(experiment.compilation_cache_dir)
    check_hosts_agree(experiment)
    check_workdir_is_shared(workdir)
    mesh = make_mesh(experiment.mesh)
    if hosts.is_lead():
        print(describe(mesh, hosts.num_machines()), flush=True)
    return make_model(experiment), mesh


def write_results(experiment: Experiment, workdir: AnyPath, folder: AnyPath, step: int, checkpoint: str) -> None:
    """Write metrics, card and report of the predictions in a folder, and show the most important numbers.

    Args:
        experiment: as run.
        workdir: of the run.
        folder: of predictions.npz, and of what is written.
        step: of the checkpoint.
        checkpoint: the checkpoint's SHA-256.
    """
    predictions = open_records(folder / PREDICTIONS)
    metrics = compute_metrics(predictions.chunks(), predictions.setting)
    write_metrics(folder / METRICS, metrics, predictions.setting, step)
    write_card(folder, config_of(experiment), step, checkpoint, versions())
    origin = ", ".join(f"{name} {version}" for name, version in versions().items())
    history = read_history(workdir / METRICS_FILE)
    page = report_html(metrics, predictions, experiment, step=step, history=history, origin=origin)
    write_atomically(folder / REPORT, page)
    announce(metrics, folder)


def announce(metrics: Metrics, folder: AnyPath) -> None:
    """Show the most important numbers and where the rest is."""
    for name in ON_SCREEN:
        if name in metrics:
            print(f"{name:28s}{metrics[name]:10.3f}")
    print(f"{folder / 'metrics.json'}\n{folder / REPORT}")


def main(arguments: list[str]) -> None:
    """Evaluate what the flags say."""
    if arguments:
        raise ValueError(f"eval.py takes flags only, not {arguments[0]!r}")
    experiment = command_line.experiment_of(CONFIG)
    command_line.join_hosts(HOSTS, experiment, saves_on_sigterm=False)
    platforms.start_on(PLATFORM.value)
    with watchdog.watching(experiment.hosts.watchdog_minutes):
        split = SPLIT.value or experiment.data.eval_split
        if WATCH.value and SWEEP.value:
            raise ValueError("--watch and --corruptions are two evaluations; give one of them")
        if WATCH.value:
            evaluate_all(experiment, path_of(WORKDIR.value), split)
        elif SWEEP.value:
            evaluate_corrupted(experiment, path_of(WORKDIR.value), split, STEP.value)
        else:
            evaluate(experiment, path_of(WORKDIR.value), split, STEP.value)


if __name__ == "__main__":
    CONFIG = command_line.define_config_flag()
    HOSTS = command_line.define_host_flags()
    PLATFORM = command_line.define_platform_flag()
    WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run, here or in a bucket", required=True)
    SPLIT = flags.DEFINE_string("split", None, "split to evaluate on; config.data.eval_split by default")
    STEP = flags.DEFINE_integer("step", None, "evaluate this step's checkpoint instead of the newest", lower_bound=0)
    WATCH = flags.DEFINE_bool("watch", False, "evaluate each new checkpoint, until the run has finished")
    SWEEP = flags.DEFINE_bool(
        "corruptions", False, "evaluate under occlusion, blur, wrong boxes, ...: docs/evaluation.md"
    )
    command_line.run(main)
