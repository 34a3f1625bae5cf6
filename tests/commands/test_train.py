"""train.py as a whole: what it leaves in a workdir, and that stopping and starting again changes nothing of it."""

import dataclasses
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest
import wandb

from input_pipeline.config import DataConfig
from occrobnet_jax.evaluation.evaluate import Interrupted
from occrobnet_jax.runs.checkpoint import CheckpointWriter, read_meta
from occrobnet_jax.runs.checkpoint_folders import checkpoint_directory, checkpoint_steps
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.experiment import Experiment, OptimizerConfig, WandbConfig
from occrobnet_jax.runs.restore import restore_for_inference
from occrobnet_jax.runs.wandb_run import workdir_of
from occrobnet_jax.training import setup
from occrobnet_jax.training.metric_window import StepMetrics
from occrobnet_jax.training.metric_writer import MetricWriter
from occrobnet_jax.training.setup import Position
from occrobnet_jax.types import Batch
from tests.faults.stand_in import StandIn, train_step_of
from tests.runs.test_wandb_run import as_dict, read_run
from tests.support.fake_datasets import write_fake_dataset
from tests.support.limits import HANG_S
from tests.support.tiny import INPUT_SIZE_PX, LEAN_MODEL
from train import make_up_evaluation, make_validate, measure, prepare, take_steps, train

START = Position(0, 0)
MODEL = dataclasses.replace(LEAN_MODEL, dropout=0.1)
COMPILATION = "/jax/core/compile/backend_compile_duration"  # told whether or not the compiler's cache had it
REPOSITORY = Path(__file__).parents[2]
NEW_PROCESS = """
import json, pathlib, sys
from occrobnet_jax.models.resnet import STAGE_SIZES
from occrobnet_jax.runs.config import experiment_from
from train import train

STAGE_SIZES["resnet18"] = (1, 1, 1, 1)  # as the fixture shallow_resnet18 does
workdir = pathlib.Path(sys.argv[1])
config = json.loads((workdir / "config.json").read_text())
train(experiment_from(config | {"eval_every_steps": 0, "wandb": {}}), workdir)
"""


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory, shallow_resnet18: None) -> Experiment:
    """Four steps with everything that has a state of its own: dropout, averaged weights, the end of teacher forcing."""
    data_dir = write_fake_dataset(tmp_path_factory.mktemp("data"), 12, INPUT_SIZE_PX)
    return Experiment(
        model=MODEL,
        data=DataConfig(data_dir=str(data_dir), input_size_px=INPUT_SIZE_PX),
        optimizer=OptimizerConfig(learning_rate=1e-3, average_decay=0.9, schedule="cosine", warmup_steps=2),
        global_batch_size=8,
        total_steps=4,
        teacher_forced_steps=3,
        log_every_steps=1,
        eval_every_steps=0,
        checkpoint_every_steps=2,
        compilation_cache_dir=str(tmp_path_factory.mktemp("cache")),
    )


def test_too_little_shared_memory_is_told_before_anything_is_traced(experiment, monkeypatch, tmp_path):
    monkeypatch.setattr("input_pipeline.workers.os.statvfs", lambda folder: SimpleNamespace(f_bavail=1, f_frsize=4096))
    data = dataclasses.replace(experiment.data, num_workers=2)
    with pytest.raises(ValueError, match=r"data workers hand over up to 8 batches in shared memory.* give the contain"):
        prepare(dataclasses.replace(experiment, data=data), tmp_path)


@pytest.fixture(scope="module")
def undisturbed(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a run that was never stopped, which also evaluates and reports to Weights & Biases."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("occrobnet_jax.runs.wandb_run.FINISH_TIMEOUT_S", 600)  # the machine may be busy
        train(dataclasses.replace(experiment, eval_every_steps=4, wandb=WandbConfig(mode="offline")), workdir)
    return workdir


@pytest.fixture(scope="module")
def resumed(undisturbed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of the same run, killed after its first checkpoint and gone on with in a new process."""
    workdir = shutil.copytree(undisturbed, tmp_path_factory.mktemp("resumed") / "run")
    shutil.rmtree(workdir / "checkpoints" / "4")
    (workdir / "summary.json").unlink()
    with (workdir / "metrics.jsonl").open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines(undisturbed)[:2])
        file.write('{"step": 3, "loss": 0.0}\n{"step": 4, "lo')  # it was killed later than it was saved
    command = [sys.executable, "-c", NEW_PROCESS, str(workdir)]
    subprocess.run(command, cwd=REPOSITORY, env=os.environ, check=True, timeout=HANG_S)
    return workdir


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def lines(workdir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_new_process_goes_on_as_if_nothing_had_happened(undisturbed, resumed):
    whole, parts = read(undisturbed / "summary.json"), read(resumed / "summary.json")
    assert parts["state_sha256"] == whole["state_sha256"]
    assert (parts["step"], parts["examples_seen"]) == (whole["step"], whole["examples_seen"]) == (4, 32)


def test_the_record_of_a_resumed_run_has_every_step_once(undisturbed, resumed):
    assert [line["step"] for line in lines(resumed)] == [line["step"] for line in lines(undisturbed)] == [1, 2, 3, 4]
    for name in ("loss", "loss/heatmap", "gradient_norm", "learning_rate", "keypoints_per_image"):
        assert [line[name] for line in lines(resumed)] == [line[name] for line in lines(undisturbed)]


def test_a_workdir_holds_what_was_promised(undisturbed, experiment):
    kept = experiment_from(read(undisturbed / "config.json"))
    assert dataclasses.replace(kept, eval_every_steps=0, wandb=WandbConfig()) == experiment
    assert checkpoint_steps(undisturbed) == [2, 4]
    summary = read(undisturbed / "summary.json")
    assert len(summary["state_sha256"]) == 64
    assert summary["wall_s"] > 0
    assert 0 < summary["goodput_share"] < 1
    assert summary["productive_s"] < summary["since_first_start_s"]
    assert {"python", "jax", "flax", "occrobnet_jax", "git_sha"} <= set(summary["versions"])
    assert {"loss", "images_per_s", "step_time_s", "data_wait_share", "saturated_gates"} <= set(lines(undisturbed)[1])
    assert lines(undisturbed)[-1]["val/mpjpe_mm"] > 0


def test_weights_and_biases_get_the_run_its_overlays_and_its_summary(undisturbed):
    records = read_run(undisturbed)
    history = [as_dict(record.history.item) for record in records if record.HasField("history")]
    assert [row["step"] for row in history if "loss" in row] == [1, 2, 3, 4]
    assert [row["val/overlays.count"] for row in history if "val/overlays.count" in row] == [6]  # of 6 examples
    summaries = [as_dict(record.summary.update) for record in records if record.HasField("summary")]
    digest = read(undisturbed / "summary.json")["state_sha256"]
    assert any(summary.get("state_sha256") == digest for summary in summaries)


def test_a_finished_run_started_again_changes_nothing(experiment, undisturbed):
    before = read(undisturbed / "summary.json"), lines(undisturbed)
    train(experiment, undisturbed)
    assert read(undisturbed / "summary.json")["state_sha256"] == before[0]["state_sha256"]
    assert lines(undisturbed) == before[1]


def test_nothing_is_compiled_after_the_first_step_and_the_first_evaluation(experiment, tmp_path, monkeypatch):
    compiled, so_far = [0], {}

    def count(event: str, duration_s: float, **_: Any) -> None:
        compiled[0] += event == COMPILATION

    def noting(name: str, function: Any) -> Any:
        """The function, which notes what was compiled before each of its calls."""

        def noted(*given: Any) -> Any:
            so_far[f"{name} {sum(key.startswith(name) for key in so_far) + 1}"] = compiled[0]
            return function(*given)

        return noted

    monkeypatch.setattr("train.Batch", SimpleNamespace(of=noting("batch", Batch.of)))
    monkeypatch.setattr("train.measure", noting("evaluation", measure))
    monkeypatch.setattr(CheckpointWriter, "save", noting("save", CheckpointWriter.save))
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        train(dataclasses.replace(experiment, eval_every_steps=2), tmp_path / "run")
    finally:
        jax.monitoring.unregister_event_duration_listener(count)
    assert 1 < so_far["batch 1"] == so_far["batch 2"]  # the state's creation and the step, side by side
    assert so_far["batch 2"] == so_far["save 1"] <= so_far["evaluation 1"] < so_far["batch 3"]
    assert so_far["batch 3"] == so_far["batch 4"] == so_far["save 2"] == so_far["evaluation 2"]


def test_a_checkpoint_carries_its_config_and_position(undisturbed, experiment):
    restored = restore_for_inference(undisturbed)
    assert restored.step == 4
    assert experiment_from(restored.config).model == experiment.model


def test_a_config_that_does_not_fit_the_checkpoint_names_shapes(experiment, undisturbed):
    wider = dataclasses.replace(experiment, model=dataclasses.replace(MODEL, feed_forward=48))
    with pytest.raises(ValueError, match=r"feed_forward.*|expected float32\[32, 48\], got float32\[32, 32\]"):
        train(wider, undisturbed)
    assert experiment_from(read(undisturbed / "config.json")).model == experiment.model  # what was run stays written


def test_a_missing_dataset_is_told_before_anything_is_written(experiment, tmp_path):
    data = dataclasses.replace(experiment.data, data_dir=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"there is no prepared dataset in .*nowhere"):
        train(dataclasses.replace(experiment, data=data), tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_a_workdir_that_can_not_be_written_is_told_at_once(experiment, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"--workdir=.*file/run can't be written"):
        train(experiment, tmp_path / "file" / "run")


def test_batches_that_do_not_fit_the_devices_are_refused(experiment, tmp_path):
    with pytest.raises(ValueError, match=r"global_batch_size=12 must be a multiple of the 8 devices; try 16"):
        train(dataclasses.replace(experiment, global_batch_size=12), tmp_path)


def test_sigterm_is_only_noted_until_the_last_checkpoint_is_on_disk(experiment, tmp_path, monkeypatch):
    """Schedulers send it again, and parents pass it on."""
    monkeypatch.setattr(setup, "make_model", lambda experiment: StandIn())
    monkeypatch.setattr(setup, "make_train_step", train_step_of)
    ended, end = [], CheckpointWriter.__exit__

    def end_when_asked_again(writer: CheckpointWriter, *error: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        end(writer, *error)

    monkeypatch.setattr(CheckpointWriter, "__exit__", end_when_asked_again)
    before = signal.signal(signal.SIGTERM, lambda *_: ended.append("by SIGTERM"))
    train(dataclasses.replace(experiment, total_steps=1), tmp_path)
    signal.signal(signal.SIGTERM, before)
    assert not ended
    assert checkpoint_steps(tmp_path) == [1]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # what W&B does with its sockets is its own affair
def test_a_sweep_of_three_runs_has_three_workdirs_three_ids_and_in_each_what_its_record_has(
    experiment, tmp_path, monkeypatch
):
    monkeypatch.setattr(setup, "make_model", lambda experiment: StandIn())
    monkeypatch.setattr(setup, "make_train_step", train_step_of)
    monkeypatch.setattr("occrobnet_jax.runs.wandb_run.FINISH_TIMEOUT_S", 600.0)  # the machine may be busy
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep1")
    runs = ["run1", "run2", "run3"]
    for seed, run in enumerate(runs):  # as an agent starts them, all with the same --workdir
        monkeypatch.setenv("WANDB_RUN_ID", run)
        wandb.teardown()  # it reads the environment once a process
        settings = {"seed": seed, "total_steps": 2, "wandb": WandbConfig(mode="offline", project="ignored")}
        assert train(dataclasses.replace(experiment, **settings), workdir_of(tmp_path)) == 0
    wandb.teardown()
    assert sorted(path.name for path in tmp_path.iterdir()) == runs
    for run in runs:
        records = read_run(tmp_path / run)
        assert {record.run.run_id for record in records if record.HasField("run")} == {run}
        assert (tmp_path / run / "wandb_id.txt").read_text() == run
        assert read_meta(checkpoint_directory(tmp_path / run, 2)).wandb_id == run
        rows = [as_dict(record.history.item) for record in records if record.HasField("history")]
        sent = [{name: value for name, value in row.items() if name[0] != "_"} for row in rows]
        assert sent == lines(tmp_path / run)
        assert [row["step"] for row in sent] == [1, 2]


class State(int):
    """The number of finished steps."""

    @property
    def variables(self) -> int:
        """What is evaluated."""
        return self


class Loop:
    """take_steps around a step that only counts and returns given losses; remembers what the loop does, in order."""

    def __init__(self, workdir: Path, losses: list[float], **settings: int):
        self.metrics = [StepMetrics.of({"loss": jnp.float32(loss)}) for loss in losses]
        self.experiment = Experiment(total_steps=len(losses), global_batch_size=8, **settings)
        self.workdir, self.events = workdir, []
        self.asked_at = 0

    def step(self, state: State, batch: object) -> tuple[State, StepMetrics]:
        self.events.append(f"step {state + 1}")
        return State(state + 1), self.metrics[state]

    def save(self, state: int, position: Position) -> None:
        assert state == position.step
        self.events.append(f"save {position.step}, {position.examples_seen} examples")

    def evaluate(self, state: Any) -> Any:
        self.events.append("evaluate")
        return SimpleNamespace(metrics={"mpjpe_mm": 7.0})

    def keep_metrics(self, step: int, metrics: dict[str, float]) -> None:
        self.events.append(f"keep {metrics['mpjpe_mm']} mm of step {step}")

    def must_end(self) -> bool:
        return self.asked_at > 0 and f"step {self.asked_at}" in self.events

    def run(self, start: Position = START) -> None:
        as_it_is = SimpleNamespace(carried=lambda state: state, state=lambda carried: carried)
        parts = {"carrier": as_it_is, "train_step": self.step, "step_at_peak_s": None}
        run: Any = SimpleNamespace(experiment=self.experiment, **parts)
        writer = MetricWriter(self.workdir, WandbConfig(), {}, step=start.step, last_step=9, is_lead=True)
        with writer, pytest.MonkeyPatch.context() as patch:
            patch.setattr("train.Batch", SimpleNamespace(of=lambda fields: fields))
            state: Any = State(start.step)
            validate = make_validate(self.evaluate, run, writer, self)  # type: ignore[arg-type]
            make_up_evaluation(validate, self.experiment, state, start)
            take_steps(run, state, start, iter(lambda: {}, None), validate, writer, self.save, self.must_end)  # type: ignore[arg-type]


def test_the_loop_saves_before_it_evaluates_and_does_both_at_the_end(tmp_path):
    loop = Loop(tmp_path, [1.0] * 5, log_every_steps=10, checkpoint_every_steps=2, eval_every_steps=4)
    loop.run()
    assert loop.events == [
        *("step 1", "step 2", "save 2, 16 examples"),
        *("step 3", "step 4", "save 4, 32 examples", "evaluate", "keep 7.0 mm of step 4"),
        *("step 5", "save 5, 40 examples", "evaluate", "keep 7.0 mm of step 5"),
    ]


def test_every_step_is_told_to_the_watchdog(tmp_path, monkeypatch):
    beats: list[str] = []
    monkeypatch.setattr("train.watchdog.beat", lambda: beats.append("beat"))
    Loop(tmp_path, [1.0] * 4, log_every_steps=10, checkpoint_every_steps=10, eval_every_steps=0).run()
    assert len(beats) == 4


def test_pythons_collector_leaves_alone_what_is_there_when_the_steps_begin(tmp_path):
    gc.unfreeze()
    loop = Loop(tmp_path, [1.0], log_every_steps=1, checkpoint_every_steps=1, eval_every_steps=0)
    frozen = []
    loop.save = lambda state, position: frozen.append(gc.get_freeze_count())  # type: ignore[method-assign]
    loop.run()
    assert frozen[0] > 10_000


def test_a_resumed_loop_keeps_the_rhythm_and_the_count_of_examples(tmp_path):
    loop = Loop(tmp_path, [1.0] * 6, log_every_steps=2, checkpoint_every_steps=3, eval_every_steps=0)
    loop.run(Position(2, 100))
    assert loop.events == [
        *("step 3", "save 3, 108 examples"),
        *("step 4", "step 5", "step 6", "save 6, 132 examples"),
    ]


def test_a_run_that_is_asked_to_end_saves_that_step_without_evaluating_and_stops(tmp_path):
    loop = Loop(tmp_path, [1.0] * 5, log_every_steps=1, checkpoint_every_steps=4, eval_every_steps=3)
    loop.asked_at = 3
    loop.run()
    assert loop.events == ["step 1", "step 2", "step 3", "save 3, 24 examples"]
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3]


def test_a_run_that_is_asked_to_end_during_an_evaluation_leaves_it_out_and_saves(tmp_path):
    loop = Loop(tmp_path, [1.0] * 5, log_every_steps=1, checkpoint_every_steps=9, eval_every_steps=2)

    def evaluate(state: int) -> Any:
        loop.asked_at = state
        raise Interrupted

    loop.evaluate = evaluate  # type: ignore[method-assign]
    loop.run()
    assert loop.events == ["step 1", "step 2", "save 2, 16 examples"]
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]


def test_an_evaluation_that_was_left_out_is_made_up_for_at_the_next_start(tmp_path):
    for step in (4, 5):  # one that was due by its number, and the last
        loop = Loop(tmp_path / str(step), [1.0] * 5, log_every_steps=9, checkpoint_every_steps=9, eval_every_steps=2)
        loop.workdir.mkdir()
        loop.run(Position(step, 8 * step, is_evaluated=False))
        assert loop.events[:2] == ["evaluate", f"keep 7.0 mm of step {step}"]
        assert lines(loop.workdir)[0] == {"step": step, "val/mpjpe_mm": 7.0}
    done, not_due = (
        Loop(tmp_path, [1.0] * 5, log_every_steps=9, checkpoint_every_steps=9, eval_every_steps=2) for _ in range(2)
    )
    done.run(Position(5, 40))
    assert done.events == []
    not_due.run(Position(3, 24, is_evaluated=False))
    assert not_due.events[0] == "step 4"


def test_each_line_of_the_record_averages_the_steps_since_the_one_before(tmp_path):
    Loop(tmp_path, [1.0, 3.0, 5.0, 9.0, 4.0], log_every_steps=2, checkpoint_every_steps=3, eval_every_steps=0).run()
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(2, 2.0), (3, 5.0), (4, 9.0), (5, 4.0)]


def test_a_loss_that_is_not_finite_stops_the_run_before_anything_is_saved(tmp_path):
    losses = [1.0, 1.0, 1.0, float("nan"), 1.0, 1.0]
    loop = Loop(tmp_path, losses, log_every_steps=50, checkpoint_every_steps=2, eval_every_steps=4)
    with pytest.raises(FloatingPointError, match="step 4: loss not finite"):
        loop.run()
    assert [event for event in loop.events if event.startswith("save")] == ["save 2, 16 examples"]
    assert "evaluate" not in loop.events
    assert [line["step"] for line in lines(tmp_path)] == [2]
