"""The endpoints themselves, as ASGI applications that the pass calls in place of the observed one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from belvedere.health.payloads import Payload

Message = dict[str, Any]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Answer = tuple[int, Payload]


def probe(answer: Callable[[], Awaitable[Answer]]) -> ASGIApp:
    """Return an application that answers GET and HEAD; no cache may keep what it says (RFC 9111, 5.2.2.5)."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        status, payload = await answer()
        body = orjson.dumps(payload)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return app
