"""What runs when the application starts and stops, around its own lifespan."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from belvedere import failures
from belvedere.asgi.plan import Message

Hook = Callable[[], Awaitable[None]]


class Lifespan:
    """Follows an application's lifespan.

    `before` runs before the application starts, `started` once it has, `stopping` before it stops (what it opened is
    still there), `stopped` once it has. A failure of ours is contained: the application starts and stops as it would
    without.

    `failed` is told of the exception, and whether it had started, when start-up or shut-down of the application fails.
    """

    def __init__(self) -> None:
        self.failed: Callable[[Exception, bool], None] = lambda error, started: None
        self.before: list[Hook] = []
        self.started: list[Hook] = []
        self.stopping: list[Hook] = []
        self.stopped: list[Hook] = []
        self.began = False

    async def __call__(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        left: list[Hook] = []

        async def receive_() -> Message:
            message: Message = await receive()
            if message["type"] == "lifespan.shutdown":
                await _run(left, until=len(self.stopped))
            return message

        async def send_(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                left.extend([*self.stopped, *self.stopping])
                await _run([*reversed(self.started)])
            elif message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await _run(left)
            if message["type"].endswith(".failed"):
                self._tell(message["type"] == "lifespan.shutdown.failed")
            await send(message)

        self.began = True
        await _run([*reversed(self.before)])
        try:
            await app(scope, receive_, send_)
        finally:
            # Cancelled or broken while it ran: what was started is stopped all the same.
            await _run(left)

    def _tell(self, started: bool) -> None:
        # Starlette sends it while it handles the exception, which it then raises on.
        error = sys.exception()
        if isinstance(error, Exception):  # a cancelled one is the server's affair
            try:
                self.failed(error, started)
            except Exception as failure:
                failures.contain("lifespan", failure)


async def _run(hooks: list[Hook], until: int = 0) -> None:
    """Run hooks from the last on, taking each off, until so many are left."""
    while len(hooks) > until:
        try:
            await hooks.pop()()
        except Exception as error:
            failures.contain("lifespan", error)
