import ast
import sys
from pathlib import Path

import pytest

from occrobnet_jax import usage
from occrobnet_jax.runs.config import config_names
from occrobnet_jax.runs.experiment import Experiment

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize("script", ["train.py", "eval.py"])
def test_help_names_every_setting_every_config_and_the_flags(script: str) -> None:
    shown = usage.help_of(script)
    for name in config_names(Experiment):
        assert f"\n  --{name}: " in shown
    for path in REPOSITORY.glob("configs/*.py"):
        assert (f"\n  configs/{path.name}: " in shown) == (path.stem not in usage.NO_EXPERIMENTS)
    for flag in ("config", "workdir", "platform", "coordinator"):
        assert f"\n  --{flag}: " in shown


def test_help_of_predict_has_its_own_flags_and_no_config() -> None:
    shown = usage.help_of("predict.py")
    assert "\n  --box: x0,y0,x1,y1 around the hands" in shown
    assert "--config" not in shown


@pytest.mark.parametrize("script", ["train.py", "eval.py", "predict.py"])
def test_help_is_answered_before_anything_slow_is_loaded(script: str) -> None:
    body = ast.parse((REPOSITORY / script).read_text()).body
    assert ast.unparse(body[1]) == "from occrobnet_jax import usage"
    assert ast.unparse(body[2]) == "usage.answer_help(__name__)"
    imported = {
        node.names[0].name
        for node in ast.walk(ast.parse(Path(usage.__file__).read_text()))
        if isinstance(node, ast.Import)
    }
    assert imported <= sys.stdlib_module_names


def test_help_is_the_program_s_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.argv", ["dir/train.py", "--help"])
    usage.answer_help("train")
    assert capsys.readouterr().out == ""
    with pytest.raises(SystemExit) as end:
        usage.answer_help("__main__")
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("Trains a network")
