import os
import signal
import subprocess
import sys

from occrobnet_jax.parallel.preemption import Preemption
from tests.support.limits import HANG_S


def test_sigterm_is_noted_within_the_block_and_does_again_what_it_did_after_it():
    before = signal.getsignal(signal.SIGTERM)
    with Preemption() as preemption:
        assert not preemption.is_due()
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers send it to the whole group, and parents pass it on
        assert preemption.is_due()
    assert signal.getsignal(signal.SIGTERM) == before


WAITS = """
import signal, sys, time
from occrobnet_jax.parallel.preemption import Preemption

signal.signal(signal.SIGINT, signal.default_int_handler)  # pytest itself may run in the background
with Preemption() as preemption:
    print("listens", flush=True)
    while not preemption.is_due() or sys.argv[1] == "hangs":
        time.sleep(0.01)
print("saves", preemption.by_user)
"""


def interrupted(how: str, times: int) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS, how],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "listens\n"
    said = ""
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        said += "" if said else process.stderr.readline() + process.stderr.readline()
    out, more = process.communicate(timeout=HANG_S)
    return process.returncode, out, said + more


SAVING = "\ninterrupted: this step is saved, then the run ends; Ctrl-C again ends it at once, with nothing saved\n"


def test_ctrl_c_is_told_in_a_sentence_and_taken_for_sigterm():
    assert interrupted("ends", 1) == (0, "saves True\n", SAVING)


def test_the_second_ctrl_c_ends_the_process_at_once():
    assert interrupted("hangs", 2) == (-signal.SIGINT, "", SAVING)
