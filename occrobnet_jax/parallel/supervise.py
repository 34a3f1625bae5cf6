"""Runs a program of this project as a child process, and says in one sentence why it ended.

    python -m occrobnet_jax.parallel.supervise [--restarts=N] train.py --config=... --workdir=...

JAX's runtime aborts from C++ when another host is lost, which no Python code of the same process can catch. This
parent, which never imports jax, reads what the child says on standard error, passes it on, and ends with

- 0 where the child did (--asked_status says otherwise for a child that ended, with 0, because SIGTERM asked it to),
- 75 (EX_TEMPFAIL: start it again) where another host was lost or no step ended for too long,
- 69 (EX_UNAVAILABLE) where not all hosts came to the start,
- 128 + N where signal N ended the child, else the child's own status.

With --restarts it starts a child anew, up to N times, that a signal, a lost host or the watchdog ended; the program
goes on from its newest checkpoint. An error that the program itself reports would only come again, so it ends the run.
On the other hosts the same error looks like a lost host: they start again, and end when that host doesn't come back.
"""

import argparse
import collections
import contextlib
import ctypes
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

HOSTS_FILE_VARIABLE = "OCCROBNET_HOSTS_FILE"
"""Names the file in which a child leaves its own number and the names of all hosts."""
START_LIMIT_S = 300
"""So long a host waits at the start for the others."""
LOST_STATUS = 75
START_STATUS = 69
INTERRUPTED = 128 + signal.SIGINT
LINES_KEPT = 12_000  # the watchdog's first line comes before the stacks: of 100 threads at most, of 100 lines each
LOOK_S = 0.1
SEND_AT_PARENTS_DEATH = 1  # prctl's PR_SET_PDEATHSIG

COORDINATOR_LOST = re.compile(r"Failed to send RPC to coordination service|RPC: .*CoordinationService/Heartbeat")
SOMEBODY_LOST = re.compile(r"JAX distributed service detected fatal errors")
HOST_LOST = re.compile(r"[Tt]ask:? ?(\d+) heartbeat timeout")
HOSTS_LOST = re.compile(r"stopped sending heartbeats\):\n((?:\S*\d+\n)+)")  # one a line: "1", or ".../task:1"
NOT_ALL_CAME = re.compile(r"DEADLINE_EXCEEDED.*\n+RPC: .*CoordinationService/RegisterTask")
WATCHDOG = re.compile(r"^Timeout \((.*)\)!", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Run what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description="Runs a program, and says why it ended.")
    parser.add_argument("--restarts", type=int, default=0, help="so many times at most")
    parser.add_argument("--pause_s", type=float, default=30.0, help="before a restart; more than hosts.heartbeat_s")
    parser.add_argument("--asked_status", type=int, default=0, help="where SIGTERM ended an unfinished run in order")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="train.py or eval.py with its flags")
    options = parser.parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser.error("name the program, for example train.py --config=...")
    return supervise([sys.executable, *command], options.restarts, options.pause_s, options.asked_status)


def supervise(command: list[str], restarts: int, pause_s: float, asked_status: int = 0) -> int:
    """Run the command, again where that may help; return the exit status of the last time."""
    request = EndRequest()
    for left in range(restarts, -1, -1):
        child = Child(command)
        request.pass_on_to(child.process.send_signal)
        status = child.wait()
        hosts = child.hosts()
        if status == 0:
            return asked_status if request.came else 0
        if status == INTERRUPTED and request.came:  # Ctrl-C, in order
            return status
        sentence, status_out, may_help = diagnose(status, child.last_lines(), hosts)
        _say(f"supervise: {sentence}\n")
        if not (left and may_help) or request.came:
            return status_out
        _say(f"supervise: started again in {pause_s:g} s, {left} of {restarts} restarts left\n")
        if request.comes_within(pause_s):
            return status_out
    raise AssertionError("the last round returns")


class EndRequest:
    """SIGTERM or SIGINT to this process, from now on: remembered, and passed on to the child that runs."""

    def __init__(self) -> None:
        self._numbers: list[int] = []
        self._send: Callable[[int], None] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    @property
    def came(self) -> bool:
        """Whether the run was asked to end."""
        return bool(self._numbers)

    def pass_on_to(self, send: Callable[[int], None]) -> None:
        """Pass signals on by calling `send` from now on; what came while the child was started, too."""
        self._send = send
        for number in self._numbers:
            send(number)

    def comes_within(self, limit_s: float) -> bool:
        """Wait so long at most."""
        end_s = time.monotonic() + limit_s
        while not self.came and (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(left_s, LOOK_S))
        return self.came

    def _note(self, number: int, frame: object) -> None:
        self._numbers.append(number)
        if self._send and not (number == signal.SIGINT and _is_at_a_terminal()):
            self._send(number)


class Child:
    """A running program; its standard error goes on to ours, the last lines are kept."""

    def __init__(self, command: list[str]) -> None:
        handle, path = tempfile.mkstemp(prefix="occrobnet_hosts_")
        os.close(handle)
        self._hosts_file = Path(path)
        self.process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            env=os.environ | {HOSTS_FILE_VARIABLE: path},
            text=True,
            errors="replace",
            preexec_fn=_ends_with_its_parent(),
        )
        self._lines: collections.deque[str] = collections.deque(maxlen=LINES_KEPT)
        self._reader = threading.Thread(target=self._pass_on, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def wait(self) -> int:
        """Return the status of the child: negative where a signal ended it."""
        status = self.process.wait()
        self._reader.join(timeout=5.0)  # grandchildren may keep the pipe open
        return status

    def last_lines(self) -> str:
        """Return the end of what it said on standard error."""
        return "".join(self._lines)

    def hosts(self) -> tuple[int, list[str]]:
        """Return the child's number and the names of all hosts, as far as it came to know them; once."""
        known = read_hosts(self._hosts_file)
        self._hosts_file.unlink(missing_ok=True)
        return known

    def _pass_on(self, pipe: IO[str]) -> None:
        for line in pipe:
            self._lines.append(line)
            _say(line)


def _say(text: str) -> None:
    """Write to standard error; what nobody can take is left out, since a child waits for who empties its pipe."""
    with contextlib.suppress(OSError):  # an ssh that broke off, a full disk
        sys.stderr.write(text)
        sys.stderr.flush()


def _ends_with_its_parent() -> Callable[[], object] | None:
    """Return what a child does at its start: on Linux it then gets SIGTERM where SIGKILL ends this process."""
    if sys.platform != "linux":
        return None
    return functools.partial(ctypes.CDLL(None).prctl, SEND_AT_PARENTS_DEATH, signal.SIGTERM)


def _is_at_a_terminal() -> bool:
    """Return whether Ctrl-C of a terminal reaches this process; then it has reached the child as well."""
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):  # no terminal, or no standard input
        return False


def read_hosts(path: Path) -> tuple[int, list[str]]:
    """Return what `hosts.initialize` has left in a file: the host's own number, and the names of all."""
    try:
        known = json.loads(path.read_text())
        return int(known["host"]), [str(name) for name in known["names"]]
    except (OSError, ValueError, KeyError, TypeError):
        return 0, []


def diagnose(status: int, said: str, hosts: tuple[int, list[str]]) -> tuple[str, int, bool]:
    """Return why a child ended.

    Args:
        status: of the child; negative for a signal.
        said: the end of its standard error.
        hosts: its number, and the names of all hosts.

    Returns:
        One sentence; the status to end with; whether starting it again may help.
    """
    own, names = hosts
    here = _name(own, names) if names else "this process"
    if status < 0 and NOT_ALL_CAME.search(said):
        why = "one wasn't started, has ended with an error of its own, or can't be reached; see the others' logs"
        return f"not all hosts came within {START_LIMIT_S} s: {why}", START_STATUS, False
    lost = lost_hosts(said, own)
    if lost or (status < 0 and SOMEBODY_LOST.search(said)):
        who = " and ".join(_name(host, names) for host in lost) or "another host, JAX doesn't say which"
        return f"{here} lost {who}: it died, hangs or can't be reached; see its log", LOST_STATUS, True
    if found := WATCHDOG.search(said):
        return f"{here} hung: no step ended for {found[1]}; its stacks are above", LOST_STATUS, True
    if status < 0:
        return f"{here} was ended by {signal.Signals(-status).name}", 128 - status, True
    return f"{here} ended with status {status}; its last words are above", status, False


def lost_hosts(said: str, own: int) -> list[int]:
    """Return the numbers of the hosts that JAX's runtime says were lost."""
    found = {int(number) for number in HOST_LOST.findall(said)}
    for block in HOSTS_LOST.findall(said):
        found |= {int(number) for number in re.findall(r"(\d+)$", block, re.MULTILINE)}
    found -= {own}
    if not found and COORDINATOR_LOST.search(said) and own != 0:
        found = {0}
    return sorted(found)


def _name(host: int, names: list[str]) -> str:
    return f"host {host} ({names[host]})" if host < len(names) else f"host {host}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
