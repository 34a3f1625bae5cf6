"""Freed memory stays with a process that computes on the CPU, and only there."""

import subprocess
import sys
from types import SimpleNamespace

import jax
import pytest

from occrobnet_jax import command_line
from occrobnet_jax.parallel import host_memory
from occrobnet_jax.parallel.host_memory import computes_on_cpu, keep_freed_memory

FAULTS = """
import ctypes, jax, resource
from occrobnet_jax.parallel.host_memory import keep_freed_memory
print(keep_freed_memory({environment}), jax.config.read("jax_cpu_enable_async_dispatch"))
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
for _ in range(2):
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    address = libc.malloc(2**27)
    ctypes.memset(address, 1, 2**27)
    libc.free(address)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults)
"""


def faults(environment: str) -> list[str]:
    """Whether memory is kept, and programs run aside; page faults of 128 MB that are written, freed, taken again."""
    code = FAULTS.format(environment=environment)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
def test_memory_that_was_freed_is_not_taken_from_the_system_again():
    is_kept, is_aside, _, again = faults("{}")
    assert (is_kept, is_aside) == ("True", "False")
    assert int(again) < 100
    is_kept, is_aside, first, again = faults("{'MALLOC_ARENA_MAX': '2'}")
    assert (is_kept, is_aside) == ("False", "True")
    assert int(again) > 0.9 * int(first) > 100


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_the_environment_says_goes_before(name, monkeypatch):
    monkeypatch.setattr(host_memory, "SETTINGS", {})
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    assert keep_freed_memory({}) is (sys.platform == "linux")
    assert not keep_freed_memory({name: "1"})


@pytest.mark.parametrize(
    ("platforms", "entry_points", "installed", "expected"),
    [
        ("cpu", ["xla_cuda12"], {"libtpu", "jax_plugins"}, True),
        ("cuda,cpu", [], set(), False),
        (None, [], set(), True),
        (None, ["xla_cuda12"], set(), False),
        (None, [], {"jax_plugins"}, False),
        (None, [], {"libtpu"}, False),
    ],
)
def test_hosts_of_accelerators_are_left_alone(platforms, entry_points, installed, expected, monkeypatch, tmp_path):
    (tmp_path / "xla_cuda12.py").touch()
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(host_memory, "jax", SimpleNamespace(config=SimpleNamespace(jax_platforms=platforms)))
    monkeypatch.setattr(host_memory, "entry_points", lambda group: {"jax_plugins": entry_points}[group])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec if name in installed else None)
    assert computes_on_cpu() is expected


def test_every_command_keeps_memory_before_it_starts(monkeypatch):
    order = []
    monkeypatch.setattr(command_line, "keep_freed_memory", lambda: order.append("memory"))
    monkeypatch.setattr(command_line.app, "run", lambda main, flags_parser: order.append("main"))
    command_line.run(lambda _: None)
    assert order == ["memory", "main"]
