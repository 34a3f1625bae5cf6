"""Buckets for tests: one in memory, which is always there, and emulators of S3 and GCS where they are installed."""

import contextlib
import importlib.util
import threading
from collections.abc import Callable, Iterator

import fsspec
import pytest
from etils.epath.backend import fsspec_backend
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from occrobnet_jax.files import paths

NAME = "bucket"
Application = Callable[..., object]  # of WSGI


class MemoryBucket(MemoryFileSystem):
    """Objects in this process, under names such as "bucket/run/file"."""

    protocol = ("gs", "gcs", "s3")
    store: dict = {}  # noqa: RUF012  # fsspec's own way

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol("/" + path.split("://", 1)[-1].lstrip("/"))

    @property
    def pseudo_dirs(self) -> list[str]:
        """A bucket has no empty folders."""
        return [""]

    def find(self, path: str, **options: object) -> list[str]:
        """Names without the slash that the memory's file system puts before them."""
        return [name.lstrip("/") for name in super().find(path, **options)]


@contextlib.contextmanager
def in_memory() -> Iterator[str]:
    """The URL of a new bucket in memory; no library is needed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryBucket, "store", {})
        patch.setattr(paths, "LIBRARIES", dict.fromkeys(paths.LIBRARIES, "fsspec"))
        patch.setitem(_registry, "s3", MemoryBucket)
        with fresh_clients():
            yield f"s3://{NAME}"


@contextlib.contextmanager
def s3(around: Callable[[Application], Application] = lambda application: application) -> Iterator[str]:
    """The URL of a new bucket of moto's, an S3 on this machine; `around` may see every request before it does."""
    skip_without("moto", "s3fs")
    with _served_s3(around) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with fresh_clients():
            fsspec.filesystem("s3").mkdir(NAME)
            yield f"s3://{NAME}"


@contextlib.contextmanager
def _served_s3(around: Callable[[Application], Application]) -> Iterator[dict[str, str]]:
    """Serves an S3 and yields the environment that leads this process and its children there."""
    from moto.moto_server.werkzeug_app import create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class OneRequest(WSGIRequestHandler):
        """Closes each connection: one that is kept would be left open at the end."""

        protocol_version = "HTTP/1.0"

    server = make_server("127.0.0.1", 0, around(create_backend_app("s3")), threaded=True, request_handler=OneRequest)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def gcs() -> Iterator[str]:
    """The URL of a new bucket of an emulated GCS, which listens on this machine only."""
    skip_without("gcp_storage_emulator", "gcsfs")
    from gcp_storage_emulator.server import create_server

    server = create_server("127.0.0.1", 0, in_memory=True, default_bucket=NAME)
    server.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STORAGE_EMULATOR_HOST", "http://{}:{}".format(*server._api._httpd.server_address))
            patch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")  # it asks Google for the kind of bucket
            with fresh_clients():
                yield f"gs://{NAME}"
    finally:
        server.stop()


@contextlib.contextmanager
def fresh_clients() -> Iterator[None]:
    """Nobody has a connection to a bucket that was there before, nor afterwards to this one."""
    _forget_clients()
    try:
        yield
    finally:
        _forget_clients()


def skip_without(*modules: str) -> None:
    """Skips a test whose emulator isn't installed."""
    if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
        pytest.skip(f"{', '.join(missing)} not installed: pip install -r requirements-dev.txt")


def _forget_clients() -> None:
    fsspec_backend._get_filesystem.cache_clear()
    for kind in fsspec.registry.values():
        kind.clear_instance_cache()
