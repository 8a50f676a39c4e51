"""What runs when the application starts and stops, around its own lifespan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from belvedere import failures

Message = dict[str, Any]
Hook = Callable[[], Awaitable[None]]


class Lifespan:
    """Follows an application's lifespan: `before` it starts, once it has `started`, once it has `stopped`.

    A failure of ours is contained: the application starts and stops as it would without.
    """

    def __init__(self) -> None:
        self.before: list[Hook] = []
        self.started: list[Hook] = []
        self.stopped: list[Hook] = []
        self.complete = False

    async def __call__(self, app: Any, scope: Any, receive: Any, send: Any) -> None:
        ran = False

        async def send_(message: Message) -> None:
            nonlocal ran
            if message["type"] == "lifespan.startup.complete":
                ran = self.complete = True
                await _run(self.started)
            elif message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"} and ran:
                ran = self.complete = False
                await _run(reversed(self.stopped))
            await send(message)

        await _run(self.before)
        try:
            await app(scope, receive, send_)
        finally:
            if ran:
                # Cancelled or broken while it ran: what was started is stopped all the same.
                self.complete = False
                await _run(reversed(self.stopped))


async def _run(hooks: Any) -> None:
    for hook in list(hooks):
        try:
            await hook()
        except Exception as error:  # noqa: BLE001 - the application starts and stops without us
            failures.contain("lifespan", error)
