"""A small Sentry of the tests' own: takes envelopes over HTTP, and reads them with the SDK's own parser."""

from __future__ import annotations

import gzip
import importlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sentry_sdk.envelope import Envelope

DEADLINE = 60.0
KEY = "d5a1c0ffee5ec7e7"
"""The key of the DSN, which nothing else may show."""


@dataclass
class Sentry:
    """What arrived: each item with its type, in order; `raw` is the bytes of all envelopes, decompressed."""

    port: int = 0
    status: int = 200
    items: list[tuple[str, Any]] = field(default_factory=list)
    raw: bytes = b""
    paths: set[str] = field(default_factory=set)
    dsn: str = ""

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.of("event")

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the items of a type."""
        return [item for type_, item in self.items if type_ == kind]

    def wait(self, condition: Callable[[Sentry], bool], seconds: float = DEADLINE) -> Sentry:
        """Return once the condition holds of what arrived."""
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, [(kind, summary(item)) for kind, item in self.items]
            time.sleep(0.02)
        return self

    def take(self, body: bytes) -> None:
        self.raw += body
        for item in Envelope.deserialize(body).items:
            self.items.append((item.type or "", json.loads(item.get_bytes())))


def summary(event: Any) -> Any:
    """Return what an event is about."""
    if not isinstance(event, dict):
        return event
    thrown = (event.get("exception") or {}).get("values") or []
    return event.get("transaction"), [each.get("type") for each in thrown], event.get("message"), event.get("logentry")


@contextmanager
def receiving() -> Iterator[Sentry]:
    """Run it on a free port of 127.0.0.1."""
    sentry = Sentry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # an answer is written in two parts; each would wait for the client meanwhile

        def do_POST(self) -> None:
            body = _decoded(self.rfile.read(int(self.headers["Content-Length"])), self.headers["Content-Encoding"])
            sentry.paths.add(self.path)
            if sentry.status == 200:
                sentry.take(body)
            self.send_response(sentry.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sentry.port = server.server_address[1]
    sentry.dsn = f"http://{KEY}@127.0.0.1:{sentry.port}/7"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield sentry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _decoded(body: bytes, encoding: str | None) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "br":
        decoded: bytes = importlib.import_module("brotli").decompress(body)
        return decoded
    assert encoding is None
    return body
