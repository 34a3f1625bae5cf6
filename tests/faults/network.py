"""Two network namespaces with one link between them, which can be cut; for root on Linux with iproute2."""

import os
import shutil
import subprocess
from pathlib import Path


class Link:
    """The namespaces exist while the block is entered."""

    def __init__(self) -> None:
        tag = os.getpid() % 10_000
        self.namespaces = (f"occ{tag}a", f"occ{tag}b")
        self.addresses = ("10.213.7.1", "10.213.7.2")
        self._ends = (f"v{tag}a", f"v{tag}b")

    def __enter__(self) -> "Link":
        """Builds both, with an /etc/hosts each: gloo asks what this machine's name is called."""
        for name in self.namespaces:
            _ip("netns", "add", name)
        _ip("link", "add", self._ends[0], "type", "veth", "peer", "name", self._ends[1])
        for name, end, address in zip(self.namespaces, self._ends, self.addresses, strict=True):
            _ip("link", "set", end, "netns", name)
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", end)
            _ip("-n", name, "link", "set", end, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            folder = Path("/etc/netns") / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "hosts").write_text(f"127.0.0.1 localhost\n{address} {os.uname().nodename}\n")
        return self

    def cut(self) -> None:
        """Takes the link down; nothing tells either side."""
        _ip("-n", self.namespaces[0], "link", "set", self._ends[0], "down")

    def __exit__(self, *error: object) -> None:
        """Leaves nothing."""
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


def why_not() -> str:
    """The reason why there can be no namespaces here; empty where they can be had."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "not root"
    if shutil.which("ip") is None:
        return "no iproute2 (the command `ip`)"
    try:
        with Link():
            return ""
    except (subprocess.CalledProcessError, OSError) as error:
        return f"namespaces can't be made ({error})"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
