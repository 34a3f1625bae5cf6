import codecs
import json
import math
import random
import time

import pytest

from occrobnet_jax.files.json_stream import MAX_DEPTH, json_entries, json_items

CONTENT = {"images": [{"id": 1, "name": 'a "quoted]" \\ name'}, [[1.5], []], "]]]}"], "others": {"a": 1, "b": [2]}}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(CONTENT))
    return path


def test_elements_and_entries_are_those_of_the_whole(file):
    assert list(json_items(file, "images")) == CONTENT["images"]
    assert list(json_items(file, "missing")) == []
    assert dict(json_entries(file)) == CONTENT
    file.write_text(json.dumps([1, {"a": 2}]))
    assert list(json_items(file, "")) == [1, {"a": 2}]


def test_files_larger_than_the_buffer_are_followed_through_their_strings(file):
    names = ["[" * 7 + '"{' * 3 + "\\" * (number % 4) for number in range(30_000)]
    file.write_text(json.dumps({"images": names}))
    assert file.stat().st_size > 2 * 2**18
    assert list(json_items(file, "images", show_progress=True)) == names


@pytest.mark.parametrize(
    "content",
    [
        "[" * 1_000_000,
        '{"a":' * 100_000,
        '{"images":[' + "[" * 1_000_000,
        '{"images":["]]]]]]]]]]]]]]]]]]",' + '[[[[["]]]]]",' * 10_000,
        '{"images":["\\\\",' + '[[[[["]]\\"]]]",' * 10_000,
    ],
)
def test_deep_nesting_is_refused_at_once(file, content):
    file.write_text(content)
    started = time.process_time()
    with pytest.raises(ValueError, match=rf"file.json is nested more than {MAX_DEPTH} levels deep"):
        list(json_items(file, "images"))
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "content", ["", '{"images": [1, 2', '{"images": [NaNa]}', '{"images": [1]} x', '{"images": [1e999]}']
)
def test_what_is_not_json_is_named(file, content):
    file.write_text(content)
    with pytest.raises(ValueError, match=r"file.json is not valid JSON, perhaps an incomplete download"):
        list(json_items(file, "images"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.json can't be read: No such file"):
        list(json_entries(tmp_path / "none.json"))


def test_damaged_files_end_in_values_or_one_sentence(file):
    rng = random.Random(0)
    content = json.dumps(CONTENT).encode()
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(damaged))
            damaged[at : at + rng.randint(0, 5)] = rng.choice((b"", b"[", b'"', b"\\", b"{", b"\xff", b"1e9", b","))
        file.write_bytes(damaged)
        for read in (json_entries, lambda path: json_items(path, "images")):
            try:
                list(read(file))
            except ValueError as error:
                assert "file.json" in str(error)  # noqa: PT017


@pytest.mark.parametrize("buffer_bytes", [40, 100, 2**18])
def test_what_python_writes_for_no_number_is_null_and_texts_stay(file, monkeypatch, buffer_bytes):
    monkeypatch.setattr("occrobnet_jax.files.json_stream._BUFFER_BYTES", buffer_bytes)
    values = [1.5, math.nan, [math.inf, -math.inf], "NaN", "a NaN", {"NaN": math.nan}, "Infinity"]
    file.write_text(json.dumps({"images": values}))
    expected = [1.5, None, [None, None], "NaN", "a NaN", {"NaN": None}, "Infinity"]
    assert list(json_items(file, "images")) == expected


def test_the_mark_of_windows_editors_is_passed_over(file):
    file.write_bytes(codecs.BOM_UTF8 + b'{"images": [1, 2]}')
    assert list(json_items(file, "images")) == [1, 2]
