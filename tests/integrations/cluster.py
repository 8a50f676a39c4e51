"""A server of the tests' own that answers as Elasticsearch does, with what is wrong with it at the time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

HEALTH = "/_cluster/health"


class Cluster:
    """What it answers.

    `status` is of the cluster; `refused` says with which status of HTTP a path is refused.
    """

    def __init__(self) -> None:
        self.url = ""
        self.status = "green"
        self.refused: dict[str, int] = {}
        self.asked: list[str] = []
        """Method and path of each request."""

    def answer(self, path: str) -> tuple[int, Any]:
        """Return status and body."""
        if path in self.refused:
            return self.refused[path], {"error": {"type": "refused", "reason": "s3cr3t-reason"}}
        if path == HEALTH:
            return 200, {"cluster_name": "tests", "status": self.status, "number_of_nodes": 3}
        return 200, {"took": 1, "hits": {"hits": []}, "found": True}


@contextmanager
def answering() -> Iterator[Cluster]:
    """Serve on a free port for the length of a block."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm: ClassVar[bool] = True

        def answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            self.rfile.read(length)
            path = self.path.partition("?")[0]
            cluster.asked.append(f"{self.command} {path}")
            status, body = cluster.answer(path)
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("x-elastic-product", "Elasticsearch")
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
