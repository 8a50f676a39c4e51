"""The databases, and the troubles that they have: stopped, locked, slow, hanging, deaf."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from belvedere import Interactions
from tests.servers import Cluster, cluster

_COLUMNS = "event_id, event_type, user_id, item_id, path, method, status, trace_id, metadata"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    event_id: str
    event: str
    user: str | None
    subject: str | None
    path: str
    method: str
    status: int
    trace: str | None
    metadata: dict[str, object]


class Database(Protocol):
    """What both databases can be asked for."""

    url: str

    def count(self) -> int:
        """Return how many interactions there are."""

    def rows(self) -> list[Row]: ...

    def locked(self) -> AbstractContextManager[None]:
        """Let nobody write while the block runs."""

    def slow(self) -> AbstractContextManager[None]:
        """Let each statement that writes take a third of a second while the block runs."""


class PostgreSQL:
    """A server of its own; for its troubles see the methods, each a block in which it has one."""

    def __init__(self, server: Cluster, url: str | None = None) -> None:
        self.server = server
        self.url = url or server.url
        _make_table(server.url)

    def count(self) -> int:
        return int(self.execute("SELECT count(*) FROM interactions")[0][0])

    def rows(self) -> list[Row]:
        return [_row(*values) for values in self.execute(f"SELECT {_COLUMNS} FROM interactions")]  # noqa: S608

    def empty(self) -> None:
        self.execute("TRUNCATE interactions")

    def execute(self, *statements: str) -> list[Any]:
        """Run statements on a connection of our own; return what the last one gives."""

        async def run() -> list[Any]:
            connection = await asyncpg.connect(self.server.url.replace("+asyncpg", ""), timeout=30)
            try:
                for statement in statements[:-1]:
                    await connection.execute(statement)
                return list(await connection.fetch(statements[-1]))
            finally:
                await connection.close()

        found: list[Any] = in_a_loop(run)
        return found

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the server as a crash does, and start it again on the same data."""
        self.server.stop()
        try:
            yield
        finally:
            self.server.start()

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let the server answer nothing: connections are still accepted, by the kernel."""
        held = self.server.pids()
        _signal(held, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(held, signal.SIGCONT)

    @contextmanager
    def locked(self) -> Iterator[None]:
        release = threading.Event()
        has = threading.Event()

        async def hold() -> None:
            connection = await asyncpg.connect(self.server.url.replace("+asyncpg", ""), timeout=30)
            try:
                async with connection.transaction():
                    await connection.execute("LOCK TABLE interactions IN ACCESS EXCLUSIVE MODE")
                    has.set()
                    while not release.is_set():  # noqa: ASYNC110 - set by another thread
                        await asyncio.sleep(0.02)
            finally:
                await connection.close()

        thread = threading.Thread(target=asyncio.run, args=(hold(),))
        thread.start()
        try:
            assert has.wait(30)
            yield
        finally:
            release.set()
            thread.join()

    @contextmanager
    def slow(self) -> Iterator[None]:
        self.execute(
            "CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$",
            "CREATE TRIGGER dawdle BEFORE INSERT ON interactions FOR EACH STATEMENT EXECUTE FUNCTION dawdle()",
        )
        try:
            yield
        finally:
            self.execute("DROP TRIGGER dawdle ON interactions")


class SQLite:
    """A file; its lock is the file's."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "interactions.sqlite"
        self.url = f"sqlite+aiosqlite:///{self.path}"
        _make_table(self.url)

    def count(self) -> int:
        with self._connected() as connection:
            return int(connection.execute("SELECT count(*) FROM interactions").fetchone()[0])

    def rows(self) -> list[Row]:
        with self._connected() as connection:
            return [_row(*values) for values in connection.execute(f"SELECT {_COLUMNS} FROM interactions")]  # noqa: S608

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._connected() as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")

    @contextmanager
    def slow(self) -> Iterator[None]:
        count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT max(i) FROM n"
        with self._connected() as connection:
            # For each row, where PostgreSQL has it for each statement: SQLite knows no other triggers.
            connection.execute(
                f"CREATE TRIGGER dawdle AFTER INSERT ON interactions WHEN NEW.id % 50 = 0 BEGIN SELECT ({count}); END"
            )
        try:
            yield
        finally:
            with self._connected() as connection:
                connection.execute("DROP TRIGGER dawdle")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Run a server with the table in it."""
    with cluster() as server:
        yield PostgreSQL(server)


def wait_until(condition: Callable[[], bool], seconds: float = 60.0, every: float = 0.05) -> float:
    """Return after how many seconds `condition` held, or so many have passed: the accounts tell what is missing."""
    began = time.monotonic()
    while not condition() and time.monotonic() - began < seconds:
        time.sleep(every)
    return time.monotonic() - began


def in_a_loop(run: Callable[[], Any]) -> Any:
    """Run a coroutine to its end in a thread of its own: this one may have a loop."""
    results: list[Any] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            results.append(asyncio.run(run()))
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):  # its client left
            os.kill(pid, number)


def _make_table(url: str) -> None:
    async def make() -> None:
        engine = create_async_engine(url)
        try:
            await Interactions(engine, subject="item_id").create_table()
        finally:
            await engine.dispose()

    in_a_loop(make)


def _row(*values: Any) -> Row:
    *columns, metadata = values
    # SQLite has it as text, and asyncpg does not take it apart.
    columns.append(json.loads(metadata) if isinstance(metadata, str) else metadata or {})
    return Row(*columns)
