"""A connection for one piece of the store's own work, with an end in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import StaticPool

from belvedere.conventions import OWN_STATEMENT
from belvedere.interactions.verdicts import Unavailable, describe, refusal, undone

Found = TypeVar("Found")

GRACE: Final = 1.0
"""Seconds that connecting or closing may go on when nobody wants the connection any more."""

ATTEMPTS: Final = 5
"""How often work is done that the database undoes for the sake of somebody else's."""

_unfinished: set[asyncio.Task[Any]] = set()


class Refused(Exception):  # noqa: N818
    """The database will never take this; the message is the reason, and shows no value."""


class Connections:
    """The engine's connections as the store uses them.

    A statement that is alone is its own transaction: no BEGIN and COMMIT of their own, so the database holds its
    locks no longer than the statement takes, whatever the event loop does meanwhile.

    Args:
        engine: whose they are.
        seconds: how long a piece of work may take, the wait for a connection included.
    """

    def __init__(self, engine: AsyncEngine, seconds: float) -> None:
        self.dialect = engine.dialect
        self._engine = engine
        self.seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        # One connection for all of the process (SQLite in memory): its mode is the application's, and without it
        # the data are gone.
        self._shared = isinstance(engine.pool, StaticPool)
        self._transactional = engine.execution_options(**{OWN_STATEMENT: True})
        self._single = self._transactional
        if not self._shared:
            self._single = engine.execution_options(**{OWN_STATEMENT: True}, isolation_level="AUTOCOMMIT")

    async def single(self, work: Callable[[AsyncConnection], Awaitable[Found]], *, events: bool = False) -> Found:
        """Do `work`, whose statements are transactions by themselves.

        Args:
            work: what to do with a connection.
            events: whether it writes events: a failure may then be the fault of one of them.

        Raises:
            Refused: the database will never take the events.
            Unavailable: it does not do it now.
        """
        return await self._do(self._single, work, events=events)

    async def transaction(self, work: Callable[[AsyncConnection], Awaitable[Found]], *, events: bool = False) -> Found:
        """Do `work` in one transaction; arguments and errors are those of `single`."""
        return await self._do(self._transactional, work, events=events)

    async def join_loop(self) -> None:
        """Let go of connections that belong to a loop which is closed, as that of an `asyncio.run` before; those of
        SQLite belong to none."""
        loop, before = asyncio.get_running_loop(), self._loop
        if loop is before:
            return
        self._loop = loop
        if before is not None and before.is_closed() and self.dialect.name != "sqlite":
            await self._engine.dispose(close=False)

    async def _do(
        self, engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Found]], *, events: bool
    ) -> Found:
        try:
            async with asyncio.timeout(self.seconds):
                await self.join_loop()
                return await self._attempted(engine, work)
        except TimeoutError:
            raise Unavailable(f"no answer within {self.seconds:g} s") from None
        except Exception as error:
            # Without its cause, whose text shows statements and values.
            if events and (reason := refusal(error)) is not None:
                raise Refused(reason) from None
            raise Unavailable(describe(error)) from None

    async def _attempted(self, engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Found]]) -> Found:
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._connected(engine, work)
            except DBAPIError as error:
                if not undone(error):
                    raise
        return await self._connected(engine, work)

    async def _connected(self, engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Found]]) -> Found:
        connection = await self._whole(_connect(engine))
        try:
            found = await work(connection)
            if connection.in_transaction():
                await connection.commit()
        except asyncio.CancelledError:
            await _waited(self._give_up(connection))
            raise
        except Exception:
            await _waited(self._close(connection))
            raise
        await _waited(self._close(connection))
        return found

    async def _whole(self, connecting: Coroutine[Any, Any, AsyncConnection]) -> AsyncConnection:
        """Wait for a connection. SQLAlchemy is not cancelled in the middle: it may lose one that its pool counts."""
        task = _kept(connecting)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await _waited(self._connected_in_vain(task))
            raise

    async def _connected_in_vain(self, task: asyncio.Task[AsyncConnection]) -> None:
        await asyncio.wait({task}, timeout=GRACE)
        if not task.done():
            task.cancel()  # It hangs, so there is none to be lost.
        with suppress(Exception, asyncio.CancelledError):
            await self._close(await task)

    async def _close(self, connection: AsyncConnection) -> None:
        with suppress(Exception):  # What was done is done.
            await connection.close()

    async def _give_up(self, connection: AsyncConnection) -> None:
        """Let go of a connection that is in the middle of something: nobody else gets it."""
        with suppress(Exception):
            if not self._shared:
                await connection.invalidate()
        await self._close(connection)


async def _connect(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


def _kept(work: Coroutine[Any, Any, Found]) -> asyncio.Task[Found]:
    """Do `work` to its end, whatever becomes of who waits for it."""
    task = asyncio.get_running_loop().create_task(work)
    _unfinished.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _unfinished.discard(task)
    if not task.cancelled():
        task.exception()  # It was told to who waited, if anybody did.


async def _waited(work: Coroutine[Any, Any, None]) -> None:
    """Do `work` to its end, and wait for it, but not for ever.

    Being cancelled meanwhile, as by a time-out after a caller's own, ends the wait no sooner: a loop that ends then
    would leave the connection open.
    """
    task = _kept(work)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 2 * GRACE
    cancelled: asyncio.CancelledError | None = None
    while not task.done() and (left := deadline - loop.time()) > 0:
        try:
            await asyncio.wait({task}, timeout=left)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
