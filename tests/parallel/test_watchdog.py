import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
START = """
import time
from occrobnet_jax.parallel import watchdog

def hangs_here():
    time.sleep(60)
"""


def run(code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", START + code]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def test_a_process_that_hangs_shows_where_and_ends():
    done = run("with watchdog.watching(0.005):\n    hangs_here()")
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:00.3")
    assert "in hangs_here" in done.stderr


def test_one_that_moves_goes_on_and_nothing_is_watched_after_the_block():
    code = "with watchdog.watching(0.01):\n    for _ in range(6):\n        time.sleep(0.2)\n        watchdog.beat()\n"
    done = run(code + "watchdog.beat()\ntime.sleep(1.0)\nprint('end')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_it_can_be_off():
    assert run("with watchdog.watching(0):\n    watchdog.beat()\n    time.sleep(0.1)").returncode == 0
