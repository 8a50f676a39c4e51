"""What Belvedere asks a database itself: whether it answers, and whether it is migrated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from belvedere.conventions import OWN_STATEMENT
from belvedere.interactions.connection import Connections
from belvedere.interactions.verdicts import Unavailable, describe

if TYPE_CHECKING:
    from belvedere.integrations._sqlalchemy.migrations import Migrations


class ClosedError(Exception):
    """The application has stopped, and closes its engine: a new connection would be forgotten and stay open."""


class Asking:
    """Asks through an engine, on a connection of its pool: an exhausted pool keeps the question waiting.

    Args:
        engine: sync or async; a sync one is asked in the thread that the check runs in.
        ping: the statement; `None`: one that any database knows.
        patience: seconds until a question is given up.

    Raises:
        TypeError: it is no engine.
    """

    def __init__(self, engine: Any, ping: Any, patience: float) -> None:
        self._connections: Connections | None = None
        if isinstance(engine, AsyncEngine):
            # It is not cancelled in the middle of what would lose SQLAlchemy a connection.
            self._connections = Connections(engine, patience)
            engine = engine.sync_engine
        elif not isinstance(engine, Engine):
            raise TypeError(f"integrations.sqlalchemy: {type(engine).__name__} is no engine of SQLAlchemy")
        self.engine: Any = engine
        self._own = engine.execution_options(**{OWN_STATEMENT: True})
        self._statement: Any = ping
        if ping is None:
            self._statement = select(1)
        self._closed = False

    def call(self, details: Callable[[], dict[str, Any]]) -> Callable[[], Any]:
        """Return the call of a check, which returns what `details` says before there is one more connection in use."""

        async def ask() -> dict[str, Any]:
            found = details()
            await self._asked(lambda connection: connection.execute(self._statement))
            return found

        def ask_in_thread() -> dict[str, Any]:
            found = details()
            self._asked_here(lambda connection: connection.execute(self._statement))
            return found

        return ask_in_thread if self._connections is None else ask

    def migrated(self, migrations: Migrations) -> Callable[[], Any]:
        """Return the call of the check that compares the database with Alembic's scripts, until it has passed."""

        async def ask() -> dict[str, Any]:
            if not migrations.passed:
                # Reading the scripts runs them.
                await asyncio.to_thread(migrations.read)
                await self._asked(lambda connection: connection.run_sync(migrations.compare))
            return migrations.details

        def ask_in_thread() -> dict[str, Any]:
            if not migrations.passed:
                migrations.read()
                self._asked_here(migrations.compare)
            return migrations.details

        return ask_in_thread if self._connections is None else ask

    async def open(self) -> None:
        """Ask from now on."""
        self._closed = False

    async def close(self) -> None:
        """Ask no more, as the application is about to stop."""
        self._closed = True

    async def _asked(self, work: Callable[[Any], Any]) -> None:
        if self._closed:
            raise ClosedError
        if self._connections is not None:
            await self._connections.single(work)

    def _asked_here(self, work: Callable[[Any], Any]) -> None:
        if self._closed:
            raise ClosedError
        try:
            with self._own.connect() as connection:
                work(connection)
        except SQLAlchemyError as error:
            # Without its cause, whose text shows statements.
            raise Unavailable(describe(error)) from None
