from pathlib import Path

import pytest

from occrobnet_jax.runs.history import read_history
from occrobnet_jax.runs.summary import config_changes
from occrobnet_jax.training.goodput import productive_time_s
from occrobnet_jax.training.metric_writer import keep_lines_until

GOOD = b'{"step": 1, "loss": 2.0, "step_time_s": 0.5, "val/mpjpe_mm": null}\n'
NO_LINES = (
    *(b"3", b"[1]", b'"step"', b"null", b"{}", b'{"loss": 1}', b'{"step": "1"}', b'{"step": true}', b'{"step": [1]}'),
    *(b'{"step": NaN}', b'{"step": 1e999}', b'{"step": 2, "loss": "\xff"}', b"[" * 99_999, b'{"a":' * 99_999, b"\0"),
)


@pytest.mark.parametrize("line", NO_LINES, ids=range(len(NO_LINES)))
def test_what_is_no_line_of_numbers_is_left_out_wherever_the_record_is_read(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line + b"\n" + GOOD + line)
    row = {"step": 1, "loss": 2.0, "step_time_s": 0.5, "val/mpjpe_mm": None}
    assert read_history(path) == [row]
    assert productive_time_s(path) == 0.5
    assert keep_lines_until(path, 1) == row
    assert path.read_bytes() == GOOD


def test_values_that_are_no_numbers_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 4, "loss": "low", "a": [1], "b": true, "step_time_s": {}, "c": 3}')
    assert read_history(path) == [{"step": 4, "c": 3}]
    assert productive_time_s(path) == 0


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 99_999, b"3"])
def test_a_broken_config_of_the_run_before_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config.json is not (valid JSON|of this project)"):
        config_changes(tmp_path, {"seed": 1})
