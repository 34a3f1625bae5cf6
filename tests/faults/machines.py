"""Machines on this machine: network namespaces on one switch, each with a boot id of its own.

JAX tells machines apart by the kernel's boot id, and takes each for a slice. For root on Linux with iproute2.
"""

import ctypes
import dataclasses
import os
import shutil
import subprocess
import uuid
from pathlib import Path

SUBNET = "10.213.7"  # of namespaces that nothing outside reaches
BOOT_ID = "/proc/sys/kernel/random/boot_id"
CLONE_NEWNS, CLONE_NEWNET, MS_BIND, MS_PRIVATE_EVERYWHERE = 0x20000, 0x40000000, 0x1000, 0x44000


@dataclasses.dataclass(frozen=True)
class Machine:
    """The name of a network namespace, the machine's address in it, and a folder of files that it has of its own."""

    name: str
    address: str
    folder: Path

    def enter(self) -> None:
        """Moves this process there: as `ip netns exec` does, to its network and its /etc/hosts; and to its boot id."""
        with open(f"/run/netns/{self.name}") as file:
            _libc("setns", file.fileno(), CLONE_NEWNET)
        _libc("unshare", CLONE_NEWNS)
        _libc("mount", b"none", b"/", None, MS_PRIVATE_EVERYWHERE, None)
        for file_name, path in (("hosts", "/etc/hosts"), ("boot_id", BOOT_ID)):
            _libc("mount", bytes(self.folder / file_name), path.encode(), None, MS_BIND, None)


class Machines:
    """They exist while the block is entered."""

    def __init__(self, count: int = 2) -> None:
        tag = f"occ{os.getpid() % 100_000}"
        self._switch = f"{tag}s"
        self.each = [
            Machine(f"{tag}m{i}", f"{SUBNET}.{i + 1}", Path("/etc/netns") / f"{tag}m{i}") for i in range(count)
        ]

    def __enter__(self) -> "Machines":
        """Builds them, with an /etc/hosts each: gloo asks what this machine's name is called."""
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "switch", "up")
        for machine in self.each:
            self._build(machine)
        return self

    def _build(self, machine: Machine) -> None:
        name, switch = machine.name, self._switch
        _ip("netns", "add", name)
        _ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", switch)
        _ip("-n", switch, "link", "set", name, "master", "switch", "up")
        _ip("-n", name, "addr", "add", f"{machine.address}/24", "dev", "eth0")
        for interface in ("eth0", "lo"):
            _ip("-n", name, "link", "set", interface, "up")
        machine.folder.mkdir(parents=True, exist_ok=True)
        (machine.folder / "hosts").write_text(f"127.0.0.1 localhost\n{machine.address} {os.uname().nodename}\n")
        (machine.folder / "boot_id").write_text(f"{uuid.uuid4()}\n")

    def cut(self, number: int) -> None:
        """Pulls a machine's cable at the switch; nothing tells either side."""
        _ip("-n", self._switch, "link", "set", self.each[number].name, "nomaster")

    def __exit__(self, *error: object) -> None:
        """Leaves nothing."""
        for name in (*(machine.name for machine in self.each), self._switch):
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


def why_not() -> str:
    """The reason why there can be no machines here; empty where they can be had."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "not root"
    if shutil.which("ip") is None:
        return "no iproute2 (the command `ip`)"
    try:
        with Machines(1):
            return ""
    except (subprocess.CalledProcessError, OSError) as error:
        return f"namespaces can't be made ({error})"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def _libc(function: str, *arguments: object) -> None:
    """Calls a function of the C library.

    Raises:
        OSError: it failed.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments):
        raise OSError(ctypes.get_errno(), f"{function}: {os.strerror(ctypes.get_errno())}")
