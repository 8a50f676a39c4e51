"""One request on the port, and its answer."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from belvedere import failures
from belvedere.metrics.scrapes import Reply, Scope, phrase

Handler = Callable[[Scope], Reply]
"""Answers GET and HEAD at one path, in a thread; what it is given is written as in ASGI."""

HEAD = 131_072
"""Bytes of a request's line and headers; of them, the standard library lets a line have half."""


class Serves(Protocol):
    """What an exchange needs of its server."""

    @property
    def handlers(self) -> Mapping[str, Handler]: ...

    def asked(self, connection: Any) -> None: ...


class Exchange(BaseHTTPRequestHandler):
    """Reads one request, answers it, and is done: a scraper that comes every 15 seconds needs no open connection."""

    protocol_version = "HTTP/1.1"
    timeout = 10.0
    """Seconds for the whole answer to be taken, and for one read; the server bounds all of them."""
    server: Any

    def __init__(self, connection: Any, address: Any, server: Serves) -> None:
        super().__init__(connection, address, server)  # type: ignore[arg-type]

    def setup(self) -> None:
        super().setup()
        self.rfile = _Bounded(self.rfile)  # type: ignore[assignment]

    def handle(self) -> None:
        self.handle_one_request()

    def answer(self) -> None:
        """Answer the request that has been read, whatever its method."""
        self.server.asked(self.connection)
        if self.rfile.ambiguous or self.headers.defects:  # type: ignore[attr-defined]
            self.reply(phrase(HTTPStatus.BAD_REQUEST))
            return
        try:
            # Proxies ask for a whole URL.
            path = unquote(urlsplit(self.path).path)
        except ValueError:
            self.reply(phrase(HTTPStatus.BAD_REQUEST))
            return
        handler: Handler | None = self.server.handlers.get(path)
        if handler is None:
            self.reply(phrase(HTTPStatus.NOT_FOUND))
        elif self.command not in {"GET", "HEAD"}:
            self.reply(phrase(HTTPStatus.METHOD_NOT_ALLOWED, (b"allow", b"GET, HEAD")))
        else:
            self.reply(self._handled(handler, path))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = answer  # noqa: N815

    def _handled(self, handler: Handler, path: str) -> Reply:
        address = self.client_address[0].removeprefix("::ffff:")
        headers = [
            # As bytes they came: what the parser made of them is one character for each.
            (name.lower().encode("latin-1", "replace"), str(value).encode("latin-1", "replace"))
            for name, value in self.headers.items()
        ]
        scope = {
            "type": "http",
            "method": self.command,
            "path": path,
            "headers": headers,
            "client": (address, self.client_address[1]),
        }
        try:
            return handler(scope)
        except Exception as error:
            failures.contain("metrics", error)
            return phrase(HTTPStatus.INTERNAL_SERVER_ERROR)

    def reply(self, reply: Reply) -> None:
        """Send an answer, which is the last on this connection."""
        # What could not be read is taken for HTTP/0.9, which has neither status nor headers, and which nobody speaks.
        self.request_version = self.protocol_version
        self.send_response_only(reply.status)
        self.send_header("Date", self.date_time_string())
        for name, value in reply.headers:
            self.send_header(name.decode("latin-1"), value.decode("latin-1"))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what cannot be read; without repeating any of it, as the standard library would."""
        self.reply(phrase(HTTPStatus(code)))

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing to stderr: scrapes are no requests of the service."""


class _Bounded:
    """Reads lines until the headers are longer than they may be.

    `ambiguous` says whether one of them is read in another way here than by a proxy that passed it on: the standard
    library ends a header at a carriage return by itself, and continues it on a line that begins with a space. Who is
    behind a proxy could so make up an address that is allowed (RFC 9112, sections 2.2 and 5.2).
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = HEAD
        self.ambiguous = False

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            # What the standard library answers by 431.
            raise http.client.LineTooLong("header")
        if b"\r" in line.removesuffix(b"\n").removesuffix(b"\r") or b"\0" in line or line[:1] in {b" ", b"\t"}:
            self.ambiguous = True
        return line

    def close(self) -> None:
        self._file.close()

    @property
    def closed(self) -> bool:
        closed: bool = self._file.closed
        return closed
