"""How a scrape is answered, over whichever port it came in: refused, or in the format and encoding that it asks for."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from belvedere.metrics.exposition import OPENMETRICS, content_type, takes_gzip
from belvedere.metrics.gate import Gate, Reason

Scope = Mapping[str, Any]
"""What is asked, as ASGI writes it: `method`, `path`, `headers` and `client`."""

_WORTH_COMPRESSING = 1024
"""Bytes from which on gzip pays."""
_STATUS: Mapping[Reason, HTTPStatus] = {"address": HTTPStatus.FORBIDDEN, "token": HTTPStatus.UNAUTHORIZED}


class UnreadableError(Exception):
    """There is nothing to show that would be true."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, before anything puts it on a wire."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def reply(status: int, body: bytes, *further: tuple[bytes, bytes], kind: str = "text/plain; charset=utf-8") -> Reply:
    """Return an answer that no cache keeps."""
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *further,
    ]
    return Reply(status, headers, body)


def phrase(status: HTTPStatus, *further: tuple[bytes, bytes]) -> Reply:
    """Return an answer that says what its status means, and nothing else."""
    return reply(status, f"{status.phrase}\n".encode(), *further)


class Scrapes:
    """Answers scrapes.

    Args:
        gate: says who may read.
        render: returns the text, in OpenMetrics or not; run by one scrape at a time.
    """

    def __init__(self, gate: Gate, render: Callable[[bool], bytes]) -> None:
        self._gate = gate
        self._render = render
        self._one_at_a_time = threading.Lock()

    def refusal(self, scope: Scope) -> Reply | None:
        """Return the answer to whoever may not read, and `None` for all others."""
        reason = self._gate.refuses(scope)
        if reason is None:
            return None
        challenge = [(b"www-authenticate", b"Bearer")] if reason == "token" else []
        return phrase(_STATUS[reason], *challenge)

    def answer(self, scope: Scope) -> Reply:
        """Return the metrics as the scraper wants them; takes a while, and belongs in a thread."""
        headers = dict(scope["headers"])
        kind = content_type(headers.get(b"accept", b"").decode("latin-1"))
        squeeze = takes_gzip(headers.get(b"accept-encoding", b"").decode("latin-1"))
        further = [(b"vary", b"Accept, Accept-Encoding")]
        with self._one_at_a_time:
            try:
                body = self._render(kind == OPENMETRICS)
            except UnreadableError:
                return phrase(HTTPStatus.SERVICE_UNAVAILABLE)
            if squeeze and len(body) > _WORTH_COMPRESSING:
                body = gzip.compress(body, compresslevel=1, mtime=0)
                further.append((b"content-encoding", b"gzip"))
        return reply(200, body, *further, kind=kind)
