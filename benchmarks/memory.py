"""The most memory that something takes, in a process of its own."""

import resource
import subprocess
import sys
from pathlib import Path

CODE = """
from benchmarks.torch_device import device_peak_mb
from occrobnet_jax.parallel.host_memory import keep_freed_memory
keep_freed_memory()
from {module} import {function}
{function}({argument!r})
print(device_peak_mb({argument!r}))
"""


def peak_memory_mb(module: str, function: str, side: str) -> float:
    """Return the most memory of a process that calls `module.function(side)`: on a CPU all of it, on a GPU that
    side's.
    """
    code = CODE.format(module=module, function=function, argument=side)
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def own_peak_mb() -> float:
    """Return the peak resident memory of this process so far.

    On Linux `getrusage` begins with the peak of the process that started this one, so that it isn't asked there.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
    units = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units
