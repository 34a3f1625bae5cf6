import json
from collections.abc import Callable
from pathlib import Path

import pytest

from occrobnet_jax.evaluation.watch import watch
from occrobnet_jax.runs.checksums import write_checksums
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment


def save(workdir: Path, step: int) -> Path:
    """A sealed checkpoint of one file."""
    directory = workdir / "checkpoints" / str(step)
    (directory / "variables").mkdir(parents=True)
    (directory / "variables" / "weights").write_text(str(step))
    write_checksums(directory)
    return directory


def finish(workdir: Path) -> None:
    (workdir / "config.json").write_text(json.dumps(config_of(Experiment(total_steps=30))))
    (workdir / "summary.json").write_text(json.dumps({"step": 30}))


class Watched:
    """`watch` over a workdir in which something happens whenever it waits, or before an evaluation."""

    def __init__(self, workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.workdir, self.steps = workdir, []
        self.waits: list[Callable[[], object]] = []
        self.before: dict[int, Callable[[], object]] = {}
        monkeypatch.setattr("time.sleep", lambda seconds: self.waits.pop(0)())

    def evaluate(self, step: int, folder: Path) -> None:
        self.before.get(step, lambda: None)()
        assert (self.workdir / "checkpoints" / str(step) / "variables" / "weights").read_text() == str(step)
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("")
        self.steps.append(step)

    def run(self) -> list[int]:
        watch(self.workdir, self.workdir / "eval" / "val", self.evaluate)
        assert not self.waits
        return self.steps


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(tmp_path, monkeypatch)


def test_each_checkpoint_of_a_growing_run_is_evaluated_once_until_it_has_finished(watched):
    workdir = watched.workdir
    watched.waits = [lambda: (save(workdir, 20), save(workdir, 10)), lambda: (save(workdir, 30), finish(workdir))]
    assert watched.run() == [10, 20, 30]
    watched.steps = []
    assert watched.run() == []  # started again: all are there


def test_a_summary_of_an_earlier_step_is_not_the_end(watched):
    finish(watched.workdir)
    (watched.workdir / "summary.json").write_text(json.dumps({"step": 29}))
    watched.waits = [lambda: (save(watched.workdir, 30), finish(watched.workdir))]
    assert watched.run() == [30]


def test_a_damaged_and_a_removed_checkpoint_are_left_out(watched, caplog):
    for step in (10, 20, 30):
        save(watched.workdir, step)
    (watched.workdir / "checkpoints" / "10" / "variables" / "weights").write_text("11")
    (watched.workdir / "checkpoints" / "10.damaged").mkdir()
    gone = watched.workdir / "checkpoints" / "20"
    watched.before[20] = lambda: gone.rename(watched.workdir / "removed")
    finish(watched.workdir)
    assert watched.run() == [30]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "the checkpoint of step 10 is left out",
        "the checkpoint of step 20 is left out",
    ]


def test_what_a_sound_checkpoint_raises_is_raised(watched):
    def does_not_fit() -> None:
        raise ValueError("does not fit the config's model")

    save(watched.workdir, 10)
    watched.before[10] = does_not_fit
    with pytest.raises(ValueError, match="does not fit"):
        watched.run()
