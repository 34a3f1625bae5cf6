"""Servers in the place of Weights & Biases': those that do what a bad day's does, and one that takes everything."""

import contextlib
import dataclasses
import functools
import gzip
import http.server
import json
import re
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
        if how == "away":
            yield listener.getsockname()[1]
            return
        listener.listen(64)
        serving = threading.Thread(target=_serve, args=(listener, how == "rejects"), daemon=True)
        serving.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)  # closing it alone would not wake who waits for a client
        serving.join()


def _serve(listener: socket.socket, answers: bool) -> None:
    with contextlib.ExitStack() as kept, contextlib.suppress(OSError):  # the listener is shut down: the end
        while True:
            connection, _ = listener.accept()
            kept.enter_context(connection)  # one that nobody holds would be closed
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


@dataclasses.dataclass
class Taken:
    """What a server that takes everything has of one run."""

    project: str = ""
    group: str = ""
    sweep: str = ""
    config: str = "{}"
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    summary: dict[str, Any] = dataclasses.field(default_factory=dict)
    preempting: bool = False
    exit_codes: list[int] = dataclasses.field(default_factory=list)
    clients: set[str] = dataclasses.field(default_factory=set)

    def values(self) -> list[dict[str, Any]]:
        """The history without what wandb adds itself."""
        return [{name: value for name, value in row.items() if name[0] != "_"} for row in self.history]


class Taking:
    """A server that takes runs: of wandb's GraphQL and file streams as much as wandb 0.31 needs."""

    def __init__(self) -> None:
        self.runs: dict[str, Taken] = {}
        self.address = ""

    def answer(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        """The data that answers a GraphQL operation; what isn't asked for is not looked at."""
        answers = {
            "RunResumeStatus": self._resume_status,
            "UpsertBucket": self._upsert,
            "CreateRunFiles": self._run_files,
            "Run": lambda asked: {"project": {"run": self._described(asked["name"])}},
            "RunHistoryKeys": lambda asked: {"project": {"run": self._described(asked["name"])}},
            "RunParquetHistory": self._parquet_history,
            "HistoryPage": self._history_page,
        }
        return answers[operation](asked) if operation in answers else {"viewer": {"id": "u", "entity": "e"}}

    def stream(self, run: str, sent: dict[str, Any], client: str) -> None:
        """Takes a piece of a file stream."""
        taken = self.runs[run]
        for name, chunk in (sent.get("files") or {}).items():
            is_json = name.endswith((".jsonl", ".json"))
            rows = [json.loads(line, parse_constant=str) for line in chunk["content"] if is_json]  # NaN becomes "NaN"
            if name == "wandb-history.jsonl":
                at = len(taken.history) if client else chunk["offset"]  # the server merges those who share a run
                taken.history[at : at + len(rows)] = rows
            if name == "wandb-summary.json" and rows:
                taken.summary = rows[-1]
        taken.clients |= {client}
        taken.preempting |= bool(sent.get("preempting"))
        if sent.get("complete"):
            taken.exit_codes.append(sent["exitcode"])

    def _resume_status(self, asked: dict[str, Any]) -> dict[str, Any]:
        model = {"id": "m", "name": asked["project"], "entity": {"id": "e", "name": "e"}, "bucket": None}
        if taken := self.runs.get(asked["name"]):
            model["bucket"] = {
                **{"id": "b", "name": asked["name"], "displayName": "d", "config": taken.config, "tags": []},
                **{"logLineCount": 0, "historyLineCount": len(taken.history), "eventsLineCount": 0},
                "summaryMetrics": json.dumps(taken.summary),
                "historyTail": json.dumps([json.dumps(row) for row in taken.history[-1:]]),
                **{"eventsTail": "[]", "notes": None, "wandbConfig": json.dumps({"t": 1})},
            }
        return {"model": model}

    def _upsert(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, is_new = asked["name"], asked["name"] not in self.runs
        taken = self.runs.setdefault(name, Taken())
        taken.project, taken.config = asked["project"] or taken.project, asked["config"] or taken.config
        taken.group, taken.sweep = asked["groupName"] or taken.group, asked["sweep"] or taken.sweep
        project = {"id": "p", "name": taken.project, "entity": {"id": "e", "name": "e"}}
        bucket = {"id": "b", "name": name, "displayName": name, "config": taken.config, "project": project}
        bucket |= {"sweepName": taken.sweep or None, "historyLineCount": len(taken.history)}
        return {"upsertBucket": {"bucket": bucket, "inserted": is_new}}

    def _run_files(self, asked: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": name, "uploadUrl": f"{self.address}/put/{name}"} for name in asked["files"]]
        return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}

    def _described(self, name: str) -> dict[str, Any]:
        taken = self.runs[name]
        empty = ("sweepName", "group", "jobType", "commit", "description", "notes")
        return {
            **{"id": "b", "name": name, "displayName": name, "projectId": "1", "state": "finished", "tags": []},
            **{"config": taken.config, "readOnly": False, "systemMetrics": "{}", **dict.fromkeys(empty)},
            **dict.fromkeys(("createdAt", "heartbeatAt"), "2026-01-01T00:00:00"),
            **{"summaryMetrics": json.dumps(taken.summary), "historyLineCount": len(taken.history)},
            **{"user": {"name": "u", "username": "u"}, "historyKeys": {"keys": {}, "lastStep": len(taken.history)}},
        }

    def _parquet_history(self, asked: dict[str, Any]) -> dict[str, Any]:
        rows = self.runs[asked["runName"]].history
        return {"project": {"run": {"parquetHistory": {"parquetUrls": [], "liveData": rows}}}}

    def _history_page(self, asked: dict[str, Any]) -> dict[str, Any]:
        rows = [row for row in self.runs[asked["run"]].history if asked["minStep"] <= row["_step"] < asked["maxStep"]]
        return {"project": {"run": {"history": [json.dumps(row) for row in rows]}}}


@contextlib.contextmanager
def taking() -> Iterator[Taking]:
    """A server that takes everything, at its `address`."""
    server = Taking()
    with _WaitsForClients(("127.0.0.1", 0), functools.partial(_Takes, server)) as listener:
        server.address = f"http://127.0.0.1:{listener.server_port}"
        threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        listener.shutdown()


class _WaitsForClients(http.server.ThreadingHTTPServer):
    daemon_threads = False


class _Takes(http.server.BaseHTTPRequestHandler):
    def __init__(self, server: Taking, *arguments: Any):
        self._server = server
        super().__init__(*arguments)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self._reply(json.dumps(self._answer(body)).encode())

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._reply(b"")

    def _answer(self, body: bytes) -> dict[str, Any]:
        if self.path.endswith("file_stream"):
            client = self.headers.get("X-WANDB-ASYNC-CLIENT-ID") or ""
            self._server.stream(self.path.split("/")[-2], json.loads(body), client)
        if not self.path.endswith("graphql"):
            return {}
        asked = json.loads(body)
        operation = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
        return {"data": self._server.answer(operation[1] if operation else "", asked.get("variables") or {})}

    def _reply(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""
