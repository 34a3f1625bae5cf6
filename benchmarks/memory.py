"""The most memory that something takes, in a process of its own."""

import subprocess
import sys

CODE = """
import resource
from {module} import {function}
{function}({argument!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
UNITS_IN_A_MEBIBYTE = 2**20 if sys.platform == "darwin" else 2**10  # of what getrusage says


def peak_memory_mb(module: str, function: str, argument: str) -> float:
    """Peak resident memory of a process that calls `module.function(argument)`, imports included."""
    code = CODE.format(module=module, function=function, argument=argument)
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout.split()[-1]) / UNITS_IN_A_MEBIBYTE
