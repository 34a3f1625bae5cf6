"""Memory of a process whose network runs on the CPU: what a step frees stays for the next step.

XLA takes a step's temporary arrays from the system and gives them back after it. A system fills pages with zeros when
they are touched first, which takes up to a half of a step on a virtual machine (docs/performance.md).
"""

import ctypes
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points

import jax

MMAP_MAX, TRIM_THRESHOLD, TOP_PAD = -4, -1, -2
"""Numbers of glibc's `mallopt`."""

SETTINGS = {
    MMAP_MAX: 0,  # arrays come from the arena, however large
    TRIM_THRESHOLD: -1,  # never
    TOP_PAD: 2**28,  # bytes that the arena grows by at least
}


def keep_freed_memory(environment: Mapping[str, str] = os.environ) -> bool:
    """Let this process keep what it frees, if it computes on the CPU; call it before JAX looks for devices.

    Programs run in the thread that calls them then. The others' arenas hold no more than 64 MB, so that a large array
    of theirs would come from the system each time; and all in one arena they would wait for each other.

    Args:
        environment: where it has settings of glibc's allocator, these stay as they are.

    Returns:
        Whether anything was set: only glibc knows how, and a host of accelerators is left alone.
    """
    decided = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in environment)
    if decided or sys.platform != "linux" or not computes_on_cpu():
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or not all(mallopt(*setting) == 1 for setting in SETTINGS.items()):
        return False
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    return True


def computes_on_cpu() -> bool:
    """Return whether JAX is told to, or has nothing else installed; asking JAX itself would start its threads."""
    platforms = jax.config.jax_platforms  # type: ignore[attr-defined, unused-ignore]  # typed in JAX 0.12
    if platforms:
        return bool(platforms == "cpu")
    plugins = importlib.util.find_spec("jax_plugins")
    places = plugins.submodule_search_locations if plugins else None
    has_plugin = bool(entry_points(group="jax_plugins")) or any(pkgutil.iter_modules(places or []))
    return not has_plugin and importlib.util.find_spec("libtpu") is None
