"""PyTorch's files read without PyTorch: both formats, views and types; and what must be refused."""

import re
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from occrobnet_jax.files import pickles
from occrobnet_jax.weights.pretrained import read_state_dict
from occrobnet_jax.weights.torch_file import read_torch_file
from tests.support.torch_files import Global, View, bfloat16, write_legacy, write_zip

WRITERS = pytest.mark.parametrize("write", [write_zip, write_legacy])
NUMBERS = np.arange(24, dtype=np.float32)


def tensors() -> dict:
    return {
        "matrix": NUMBERS.reshape(4, 6),
        "scalar": np.array(3, np.int64),
        "empty": np.zeros((0, 3), np.float32),
        "double": np.array([1.5, -2.5]),
        "half": np.array([1.5, -2.5], np.float16),
        "bfloat": bfloat16([1.5, -2.5]),
        "transposed": View(NUMBERS, 0, (6, 4), (1, 6)),
        "slice": View(NUMBERS, 7, (2, 3), (6, 2)),
    }


@WRITERS
def test_every_tensor_comes_back(tmp_path, write):
    read = read_torch_file(write(tmp_path / "file.pth", tensors()), lambda content: content)
    expected = tensors() | {"transposed": NUMBERS.reshape(4, 6).T, "slice": NUMBERS[[[7, 9, 11], [13, 15, 17]]]}
    assert read.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].dtype == array.dtype


@WRITERS
def test_only_the_state_dict_of_a_snapshot_is_taken(tmp_path, write):
    snapshot = {
        "epoch": 21,
        "network": {"module.a.weight": NUMBERS, "module.b": NUMBERS[:3]},
        "optimizer": {
            "state": {"0": {"step": 5, "exp_avg": NUMBERS}},
            "param_groups": [{"lr": 1e-4, "params": [0, 1]}],
        },
        "lr_scheduler": {"base_lrs": [1e-4], "verbose": False, "last": None},
    }
    state = read_state_dict(write(tmp_path / "snapshot_21.pth.tar", snapshot))
    assert state.keys() == {"a.weight", "b"}
    np.testing.assert_array_equal(state["b"], NUMBERS[:3])


@WRITERS
@pytest.mark.parametrize("function", [("os", "system"), ("builtins", "eval"), ("torch", "load"), ("posix", "system")])
def test_a_pickle_that_would_run_code_is_refused(tmp_path, write, function):
    harm = tmp_path / "harm"
    content = {"network": {"a": NUMBERS}, "epoch": Global(*function, f"touch {harm}")}
    path = write(tmp_path / "file.pth", content)
    with pytest.raises(ValueError, match=re.escape(f"{path} is refused: it asks for '{'.'.join(function)}', which")):
        read_state_dict(path)
    assert not harm.exists()


def test_names_inside_of_what_is_allowed_are_refused_too(tmp_path):
    path = write_zip(tmp_path / "file.pth", {"a": Global("collections", "abc.Sized.__subclasshook__")})
    with pytest.raises(ValueError, match="is refused: it asks for"):
        read_state_dict(path)


@WRITERS
@pytest.mark.parametrize(
    "view",
    [
        View(NUMBERS, 20, (5,), (1,)),  # beyond the storage's end
        View(NUMBERS, 0, (1_000_000, 1_000_000), (0, 0)),  # a terabyte out of one number
        View(NUMBERS, -1, (2,), (1,)),
        View(NUMBERS, 23, (2,), (-1,)),
        View(NUMBERS, 0, (2, 2), (1,)),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(tmp_path, write, view):
    with pytest.raises(ValueError, match=r"file\.pth is refused: it holds a tensor"):
        read_state_dict(write(tmp_path / "file.pth", {"a": view}))


@WRITERS
def test_a_file_cut_anywhere_is_damaged(tmp_path, write):
    whole = write(tmp_path / "whole.pth", tensors()).read_bytes()
    cut = tmp_path / "cut.pth"
    for size in {*range(20, len(whole), 37), len(whole) - 1}:
        cut.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"cut\.pth is (damaged|not a file)"):
            read_torch_file(cut, lambda content: content)


def test_a_changed_byte_in_a_zip_is_noticed(tmp_path):
    path = write_zip(tmp_path / "file.pth", {"a": NUMBERS})
    content = bytearray(path.read_bytes())
    content[content.index(NUMBERS.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged, perhaps an incomplete download: Bad CRC"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"data/0": b"short"}, r"data/0 has 5 bytes instead of 96"),
        ({"data/0": bytes(1000)}, r"has more than 96 bytes"),
        ({"byteorder": b"big"}, "big-endian"),
        ({"data.pkl": b"\x80\x02]."}, r"holds no state dict .*: list"),
        ({"data.pkl": b"\x80\x02e."}, "is damaged"),
    ],
)
def test_a_zip_that_contradicts_itself_is_one_clear_error(tmp_path, entries, message):
    with pytest.raises(ValueError, match=message):
        read_state_dict(write_zip(tmp_path / "file.pth", {"a": NUMBERS}, **entries))


def test_a_storage_of_another_size_is_noticed_in_the_older_format(tmp_path):
    path = write_legacy(tmp_path / "file.pth", {"a": NUMBERS, "b": NUMBERS})
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<q", NUMBERS.size), struct.pack("<q", NUMBERS.size - 1), 1))
    with pytest.raises(ValueError, match=r"is damaged, .* its storage '0' can't be found"):
        read_state_dict(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "unknown to us"), (b"\x89PNG\r\n", "unknown to us"), (bytes(257) + b"ustar" + bytes(300), "oldest, tar")],
)
def test_other_files_are_named_as_such(tmp_path, content, message):
    (tmp_path / "file.pth").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_state_dict(tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"nowhere\.pth can't be read: No such file"):
        read_state_dict(tmp_path / "nowhere.pth")


@pytest.mark.parametrize("content", [{"a": NUMBERS, "b": 3}, {"weights": {"a": NUMBERS}}, [NUMBERS], {}, "text"])
def test_what_holds_no_state_dict_is_told(tmp_path, content):
    with pytest.raises(ValueError, match="holds no state dict"):
        read_state_dict(write_zip(tmp_path / "file.pth", content))


CPU = b"X\x03\x00\x00\x00cpu"
BOMBS = {
    "a memo without end": b"\x80\x02Nr\x00\x00\x00\x08.",
    "a tuple that holds itself 2^64 times": b"\x80\x02)" + b"2\x86" * 64 + b".",
    "a tuple in a tuple, and so on": b"\x80\x02)" + b"\x85" * 20_000 + b".",
    "the same as a key": b"\x80\x02})" + b"2\x86" * 64 + b"K\x01s.",
    "a text copied again and again": b"\x80\x02X\x00\x00\x01\x00" + b"a" * 65_536 + b"q\x00"
    b"c_codecs\nencode\nq\x01" + b"h\x01h\x00X\x06\x00\x00\x00latin1\x86R0" * 10_000 + b".",
    "a storage of two sizes": b"\x80\x02(" + b"".join(
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + size + b"tQ"
        for size in (b"K\x18", b"K\x19")
    ) + b"t.",
    "a storage of half a number": b"\x80\x02(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03"
    b"\x00\x00\x00cpuG?\xe0\x00\x00\x00\x00\x00\x00tQ.",
    "an identity that is no tuple": b"\x80\x02NQ.",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_that_blows_up_is_refused_in_time_and_memory(tmp_path, name):
    path = write_zip(tmp_path / "file.pth", {"a": NUMBERS}, **{"data.pkl": BOMBS[name]})
    tracemalloc.start()
    started = time.process_time()
    with pytest.raises(ValueError, match=r"file\.pth ") as refused:
        read_state_dict(path)
    assert time.process_time() - started < 10  # a bomb takes minutes; others may use the processor too
    assert tracemalloc.get_traced_memory()[1] < 2**28
    tracemalloc.stop()
    assert len(str(refused.value)) < 1000


def test_tensors_that_share_a_storage_are_not_more_than_the_file_by_far(tmp_path):
    whole = np.zeros(100_000, np.float32)
    path = write_zip(tmp_path / "file.pth", {str(n): View(whole, 0, whole.shape, (1,)) for n in range(4)})
    assert len(read_state_dict(path)) == 4
    content = {str(n): View(whole[:1000], 0, (1000,), (1,)) for n in range(20)}
    shared = write_zip(tmp_path / "shared.pth", content)
    program = zipfile.ZipFile(shared).read("archive/data.pkl")
    for n in range(1, 20):
        key = str(n).encode()
        own = b"X" + struct.pack("<I", len(key)) + key + CPU
        program = program.replace(own, b"X" + struct.pack("<I", 1) + b"0" + CPU)
    path = tmp_path / "one_storage.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", bytes(4000))
    with pytest.raises(ValueError, match=r"one_storage\.pth is refused: its tensors have 80,000 bytes together"):
        read_state_dict(path)


def test_files_of_pytorch_itself(tmp_path: Path):
    torch = pytest.importorskip("torch", reason="PyTorch is not part of the environment")
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 200)
    half = {name: value.to(torch.bfloat16) for name, value in network.state_dict().items()}
    moved = {
        name: value.to(memory_format=torch.channels_last) if value.ndim == 4 else value for name, value in half.items()
    }
    for number, state in enumerate((network.state_dict(), half, moved, dict(network.named_parameters()))):
        for new in (True, False):
            path = tmp_path / f"{number}{new}.pth"
            parts = {"network": state, "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict()}
            torch.save(parts | {"epoch": 3}, path, _use_new_zipfile_serialization=new)
            read = read_state_dict(path)
            assert read.keys() == state.keys()
            for name, value in state.items():
                np.testing.assert_array_equal(read[name].astype(np.float64), value.detach().double().numpy())


def test_a_pickle_of_too_many_instructions_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "MAX_INSTRUCTIONS", 1000)
    program = b"\x80\x02)" + b"\x85" * 1000 + b"."
    with pytest.raises(ValueError, match="has more than 1,000 instructions"):
        read_state_dict(write_zip(tmp_path / "file.pth", {"a": NUMBERS}, **{"data.pkl": program}))
