"""A Redis client that sends together what is asked for together.

Each request asks for two things, its hit and what is left; under load, many requests ask within one turn of the event
loop. All of that goes out as one pipeline, in the order in which it was asked for; what comes before its answers are
there goes out after them, together. So one connection is enough, which is there when a burst comes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionFailedError

from belvedere.ratelimit.patience import Patience

Command = tuple[tuple[Any, ...], dict[str, Any], "asyncio.Future[Any]"]


def connect(url: str, timeout: float) -> PipelinedRedis:
    """Return a client for `url`, which connects when it is first asked something, and tries nothing twice.

    Args:
        timeout: seconds that an answer may take, connecting included.
    """
    client: Any = PipelinedRedis.from_url(url, retry=Retry(NoBackoff(), 0))
    client.timeout = timeout
    client.waiting = []
    client.flight = None
    assert isinstance(client, PipelinedRedis)  # noqa: S101 - for the type checker: redis-py says `Redis`
    return client


class PipelinedRedis(Redis):
    """A client of one event loop. Commands fail with `TimeoutError` when Redis takes too long."""

    timeout: float
    waiting: list[Command]
    flight: asyncio.Task[None] | None

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        if not self.waiting:
            loop.call_soon(self._depart)
        self.waiting.append((args, options, answer))
        return await answer

    def _depart(self) -> None:
        if self.waiting and self.flight is None:
            commands, self.waiting = self.waiting, []
            self.flight = asyncio.get_running_loop().create_task(self._fly(commands))
            self.flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[None]) -> None:
        self.flight = None
        if not flight.cancelled():
            self._depart()

    async def _fly(self, commands: list[Command]) -> None:
        try:
            async with Patience(self.timeout):
                try:
                    results = await self._ask(commands)
                except ConnectionFailedError:
                    # Redis may have closed a connection that was idle. Should it have counted already: once too much.
                    results = await self._ask(commands)
        except BaseException as error:
            self._fail(commands, error)
            if isinstance(error, Exception):
                # Whoever waits would wait as long, for nothing.
                commands, self.waiting = self.waiting, []
                self._fail(commands, error)
                return
            raise
        for (_, _, answer), result in zip(commands, results, strict=True):
            if answer.done():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)

    async def _ask(self, commands: list[Command]) -> list[Any]:
        pipeline = self.pipeline(transaction=False)
        for args, options, _ in commands:
            pipeline.execute_command(*args, **options)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    def _fail(self, commands: list[Command], error: BaseException) -> None:
        for _, _, answer in commands:
            if not answer.done():
                if isinstance(error, asyncio.CancelledError):
                    answer.cancel()
                else:
                    answer.set_exception(error)
