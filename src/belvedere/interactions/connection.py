"""A connection for one piece of the store's own work, with an end in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import StaticPool

from belvedere.interactions.verdicts import Unavailable, describe, refusal

Found = TypeVar("Found")

OWN: Final = "belvedere_own"
"""The execution option of statements that are Belvedere's own, for whoever measures or traces an engine."""

GRACE: Final = 1.0
"""Seconds that a connection which is given up may take to close before nobody waits for it any longer."""

_given_up: set[asyncio.Task[None]] = set()


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
        self._seconds = seconds
        # One connection for all of the process (SQLite in memory): its mode is the application's, and without it
        # the data are gone.
        self._shared = isinstance(engine.pool, StaticPool)
        self._transactional = engine.execution_options(**{OWN: True})
        self._single = self._transactional
        if not self._shared:
            self._single = engine.execution_options(**{OWN: True}, isolation_level="AUTOCOMMIT")

    async def single(self, work: Callable[[AsyncConnection], Awaitable[Found]]) -> Found:
        """Do `work`, whose statements are transactions by themselves.

        Raises:
            Refused: the database will never take it.
            Unavailable: it does not take it now.
        """
        return await self._do(self._single, work)

    async def transaction(self, work: Callable[[AsyncConnection], Awaitable[Found]]) -> Found:
        """Do `work` in one transaction; it raises what `single` raises."""
        return await self._do(self._transactional, work)

    async def _do(self, engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Found]]) -> Found:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._connected(engine, work)
        except TimeoutError:
            raise Unavailable(f"no answer within {self._seconds:g} s") from None
        except Exception as error:
            # Without its cause, whose text shows statements and values.
            if (reason := refusal(error)) is not None:
                raise Refused(reason) from None
            raise Unavailable(describe(error)) from None

    async def _connected(self, engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Found]]) -> Found:
        connection = await engine.connect()
        try:
            found = await work(connection)
            if connection.in_transaction():
                await connection.commit()
        except asyncio.CancelledError:
            await self._give_up(connection)
            raise
        except Exception:
            await self._close(connection)
            raise
        await self._close(connection)
        return found

    async def _close(self, connection: AsyncConnection) -> None:
        try:
            with suppress(Exception):  # What was done is done.
                await connection.close()
        except asyncio.CancelledError:
            await self._give_up(connection)
            raise

    async def _give_up(self, connection: AsyncConnection) -> None:
        """Let go of a connection that is in the middle of something: nobody else gets it."""

        async def close() -> None:
            with suppress(Exception):
                if not self._shared:
                    await connection.invalidate()
                await connection.close()

        task = asyncio.get_running_loop().create_task(close())
        _given_up.add(task)
        task.add_done_callback(_given_up.discard)
        await asyncio.wait({task}, timeout=GRACE)
