"""The scrape: who may read the metrics, in which format, rendered off the event loop."""

from __future__ import annotations

import asyncio
import gzip
import hmac
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from belvedere.asgi.client import client_address, inside
from belvedere.metrics.exposition import OPENMETRICS, content_type, takes_gzip
from belvedere.settings import MetricSettings, Network

_WORTH_COMPRESSING = 1024
"""Bytes from which on gzip pays."""


class MetricsEndpoint:
    """An ASGI application that answers a scrape.

    Args:
        settings: token and networks that may read.
        prepare: run on the event loop before each scrape, for what has to be asked there.
        render: returns the text; run in a thread of its own, one scrape at a time.
        trusted_proxies: behind which the scraper's own address is taken from `X-Forwarded-For`.
    """

    def __init__(
        self,
        settings: MetricSettings,
        prepare: Callable[[], Awaitable[None]],
        render: Callable[[bool], bytes],
        trusted_proxies: tuple[Network, ...] = (),
    ) -> None:
        self._token = settings.token.get_secret_value().encode() if settings.token else None
        self._allow = settings.allow
        self._trusted_proxies = trusted_proxies
        self._prepare = prepare
        self._render = render
        self._thread = ThreadPoolExecutor(1, "belvedere-scrape")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        refusal = self._refusal(scope)
        if refusal is not None:
            await _send(scope, send, refusal, b"Forbidden\n" if refusal == 403 else b"Unauthorized\n", [])
            return
        await self._prepare()
        headers = dict(scope["headers"])
        kind = content_type(headers.get(b"accept", b"").decode("latin-1"))
        squeeze = takes_gzip(headers.get(b"accept-encoding", b"").decode("latin-1"))
        body = await asyncio.get_running_loop().run_in_executor(self._thread, self._body, kind == OPENMETRICS, squeeze)
        extra = [(b"vary", b"Accept, Accept-Encoding")]
        if squeeze and body[:2] == b"\x1f\x8b":
            extra.append((b"content-encoding", b"gzip"))
        await _send(scope, send, 200, body, extra, kind=kind)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False)

    def _body(self, openmetrics: bool, squeeze: bool) -> bytes:
        text = self._render(openmetrics)
        return gzip.compress(text, compresslevel=1, mtime=0) if squeeze and len(text) > _WORTH_COMPRESSING else text

    def _refusal(self, scope: Any) -> int | None:
        headers = dict(scope["headers"])
        if self._allow:
            address = client_address(scope, headers, self._trusted_proxies)
            if address is None or not inside(address, self._allow):
                return 403
        if self._token is not None:
            # Two of them are none.
            shown = [value for name, value in scope["headers"] if name == b"authorization"]
            given = shown[0] if len(shown) == 1 else b""
            # In constant time, so that answers do not tell how much of a guess was right.
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                return 401
        return None


async def _send(
    scope: Any,
    send: Any,
    status: int,
    body: bytes,
    extra: list[tuple[bytes, bytes]],
    *,
    kind: str = "text/plain; charset=utf-8",
) -> None:
    if status == 401:
        extra = [*extra, (b"www-authenticate", b"Bearer")]
    headers = [
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
