"""The whole way of a dataset in docs/datasets.md: its commands exist, and each reads what others have written.

Running it takes minutes; docs/custom_dataset.md's shorter way is run in test_custom_dataset.py.
"""

import importlib
import shlex
from pathlib import Path

import pytest

from input_pipeline.prepare import parse_options
from occrobnet_jax.runs.config import config_names, experiment_from
from occrobnet_jax.runs.experiment import Experiment
from tests.conftest import REPOSITORY
from tests.support.official_trees import TREES

SECTION = "## Trying the whole way without a licence"
PAGE = (REPOSITORY / "docs" / "datasets.md").read_text()
LINES = [shlex.split(line, comments=True) for line in PAGE.split(SECTION)[1].split("```")[1].splitlines()]
COMMANDS = [words[1:] for words in LINES if words[:1] == ["python"]]
RAW = "runs/try/raw/"


def of(program: str) -> list[list[str]]:
    """Arguments of each call of a program, or of a module."""
    calls = [words[2:] for words in COMMANDS if words[:2] == ["-m", program]]
    return calls + [words[1:] for words in COMMANDS if words[0] == program]


def value(arguments: list[str], flag: str) -> str:
    (found,) = (each.partition("=")[2] for each in arguments if each.startswith(f"--{flag}="))
    return found


def test_every_command_is_one_that_is_looked_at_here():
    looked_at = {("-m", "tests.support.official_trees"), ("-m", "input_pipeline.prepare"), ("train.py",), ("eval.py",)}
    looked_at |= {("-m", f"occrobnet_jax.evaluation.{name}") for name in ("score", "verify", "compare", "submit")}
    assert {tuple(words[: 2 if words[0] == "-m" else 1]) for words in COMMANDS} == looked_at


@pytest.mark.parametrize("arguments", of("input_pipeline.prepare"), ids=" ".join)
def test_trees_are_prepared_from_where_they_are_written(arguments):
    options = parse_options(arguments)
    given = [options.raw, options.mano, getattr(options, "object_models", None)]
    for folder in (each for each in given if each is not None):
        assert str(folder).removeprefix(RAW) in TREES


@pytest.mark.parametrize("program", ["train.py", "eval.py"])
def test_networks_are_trained_and_evaluated_on_what_was_prepared(program):
    folders = {value(arguments, "data_dir") for arguments in of("input_pipeline.prepare")}
    known = {f"--{name}" for name in config_names(Experiment)} | {"--config", "--workdir", "--split"}
    for arguments in of(program):
        assert {each.partition("=")[0] for each in arguments} <= known
        path, _, argument = value(arguments, "config").partition(":")
        config = importlib.import_module(Path(path).with_suffix("").as_posix().replace("/", ".")).get_config(argument)
        assert experiment_from(config.to_dict()).model.width == 32
        assert value(arguments, "config.data.data_dir") in folders


@pytest.mark.parametrize("name", ["score", "verify", "compare", "submit"])
def test_results_are_read_where_they_were_written(name):
    module = importlib.import_module(f"occrobnet_jax.evaluation.{name}")
    written = [
        value(words, "output") for each in ("score", "submit") for words in of(f"occrobnet_jax.evaluation.{each}")
    ]
    evaluated = [f"{value(each, 'workdir')}/eval/{value(each, 'split')}" for each in of("eval.py")]
    written += evaluated + [f"{folder}/predictions.npz" for folder in evaluated]
    for arguments in of(f"occrobnet_jax.evaluation.{name}"):
        options = vars(module._parser().parse_args(arguments))
        inputs = options.get("runs") or [options.get("predictions") or options.get("folder")]
        assert {str(each) for each in inputs} <= set(written)
