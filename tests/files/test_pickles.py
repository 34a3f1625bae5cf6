"""Pickles from outside: what plain data needs is read as Python reads it, and nothing else ever runs."""

import contextlib
import os
import pickle
import random
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from occrobnet_jax.files.pickles import load_plain
from occrobnet_jax.files.readers import pickled_array, read_pickle
from occrobnet_jax.hands.mano_pickle import SHAPES, read_mano_pickle
from tests.support import python2_pickle
from tests.support.fake_mano import chumpy_select, mano_record, scipy_csc, write_mano

RECORD = {
    "doubles": np.arange(6.0).reshape(2, 3) / 7,
    "column": np.array([[0.1], [0.2], [0.3]]),
    "flags": np.array([True, False]),
    "integers": np.arange(3, dtype=np.int32),
    "nothing": np.zeros((0, 3)),
    "scalar array": np.array(2.5),
    "name": "003_cracker_box",
    "umlaut": "Hände",
    "missing": None,
    "number": 7,
    "real": 0.25,
    "list": ["840412060917", 2, [3.5]],
    "pair": (1, "b"),
    "truth": True,
}


def assert_equal(read, expected):
    assert read.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, np.ndarray):
            assert (read[key].dtype, read[key].shape) == (value.dtype, value.shape), key
            np.testing.assert_array_equal(read[key], value)
        else:
            assert (read[key], type(read[key])) == (value, type(value)), key


@pytest.mark.parametrize("protocol", [0, 2])
def test_python_2_pickles_are_read_as_python_reads_them(protocol):
    content = python2_pickle.dumps(RECORD, protocol)
    assert b"numpy.core.multiarray" in content
    assert_equal(load_plain(content), RECORD)
    assert_equal(pickle.loads(content, encoding="latin1"), RECORD)  # which shows that the test's own writer is right


@pytest.mark.parametrize("protocol", range(6))
def test_python_3_pickles_are_read(protocol):
    record = RECORD | {"fortran": np.asfortranarray(RECORD["doubles"]), "scalar": np.float64(0.1), "big": 2**70}
    record |= {"swapped": np.arange(3, dtype=">i4").astype(np.int32), "texts": np.array(["ab", "c"])}
    assert_equal(load_plain(pickle.dumps(record, protocol)), record)


def test_arrays_that_are_shared_stay_one():
    array = np.arange(3.0)
    read = load_plain(pickle.dumps([array, {"again": array}], 2))
    assert read[0] is read[1]["again"]


class Runs:
    """Asks to be made by a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def malicious(folder: Path) -> dict[str, object]:
    target = str(folder / "victim")
    return {
        "posix.system": Runs(os.system, (f"touch {target}2",)),
        "remove": Runs(os.remove, (target,)),
        "eval": Runs(eval, (f"open({target!r}, 'w')",)),
        "numpy.load": Runs(np.load, (target,)),
        "getattr": Runs(getattr, (target, "upper")),
    }


@pytest.mark.parametrize("name", ["posix.system", "remove", "eval", "numpy.load", "getattr"])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_no_code_runs(tmp_path, name, protocol):
    (tmp_path / "victim").write_text("alive")
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps({"handJoints3D": malicious(tmp_path)[name]}, protocol))
    for read in (read_pickle, read_mano_pickle):
        with pytest.raises(ValueError, match=r"meta.pkl is not a .*asks for .*which is not plain data"):
            read(tmp_path / "meta.pkl")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["meta.pkl", "victim"]
    assert (tmp_path / "victim").read_text() == "alive"


NDARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
DTYPE = b"cnumpy\ndtype\n(S'%s'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
HOSTILE = {
    "a billion elements": NDARRAY + b"(I1\n(I1000000000\nt" + DTYPE % b"f8" + b"I00\nS''\ntb.",
    "an overflowing shape": NDARRAY + b"(I1\n(I4294967296\nI4294967296\nt" + DTYPE % b"f8" + b"I00\nS''\ntb.",
    "a negative shape": NDARRAY + b"(I1\n(I-1\nI-8\nt" + DTYPE % b"u1" + b"I00\nS'12345678'\ntb.",
    "a huge empty shape": NDARRAY + b"(I1\n(I0\nI99999999999999999999\nt" + DTYPE % b"f8" + b"I00\nS''\ntb.",
    "too few bytes": NDARRAY + b"(I1\n(I3\nt" + DTYPE % b"f8" + b"I00\nS'1234'\ntb.",
    "objects as elements": NDARRAY + b"(I1\n(I1\nt" + DTYPE % b"O8" + b"I00\n(NltL1L\n.",
    "a huge element": NDARRAY + b"(I1\n(I1\nt" + DTYPE % b"S99999999999" + b"I00\nS''\ntb.",
    "elements of no size": NDARRAY + b"(I1\n(I2147483647\nt" + DTYPE % b"S0" + b"I00\nS''\ntb.",
    "a huge memo": b"N" + b"r\xff\xff\xff\xff" + b".",
    "a huge byte string": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"abc.",
    "a huge text": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f" + b"abc.",
    "a huge frame": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f" + b"N.",
    "state for a function": b"cnumpy.core.multiarray\n_reconstruct\n(dS'__code__'\nNsb.",
    "state for a class": b"cnumpy\nndarray\n(dS'shape'\nNsb.",
    "a class called": b"cnumpy\nndarray\n(I1000000000\ntR.",
    "a number called": b"I5\n(tR.",
    "keys that collide": b"(dI1\nNs.",
    "an instance": b"(ios\nsystem\n.",
    "persistent data": b"Pdata\n.",
    "an extension": b"\x82\x01.",
    "a name from the stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    "only a name": b"cnumpy\nndarray\n.",
    "a text encoded": b"c_codecs\nencode\n(S'x'\nS'zlib'\ntR.",
    "nothing": b"",
    "no end": b"(dp0\n",
    "no pickle": b"\xff\xd8\xff\xe0JFIF",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_plain_data_does_not_need_is_refused_without_memory(tmp_path, name):
    (tmp_path / "meta.pkl").write_bytes(HOSTILE[name])
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ValueError, match=r"meta.pkl"):
        read_pickle(tmp_path / "meta.pkl")
    assert time.process_time() - started < 1
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_lists_that_hold_themselves_many_times_are_not_unfolded(tmp_path):
    value: list = [0.0] * 10
    for _ in range(30):
        value = [value] * 10
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps({"camMat": value}))
    record = read_pickle(tmp_path / "meta.pkl")
    with pytest.raises(ValueError, match=r"meta.pkl: camMat is a list where an array of shape \(3, 3\)"):
        pickled_array(record, "camMat", (3, 3), source=tmp_path / "meta.pkl")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "camMat is a NoneType where"),
        ("text", "camMat is a str where"),
        (np.zeros((3, 4)), r"camMat has the shape \(3, 4\) where \(3, 3\)"),
        (np.full((3, 3), np.nan), "camMat holds values that are not finite"),
        (np.array([["a"] * 3] * 3), "camMat is not an array of numbers"),
    ],
)
def test_wrong_entries_name_file_and_key(value, message):
    with pytest.raises(ValueError, match=f"meta.pkl.*{message}"):
        pickled_array({"camMat": value}, "camMat", (3, 3), source=Path("meta.pkl"))
    with pytest.raises(ValueError, match=r"meta.pkl has no entry objRot"):
        pickled_array({"camMat": value}, "objRot", (3,), source=Path("meta.pkl"))


def test_columns_and_lists_become_vectors():
    expected = np.array([0.1, 0.2, 0.3])
    for value in (expected, expected[:, None], expected[None], expected.tolist(), tuple(expected.tolist())):
        np.testing.assert_array_equal(pickled_array({"v": value}, "v", (3,), source=Path("x")), expected)


def test_only_dictionaries_of_a_reasonable_size_are_metadata(tmp_path):
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match=r"meta.pkl holds a list where a dictionary is expected"):
        read_pickle(tmp_path / "meta.pkl")
    with pytest.raises(ValueError, match=r"meta.pkl has .* bytes, more than the 3"):
        read_pickle(tmp_path / "meta.pkl", max_bytes=3)


def test_mano_files_are_read_without_chumpy_and_scipy(tmp_path):
    expected = mano_record(np.random.default_rng(0))
    read = read_mano_pickle(write_mano(tmp_path / "MANO_RIGHT.pkl", expected))
    assert read.keys() == SHAPES.keys()
    for key, value in read.items():
        np.testing.assert_array_equal(value, expected[key], err_msg=key)


@pytest.mark.parametrize("key", SHAPES)
def test_mano_files_name_what_they_lack(tmp_path, key):
    record = mano_record(np.random.default_rng(0))
    path = tmp_path / "MANO_LEFT.pkl"
    path.write_bytes(pickle.dumps({name: value for name, value in record.items() if name != key}))
    with pytest.raises(ValueError, match=rf"MANO_LEFT.pkl is not a MANO file: has no entry {key}"):
        read_mano_pickle(path)
    path.write_bytes(pickle.dumps(record | {key: record[key][:1]}))
    with pytest.raises(ValueError, match=rf"MANO_LEFT.pkl is not a MANO file: {key} is .* where numbers of shape"):
        read_mano_pickle(path)


def test_damaged_stand_ins_are_refused(tmp_path):
    record = mano_record(np.random.default_rng(0))
    beyond = scipy_csc(record["J_regressor"])
    beyond.__dict__["indices"] = beyond.indices + 16
    huge = scipy_csc(record["J_regressor"])
    huge.__dict__["_shape"] = (10**9, 10**9)
    outside = chumpy_select(record["shapedirs"])
    outside.__dict__["idxs"] = outside.idxs + 2
    for key, value in (("J_regressor", beyond), ("J_regressor", huge), ("shapedirs", outside)):
        path = write_mano(tmp_path / "MANO_RIGHT.pkl", record, **{key: value})
        with pytest.raises(ValueError, match=f"MANO_RIGHT.pkl is not a MANO file: {key}"):
            read_mano_pickle(path)


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with a few bytes changed, removed, repeated, or replaced by instructions."""
    damaged = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at, end = sorted(rng.randrange(len(damaged) + 1) for _ in range(2))
        end = min(end, at + 40)
        kind = rng.randrange(5)
        if kind == 0:
            damaged[at:end] = rng.randbytes(end - at)
        elif kind == 1:
            del damaged[at:end]
        elif kind == 2:
            damaged[at:at] = damaged[at:end]
        elif kind == 3:
            damaged[at:at] = rng.choice(
                (b"cos\nsystem\n(S'true'\ntR", b"r\xff\xff\xff\xff", b"2", b"\x93", b"b", b"(", b"R")
            )
        else:
            del damaged[rng.randrange(1, len(damaged) + 1) :]
        damaged = damaged or bytearray(b".")
    return bytes(damaged)


def test_thousands_of_damaged_files_end_in_a_value_or_one_sentence(monkeypatch):
    """No crash, no code, no hang."""
    monkeypatch.setattr(os, "system", lambda _: pytest.fail("code ran"))
    seeds = [python2_pickle.dumps(RECORD, 0), python2_pickle.dumps(RECORD, 2), pickle.dumps(RECORD, 4)]
    rng = random.Random(0)
    refused = 0
    for number in range(900):
        try:
            load_plain(mutated(seeds[number % 3], rng))
        except ValueError:
            refused += 1
    assert 450 < refused < 900


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_end_in_a_value_or_one_sentence(content):
    with contextlib.suppress(ValueError):
        load_plain(content)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
        max_leaves=20,
    ),
    st.integers(0, 5),
)
def test_plain_data_is_read_as_python_reads_it(value, protocol):
    assert load_plain(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", [0, 2])
def test_text_pickles_whose_line_ends_were_changed_are_read_as_they_were(tmp_path, protocol):
    record = RECORD | {"text": "a\r\nb\nc\r"}
    content = python2_pickle.dumps(record, protocol)
    path = tmp_path / "0000.pkl"
    path.write_bytes(content if protocol else content.replace(b"\n", b"\r\n"))
    assert_equal(read_pickle(path), record)
