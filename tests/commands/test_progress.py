import os
import sys
import time

import pytest

from occrobnet_jax.progress import progress


def test_items_come_through_with_a_line_and_where_they_are(capsys):
    assert list(progress("abc", "spelling", 3)) == ["a", "b", "c"]
    assert "spelling:   0%" in capsys.readouterr().err


def test_on_other_hosts_nothing_is_shown(capsys):
    assert list(progress("abc", "spelling", 3, is_shown=False)) == ["a", "b", "c"]
    assert not capsys.readouterr().err


def test_a_log_is_not_filled_with_every_item(capsys):
    for _ in progress(range(4), "counting", 4):
        time.sleep(0.12)  # a terminal's bar would be drawn anew for each
    assert capsys.readouterr().err.count("counting") == 1


def test_a_reader_that_is_gone_ends_nothing(monkeypatch):
    """`supervise` was killed: who reads its child's standard error is no more."""
    reader, pipe = os.pipe()
    os.close(reader)
    with os.fdopen(pipe, "w", buffering=1) as stream, monkeypatch.context() as patch:
        with pytest.raises(BrokenPipeError):
            stream.write("a line\n")
        patch.setattr(sys, "stderr", stream)
        assert list(progress("abc", "spelling", 3)) == ["a", "b", "c"]
        patch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), pipe)  # what is still in the stream's buffer has to go somewhere
