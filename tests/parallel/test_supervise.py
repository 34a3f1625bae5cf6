"""The parent process, with children that end as real ones do; what they say is what JAX 0.10.2 and 0.12.0.1 said."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from occrobnet_jax.parallel.supervise import HOSTS_FILE_VARIABLE, LOST_STATUS, START_STATUS, EndRequest, diagnose
from tests.faults.processes import free_port
from tests.support.limits import HANG_S

REPOSITORY = Path(__file__).parents[2]
NAMES = ["node0, process 10", "node1, process 11", "node2, process 12"]
STOPPED = """\
E1124 12:12:35.8 20031 coordination_service.cc:1549] [613] Use error polling to propagate the following error to all \
tasks: UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):
1
The tasks have crashed. Check the task logs for an earlier error, or scheduler events to debug further.
F1124 12:12:35.8 20042 client.h:80] Terminating process because the JAX distributed service detected fatal errors.
"""
DIED = "Barrier failed because: task is set to ERROR: UNAVAILABLE: Task 1 heartbeat timeout. This indicates"
LEAD_DIED = "absl::Status: UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task was"
OLDER = "(stopped sending heartbeats):\n/job:jax_worker/replica:0/task:1\n/job:jax_worker/replica:0/task:2\nThe tasks"


CUT_OFF = """\
F1124 12:47:12.2 6525 client.h:80] Terminating process because the JAX distributed service detected fatal errors. \
absl::Status: DEADLINE_EXCEEDED: Deadline Exceeded

RPC: /xla.coordination.CoordinationService/Heartbeat
"""
STOPPED_0_12 = """\
E1124 15:06:52.5 7795 coordination_service.cc:1518] [149466] Use error polling to propagate the following error to all \
tasks: UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats):
1
The tasks have crashed. Check the task logs for an earlier error, or scheduler events to debug further.
=== Source Location Trace: ===
external/xla+/xla/pjrt/distributed/coordination/coordination_service.cc:232

F1124 15:06:52.5 7806 client.h:86] Terminating process because the JAX distributed service detected fatal errors. This \
most likely indicates that another task died; absl::Status: UNAVAILABLE: The following tasks are unhealthy (stopped \
sending heartbeats):
1
The tasks have crashed. Check the task logs for an earlier error, or scheduler events to debug further.

RPC: /xla.coordination.CoordinationService/PollForError [type.googleapis.com/tensorflow.CoordinationServiceError='']
"""
LEAD_DIED_0_12 = """\
F1124 15:08:43.4 9510 client.h:86] Terminating process because the JAX distributed service detected fatal errors. This \
most likely indicates that another task died; absl::Status: UNAVAILABLE: Failed to send RPC to coordination service. \
Either the leader task was preempted/died/restarted unexpectedly or this task is experiencing network issues.
"""
NOT_ALL_CAME = """\
F1129 03:20:21.3 6618 client.h:80] Terminating process because the JAX distributed service detected fatal errors. This \
most likely indicates that another task died; see the other task logs for more details. absl::Status: \
DEADLINE_EXCEEDED: Deadline Exceeded

RPC: /xla.coordination.CoordinationService/RegisterTask
*** Check failure stack trace: ***
"""
UNKNOWN = "Terminating process because the JAX distributed service detected fatal errors. absl::Status: INTERNAL: ?"


@pytest.mark.parametrize(
    ("said", "own", "lost"),
    [
        (STOPPED, 0, "host 1 (node1, process 11)"),
        (DIED, 2, "host 1 (node1, process 11)"),
        (LEAD_DIED, 1, "host 0 (node0, process 10)"),
        (CUT_OFF, 1, "host 0 (node0, process 10)"),
        (UNKNOWN, 1, "another host, JAX doesn't say which"),
        (UNKNOWN + DIED, 1, "another host, JAX doesn't say which"),  # it was cut off, and hears of itself
        (STOPPED_0_12, 0, "host 1 (node1, process 11)"),
        (LEAD_DIED_0_12, 1, "host 0 (node0, process 10)"),
        (OLDER, 0, "host 1 (node1, process 11) and host 2 (node2, process 12)"),
    ],
)
def test_an_abort_becomes_a_sentence_that_names_the_lost_host(said, own, lost):
    sentence, status, may_help = diagnose(-signal.SIGABRT, said, (own, NAMES))
    assert sentence == f"host {own} ({NAMES[own]}) lost {lost}: it died, hangs or can't be reached; see its log"
    assert (status, may_help) == (LOST_STATUS, True)


def test_a_hang_is_told_from_a_crash_and_from_an_error():
    assert diagnose(1, "Timeout (0:30:00)!\nThread 0x1", (0, []))[:2] == (
        "this process hung: no step ended for 0:30:00; its stacks are above",
        LOST_STATUS,
    )
    assert diagnose(-signal.SIGKILL, "", (0, [])) == ("this process was ended by SIGKILL", 137, True)
    assert diagnose(1, "train.py: --config is missing", (0, []))[1:] == (1, False)


def test_a_start_to_which_not_all_hosts_came_is_no_lost_host():
    """Starting again would only wait for the same host once more."""
    sentence, status, may_help = diagnose(-signal.SIGABRT, NOT_ALL_CAME, (0, []))
    assert sentence.startswith("not all hosts came within 300 s: ")
    assert (status, may_help) == (START_STATUS, False)


def test_jax_says_so_where_a_host_does_not_come(tmp_path):
    start = f"jax.distributed.initialize('localhost:{free_port()}', 2, 0, initialization_timeout=1)"
    parent = supervised(tmp_path, f"import jax\n{start}", "--restarts=2")
    _, said = parent.communicate(timeout=HANG_S)
    assert parent.returncode == START_STATUS
    assert "supervise: not all hosts came within 300 s" in said.splitlines()[-1]


def supervised(tmp_path: Path, code: str, *flags: str, stderr: int = subprocess.PIPE) -> subprocess.Popen:
    """A parent whose child runs `code`; `count` is the file that holds how often it was started."""
    start = "import os, sys, signal, time, json\ncount = 'count'\nopen(count, 'a').write('x')\n"
    (tmp_path / "child.py").write_text(start + code)
    command = [sys.executable, "-m", "occrobnet_jax.parallel.supervise", *flags, "child.py"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, stderr=stderr, text=True)


def test_the_child_is_named_as_it_named_itself_and_its_words_are_passed_on(tmp_path):
    parent = supervised(
        tmp_path,
        f"open(os.environ['{HOSTS_FILE_VARIABLE}'], 'w').write(json.dumps({{'host': 2, 'names': {NAMES}}}))\n"
        f"sys.stderr.write({STOPPED!r}); sys.stderr.flush(); os.abort()",
    )
    _, said = parent.communicate(timeout=HANG_S)
    assert parent.returncode == LOST_STATUS
    assert STOPPED in said
    assert "supervise: host 2 (node2, process 12) lost host 1 (node1, process 11)" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("code", "flags", "status", "starts"),
    [
        ("sys.exit(0 if os.path.getsize(count) == 3 else os.kill(os.getpid(), 9))", ("--restarts=5",), 0, 3),
        ("os.kill(os.getpid(), 9)", ("--restarts=2",), 137, 3),
        ("sys.exit('train.py: a mistake')", ("--restarts=2",), 1, 1),
        (f"sys.stderr.write({NOT_ALL_CAME!r}); sys.stderr.flush(); os.abort()", ("--restarts=2",), START_STATUS, 1),
        ("os.kill(os.getpid(), 9)", (), 137, 1),
    ],
)
def test_what_a_restart_may_help_is_started_again(tmp_path, code, flags, status, starts):
    parent = supervised(tmp_path, code, "--pause_s=0.01", *flags)
    parent.communicate(timeout=HANG_S)
    assert (parent.returncode, len((tmp_path / "count").read_text())) == (status, starts)


def wait_for(condition, limit_s: float = HANG_S) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it didn't come"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("ends", "flags", "status"),
    [
        ("sys.exit(0)", (), 0),
        ("sys.exit(0)", ("--asked_status=75",), 75),
        ("os.kill(os.getpid(), 9)", (), 137),
    ],
)
def test_a_request_to_end_reaches_the_child_and_is_not_answered_with_a_restart(tmp_path, number, ends, flags, status):
    code = f"signal.signal({number:d}, lambda *_: {ends})\nopen('ready', 'w')\ntime.sleep(600)"
    parent = supervised(tmp_path, code, "--restarts=3", "--pause_s=0.01", *flags)
    wait_for((tmp_path / "ready").exists)
    parent.send_signal(number)
    parent.communicate(timeout=HANG_S)
    assert (parent.returncode, len((tmp_path / "count").read_text())) == (status, 1)


def test_a_request_to_end_between_two_starts_is_the_end(tmp_path):
    parent = supervised(tmp_path, "os.kill(os.getpid(), 9)", "--restarts=3", "--pause_s=600")
    assert parent.stderr is not None
    while "started again in 600 s" not in parent.stderr.readline():
        pass
    parent.send_signal(signal.SIGTERM)
    parent.communicate(timeout=HANG_S)
    assert (parent.returncode, len((tmp_path / "count").read_text())) == (137, 1)


def test_one_that_comes_while_a_child_is_started_is_passed_on_to_it(monkeypatch):
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    request, sent = EndRequest(), []
    request._note(signal.SIGTERM, None)
    request.pass_on_to(sent.append)
    assert sent == [signal.SIGTERM]


LATE = """
import sys, time
from occrobnet_jax.parallel import supervise
note = supervise.EndRequest._note
supervise.EndRequest._note = lambda *arguments: (time.sleep(0.3), note(*arguments))  # two that meet would become one
sys.exit(supervise.main(["child.py"]))
"""

TAKES_TERMINAL = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"


def test_control_c_reaches_the_child_once(tmp_path):
    """A terminal sends it to both."""
    (tmp_path / "child.py").write_text("""
import os, signal, time
signal.signal(signal.SIGINT, lambda *_: open("asked", "a").write("x"))
open("ready", "w")
while not os.path.exists("asked"): time.sleep(0.01)
time.sleep(1.0)
""")
    keyboard, terminal = os.openpty()
    parent = subprocess.Popen(
        [sys.executable, "-c", TAKES_TERMINAL + LATE],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdin=terminal,
        start_new_session=True,
    )
    wait_for((tmp_path / "ready").exists)
    os.write(keyboard, b"\x03")
    assert (parent.wait(HANG_S), (tmp_path / "asked").read_text()) == (0, "x")
    os.close(keyboard)
    os.close(terminal)


@pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told on Linux only")
def test_a_child_whose_parent_is_killed_is_asked_to_end(tmp_path):
    code = "signal.signal(15, lambda *_: (open('asked', 'w'), sys.exit(0)))\nopen('ready', 'w')\ntime.sleep(600)"
    parent = supervised(tmp_path, code)
    wait_for((tmp_path / "ready").exists)
    parent.kill()
    parent.communicate(timeout=HANG_S)
    wait_for((tmp_path / "asked").exists)


def test_a_watchdog_s_stacks_may_be_long(tmp_path):
    said = "sys.stderr.write('Timeout (0:30:00)!\\n' + 9_000 * '  File \"a.py\", line 1 in f\\n')"
    parent = supervised(tmp_path, f"{said}\nsys.exit(1)")
    _, passed_on = parent.communicate(timeout=HANG_S)
    assert parent.returncode == LOST_STATUS
    assert "supervise: this process hung: no step ended for 0:30:00" in passed_on.splitlines()[-1]


@pytest.mark.parametrize("status", [0, 1])
def test_no_file_is_left(tmp_path, monkeypatch, status):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    parent = supervised(tmp_path, f"sys.exit({status})")
    parent.communicate(timeout=HANG_S)
    assert parent.returncode == status
    assert {path.name for path in tmp_path.iterdir()} == {"child.py", "count"}


def test_a_child_goes_on_where_nobody_reads_what_it_says(tmp_path):
    """An ssh that broke off: the pipe to it is closed, and the child says more than a pipe holds."""
    reader, writer = os.pipe()
    os.close(reader)
    says = "for _ in range(5_000): sys.stderr.write(99 * 'x' + '\\n')\nsys.stderr.flush()\n"
    ends = "os.kill(os.getpid(), 9) if os.path.getsize(count) == 1 else sys.exit(3)"
    parent = supervised(tmp_path, says + ends, "--restarts=1", "--pause_s=0.01", stderr=writer)
    os.close(writer)
    assert (parent.wait(HANG_S), (tmp_path / "count").read_text()) == (3, "xx")


def test_the_parent_imports_no_jax():
    code = "import sys, occrobnet_jax.parallel.supervise; sys.exit('jax' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=HANG_S)
