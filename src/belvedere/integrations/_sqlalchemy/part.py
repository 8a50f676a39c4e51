"""SQLAlchemy: a check, metrics of statements and of the pool, slow queries, spans, and whether Alembic's head is there.

What Belvedere itself asks the database (its check, its interactions) carries the execution option `OWN`, and is neither
counted, nor traced, nor told as slow: figures and spans are the application's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from belvedere.integrations.extras import require
from belvedere.parts import Check, Host, Probe

if TYPE_CHECKING:
    from sqlalchemy import Engine, Executable
    from sqlalchemy.ext.asyncio import AsyncEngine

    from belvedere.integrations._sqlalchemy.pool import Pool
    from belvedere.integrations._sqlalchemy.queries import Queries

PATIENCE = 60.0
"""Seconds after which the check itself gives up; its time-out comes first."""


def sqlalchemy(
    engine: Engine | AsyncEngine,
    *,
    migrations: str | Path | None = None,
    name: str = "database",
    critical: bool = True,
    probes: Iterable[Probe] = ("ready", "detailed"),
    timeout: float | None = None,
    slow: float | None = 0.5,
    comment: bool = False,
    ping: Executable | None = None,
) -> SQLAlchemy:
    """Return a part that watches an engine of SQLAlchemy.

        belvedere.observe(app, integrations.sqlalchemy(engine, migrations="migrations"))

    Args:
        engine: sync or async; every session and connection of it is seen.
        migrations: Alembic's folder of scripts; a start-up check `migrations` then compares its head with the
            database's. It is asked until it has passed.
        name: of the check; two engines need two.
        critical: whether the check's failure takes the instance out of traffic.
        probes: where the check counts.
        timeout: seconds until the check has failed; by default `health.timeout`.
        slow: seconds from which on a statement is told as slow; `None`: none is.
        comment: whether statements carry the request id, as `/*request_id='…'*/`. Each statement is another one to the
            database then, and to drivers that keep prepared statements.
        ping: what the check executes; by default `SELECT 1`.

    Raises:
        ImportError: SQLAlchemy, or Alembic where `migrations` is given, is not installed.
        TypeError, ValueError: saying which argument is wrong and what it should be.
    """
    require("sqlalchemy", "sqlalchemy", "belvedere[sqlalchemy]")
    if slow is not None and not slow >= 0:
        raise ValueError(f"integrations.sqlalchemy: slow is a number of seconds from 0, not {slow!r}")
    options = {"critical": critical, "probes": probes, "timeout": timeout}
    return SQLAlchemy(engine, migrations, name, ping=ping, slow=slow, comment=comment, options=options)


class SQLAlchemy:
    """What `sqlalchemy` returns."""

    def __init__(
        self,
        engine: Any,
        migrations: str | Path | None,
        name: str,
        *,
        ping: Any,
        slow: float | None,
        comment: bool,
        options: dict[str, Any],
    ) -> None:
        from belvedere.integrations._sqlalchemy.asking import Asking

        self.feature = name
        self._asking = Asking(engine, ping, PATIENCE)
        self.engine = self._asking.engine
        self._slow = slow
        self._comment = comment
        self._checks = [Check(name, self._asking.call(self._ping), message=_message(name), **options)]
        if migrations is not None:
            from belvedere.integrations._sqlalchemy.migrations import Migrations

            scripts = Migrations(migrations)
            called = "migrations" if name == "database" else f"{name}-migrations"
            call = self._asking.migrated(scripts)
            self._checks.append(Check(called, call, probes=("startup",), message=f"{_named(name)} is not migrated"))
        self._queries: Queries | None = None
        self._pool: Pool | None = None

    @property
    def why(self) -> str:
        """What the report says: the driver and what is told as slow, nothing of the URL."""
        slow = "no query is told as slow" if self._slow is None else f"slow queries from {self._slow:g} s"
        return f"{self.engine.dialect.name} by {self.engine.dialect.driver}, {slow}"

    def install(self, host: Host) -> None:
        """Check, count and time from now on."""
        from belvedere.integrations._sqlalchemy.pool import Pool
        from belvedere.integrations._sqlalchemy.queries import Queries

        if self._queries is not None:
            raise ValueError("this part is installed already: make one for each application")
        pool = Pool(self.engine, host)
        queries = Queries(self.engine, host, self.feature, slow=self._slow, comment=self._comment)
        # What may be refused comes first: then there is nothing to take back.
        for check in self._checks:
            host.check(check)
        pool.listen()
        queries.listen()
        self._pool, self._queries = pool, queries
        host.on_start(self._asking.open)
        host.on_stop(self._asking.close)

    def uninstall(self) -> None:
        """Leave the engine as it was."""
        if self._queries is not None and self._pool is not None:
            self._queries.forget()
            self._pool.forget()
        self._queries = self._pool = None

    def forked(self) -> None:
        """In a process that was forked: leave the connections to the parent, whose checks may hold some."""
        self.engine.dispose(close=False)
        if self._pool is not None:
            self._pool.abandon()

    def _ping(self) -> dict[str, Any]:
        return {} if self._pool is None else self._pool.details()


def _named(name: str) -> str:
    return f"{name[:1].upper()}{name[1:]}"


def _message(name: str) -> str:
    return f"{_named(name)} connection failed"
