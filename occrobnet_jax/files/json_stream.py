"""Reads JSON files of gigabytes piece by piece: one element at a time is in memory."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import ijson
import numpy as np

from occrobnet_jax.progress import progress

MAX_DEPTH = 32  # the parser below needs memory with the square of it
_BUFFER_BYTES = 2**18
_NO_NUMBER = re.compile(rb"(?:^|(?<=[\[,:\s]))(?:NaN|-?Infinity)(?=[\],}\s])")
_ESCAPED = re.compile(rb"\\[\s\S]")
_STEP = np.zeros(256, np.int8)  # what a character does to the depth
_STEP[[ord("["), ord("{")]], _STEP[[ord("]"), ord("}")]] = 1, -1


def json_items(path: Path, key: str, *, show_progress: bool = False) -> Iterator[Any]:
    """Return the elements of the list under `key` of the outermost dictionary, one after the other; "" is the outermost
    list.

    Raises:
        ValueError: the file can't be read or isn't JSON.
    """
    yield from _parsed(
        path, lambda stream: ijson.items(stream, f"{key}.item".lstrip("."), use_float=True), show_progress
    )


def json_entries(path: Path, *, show_progress: bool = False) -> Iterator[tuple[str, Any]]:
    """Return the entries of the outermost dictionary, one after the other.

    Raises:
        ValueError: the file can't be read or isn't JSON.
    """
    yield from _parsed(path, lambda stream: ijson.kvitems(stream, "", use_float=True), show_progress)


def _parsed(path: Path, parse: Any, show_progress: bool) -> Iterator[Any]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file, progress(None, path.name, size, unit="B", is_shown=show_progress) as bar:
            yield from parse(_Guarded(path, file, bar))
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from error
    except ijson.JSONError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} is not valid JSON, perhaps an incomplete download: {reason}") from error


class _Guarded:
    """A file that refuses to nest deeply, and moves a progress bar; numbers that are none become null."""

    def __init__(self, path: Path, file: BinaryIO, bar: Any) -> None:
        self._path, self._file, self._bar = path, file, bar
        self._depth, self._in_string, self._kept = 0, False, b""
        self._is_first, self._rest = True, b""

    def read(self, size: int = -1) -> bytes:
        """Return the next part of the file; the parser's own wish is smaller than what is fast."""
        content = self._json() if size else b""
        self._measure(content)
        return content

    def _json(self) -> bytes:
        """Return the next part, which ends behind a comma, with null for what Python writes though JSON has none."""
        content, is_end = self._rest, False
        while not is_end and b"," not in content and len(content) < _BUFFER_BYTES:
            part = self._file.read(_BUFFER_BYTES)
            self._bar.update(len(part))
            content, is_end = content + part, not part
        if self._is_first:
            content, self._is_first = content.removeprefix(codecs.BOM_UTF8), False
        end = len(content) if is_end else content.rfind(b",") + 1 or len(content)
        content, self._rest = content[:end], content[end:]
        return _NO_NUMBER.sub(b"null", content) if b"NaN" in content or b"Infinity" in content else content

    def _measure(self, content: bytes) -> None:
        """Follow the depth of brackets outside of strings."""
        content = _ESCAPED.sub(b"", self._kept + content) if b"\\" in content or self._kept else content
        self._kept, content = (b"\\", content[:-1]) if content.endswith(b"\\") else (b"", content)
        if not content:
            return
        characters = np.frombuffer(content, np.uint8)
        inside = (np.cumsum(characters == ord('"'), dtype=np.uint8) + np.uint8(self._in_string)) & 1
        depth = self._depth + np.cumsum(_STEP[characters] * (1 - inside.view(np.int8)), dtype=np.int32)
        if depth.max() > MAX_DEPTH:
            raise ValueError(f"{self._path} is nested more than {MAX_DEPTH} levels deep")
        self._depth, self._in_string = int(depth[-1]), bool(inside[-1])
