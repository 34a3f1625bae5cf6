import os
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags

from configs import workdir as workdir_config
from occrobnet_jax import command_line
from occrobnet_jax.command_line import _reason
from occrobnet_jax.files.readers import read_bytes
from occrobnet_jax.parallel.mesh import MeshConfig
from tests.support.limits import HANG_S

REPOSITORY = Path(__file__).parents[2]


def start_training(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "train.py", "--config=configs/synthetic_tiny.py", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, timeout=HANG_S)


def test_a_misspelt_config_name_stops_the_start_with_one_sentence(tmp_path):
    done = start_training(f"--workdir={tmp_path / 'run'}", "--config.modl.ciet=off")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("train.py: config.modl.ciet does not exist; the nearest names are ")
    assert "config.model.ciet" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def raised_by(action) -> BaseException:
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


@pytest.mark.parametrize(
    "action",
    [
        lambda: MeshConfig(0, 0),
        lambda: read_bytes(Path("/nowhere/image.png")),
    ],
)
def test_what_our_code_raises_is_the_users_mistake(action):
    assert command_line._on_purpose(raised_by(action))


@pytest.mark.parametrize(
    "action", [lambda: jnp.zeros((2, 3)).reshape(7), lambda: np.load(Path(__file__)), lambda: int("x")]
)
def test_what_libraries_raise_is_the_programs_mistake(action):
    assert not command_line._on_purpose(raised_by(action))


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), 130), (ValueError("x"), 1)])
def test_whatever_ends_a_program_it_does_not_wait_for_the_other_hosts(monkeypatch, error, status):
    left = []

    def fail(main, flags_parser):
        raise error

    monkeypatch.setattr(command_line.app, "run", fail)
    monkeypatch.setattr(command_line.hosts, "leave", left.append)
    monkeypatch.setattr(command_line.os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as end:
        command_line.run(lambda arguments: None)
    assert end.value.code == status
    assert left == [error]


def test_what_our_code_says_of_a_flag_s_value_is_the_sentence() -> None:
    def parse() -> None:
        try:
            workdir_config.get_config("nowhere")
        except ValueError as error:
            raise flags.IllegalFlagValueError("a traceback of many lines") from error

    with pytest.raises(flags.Error) as told:
        parse()
    assert _reason(told.value) == "nowhere/config.json can't be read: No such file or directory"
    assert _reason(flags.Error("unknown flag")) == "unknown flag"
