"""Servers in the place of Weights & Biases' that do what a bad day's does."""

import contextlib
import functools
import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
HOW = ("hangs", "rejects", "away", "leaves")
RUN = {"id": "r", "name": "r", "project": {"name": "p", "entity": {"name": "e"}}}
ANSWER = {"data": {"viewer": {"entity": "e"}, "model": {"bucket": None}, "upsertBucket": {"bucket": RUN}}}
"""To whatever is asked at the start of a run; what isn't asked for is not looked at."""


@contextlib.contextmanager
def server(how: str) -> Iterator[str]:
    """The address of one.

    It "hangs" (takes a connection, never answers), "rejects" (403), is "away" (nobody is there), or "leaves" (starts a
    run, takes its first numbers, and is away from then on).
    """
    serve = leaving() if how == "leaves" else broken(how)
    with serve as port:
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def broken(how: str) -> Iterator[int]:
    """The port of one that never starts a run."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if how != "away":
            listener.listen(64)
            threading.Thread(target=_serve, args=(listener, how == "rejects"), daemon=True).start()
        yield listener.getsockname()[1]


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


@contextlib.contextmanager
def leaving() -> Iterator[int]:
    """The port of one that goes away after the first numbers."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as listener:

        def leave() -> None:
            listener.shutdown()
            listener.server_close()

        listener.RequestHandlerClass = functools.partial(_Answers, leave)
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        yield listener.server_port
        listener.shutdown()


class _Answers(http.server.BaseHTTPRequestHandler):
    def __init__(self, leave: Callable[[], None], *arguments: Any):
        self._leave = leave
        super().__init__(*arguments)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        if self.path.endswith("file_stream"):
            self._leave()

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""
