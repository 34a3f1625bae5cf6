"""Servers in the place of Weights & Biases' that do what a bad day's does."""

import contextlib
import socket
import threading
from collections.abc import Iterator

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HOW = ("hangs", "rejects", "away")


@contextlib.contextmanager
def server(how: str) -> Iterator[str]:
    """Address of one that "hangs" (takes a connection, never answers), "rejects" (403), or is "away" (nobody there)."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if how != "away":
            listener.listen(64)
            threading.Thread(target=_serve, args=(listener, how == "rejects"), daemon=True).start()
        yield address


def _serve(listener: socket.socket, answers: bool) -> None:
    kept = []  # a connection that nobody holds would be closed
    with contextlib.suppress(OSError):  # the listener is closed: the end
        while True:
            connection, _ = listener.accept()
            kept.append(connection)
            if answers:
                with contextlib.suppress(OSError):
                    connection.recv(65_536)
                    connection.sendall(FORBIDDEN)
                    connection.close()
