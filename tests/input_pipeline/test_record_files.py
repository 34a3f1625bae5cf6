import pickle
import threading

import pytest
from array_record.python import array_record_module

from input_pipeline.record_files import Part, RecordFiles


def write(path, texts):
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for text in texts:
        writer.write(text.encode())
    writer.close()
    return str(path)


@pytest.fixture
def records(tmp_path):
    first = write(tmp_path / "first", [f"a{i}" for i in range(10)])
    second = write(tmp_path / "second", [f"b{i}" for i in range(10)])
    return RecordFiles([Part(first, 7, 2), Part(second, 0, 3), Part(first, 0, 1), Part(second, 9, 1)])


EXPECTED = [b"a7", b"a8", b"b0", b"b1", b"b2", b"a0", b"b9"]


def test_parts_of_files_are_one_after_the_other(records):
    assert len(records) == len(EXPECTED)
    assert [records[i] for i in range(len(records))] == EXPECTED
    assert [records[i] for i in (6, 0, 3)] == [b"b9", b"a7", b"b1"]
    assert len(RecordFiles([])) == 0
    for beyond in (-1, len(EXPECTED)):
        with pytest.raises(IndexError):
            records[beyond]


def test_a_copy_in_another_process_reads_the_same(records):
    assert records[0] == EXPECTED[0]  # a file is open
    copy = pickle.loads(pickle.dumps(records))
    assert [copy[i] for i in range(len(copy))] == EXPECTED


def test_threads_share_the_files(records):
    wrong = []

    def read() -> None:
        wrong.extend(i for _ in range(200) for i, expected in enumerate(EXPECTED) if records[i] != expected)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_record_is_asked_for_in_the_way_that_does_not_grow_with_the_file(records, monkeypatch):
    """Lists of positions make array_record walk through the whole index of a file."""
    asked = []

    class Reader:
        def __init__(self, *arguments):
            self.reader = array_record_module.ArrayRecordReader(*arguments)

        def read(self, *arguments):
            asked.append(arguments)
            return self.reader.read(*arguments)

    monkeypatch.setattr(
        "input_pipeline.record_files.array_record_module", type("module", (), {"ArrayRecordReader": Reader})
    )
    assert records[1] == b"a8"
    assert asked == [(8, 9)]
