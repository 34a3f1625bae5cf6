import os
from pathlib import Path

import pytest

from occrobnet_jax.files.atomic import write_atomically


def test_writes_text_and_bytes_into_new_folders(tmp_path: Path) -> None:
    for content in ("grüße", b"\x00\xff"):
        write_atomically(tmp_path / "a" / "b", content)
        expected = content.encode() if isinstance(content, str) else content
        assert (tmp_path / "a" / "b").read_bytes() == expected


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="file can't be written: No space left on device"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
