"""The scrape on the service's own port: an ASGI application, which renders off the event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from belvedere.metrics.aside import Aside
from belvedere.metrics.scrapes import Scrapes


class MetricsEndpoint:
    """An ASGI application that answers a scrape.

    Args:
        scrapes: knows the answer.
        prepare: run on the event loop before each scrape, for what has to be asked there.
    """

    def __init__(self, scrapes: Scrapes, prepare: Callable[[], Awaitable[None]]) -> None:
        self._scrapes = scrapes
        self._prepare = prepare
        self._thread = Aside("belvedere-scrape")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        reply = self._scrapes.refusal(scope)
        if reply is None:
            await self._prepare()
            reply = await self._thread.run(partial(self._scrapes.answer, scope))
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})

    async def in_thread(self, call: Callable[[], None]) -> None:
        """Run something where scrapes are rendered, between two of them."""
        await self._thread.run(call)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.close()
