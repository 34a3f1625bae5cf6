import faulthandler
import subprocess
import sys
from pathlib import Path

from occrobnet_jax.parallel import watchdog
from tests.support.limits import HANG_S

REPOSITORY = Path(__file__).parents[2]
START = """
import time
from occrobnet_jax.parallel import watchdog

def hangs_here():
    time.sleep(600)
"""


def run(code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", START + code]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=HANG_S)


def test_a_process_that_hangs_shows_where_and_ends():
    done = run("with watchdog.watching(0.005):\n    hangs_here()")
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (0:00:00.3")
    assert "in hangs_here" in done.stderr


def test_each_beat_winds_the_timer_up_again_and_nothing_is_watched_after_the_block(monkeypatch):
    said = []
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda limit_s, exit: said.append((limit_s, exit)))
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: said.append("cancelled"))
    with watchdog.watching(0.5):
        watchdog.beat()
        watchdog.beat()
    watchdog.beat()
    assert said == [(30.0, True)] * 3 + ["cancelled"]


def test_it_can_be_off():
    assert run("with watchdog.watching(0):\n    watchdog.beat()\n    time.sleep(0.1)").returncode == 0
