"""Migrations and samples: made once, whoever starts, however often."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Integer, delete, func, insert, inspect, make_url, select, text
from sqlalchemy.dialects.postgresql import JSONB

import scholarships
from scholarships.config import Config
from scholarships.database import Database
from scholarships.models import Scholarship
from scholarships.samples import samples
from scholarships.startup import migrate
from tests.examples.scholarships.serving import made, running

Result = TypeVar("Result")

INI = Path(scholarships.__file__).with_name("alembic.ini")


def in_database(url: URL, call: Callable[[Connection], Result]) -> Result:
    """Run something synchronous in a transaction of its own."""

    async def run() -> Result:
        database = Database(url)
        async with database.engine.begin() as connection:
            result = await connection.run_sync(call)
        await database.close()
        return result

    return asyncio.run(run())


def alembic(connection: Connection, action: Callable[..., Any], *arguments: str) -> None:
    config = AlembicConfig(INI)
    config.attributes["connection"] = connection
    action(config, *arguments)


def prepare(url: URL, *, with_samples: bool = True) -> None:
    async def run() -> None:
        database = Database(url)
        await migrate(database, with_samples=with_samples)
        await database.close()

    asyncio.run(run())


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(Scholarship)).scalar_one()


def test_samples() -> None:
    """There are fifteen samples, each with a name, a provider and an address of its own that nobody can have."""
    assert [sample.id for sample in samples()] == list(range(1, 16))
    for field in ("title", "provider", "description", "url"):
        assert len({getattr(sample, field) for sample in samples()}) == 15, field
    assert all(".example/" in sample.url for sample in samples())
    assert {sample.level for sample in samples()} == {
        "undergraduate",
        "graduate",
        "doctoral",
        "postdoctoral",
        "vocational",
    }
    assert all(sample.deadline > date(2027, 1, 1) for sample in samples())


def test_twice(empty_url: URL) -> None:
    """A second start changes nothing, and brings nothing back that was deleted."""
    prepare(empty_url)
    assert in_database(empty_url, count) == 15
    in_database(empty_url, lambda connection: connection.execute(delete(Scholarship).where(Scholarship.id == 3)))
    prepare(empty_url)
    assert in_database(empty_url, count) == 14


def test_ids(empty_url: URL) -> None:
    """What is inserted after the samples gets a number after theirs, which nobody gets again."""
    prepare(empty_url)

    def one_more(connection: Connection) -> int:
        row = samples()[0].model_dump(exclude={"id"})
        return connection.execute(insert(Scholarship).values(row).returning(Scholarship.id)).scalar_one()

    assert in_database(empty_url, one_more) == 16
    in_database(empty_url, lambda connection: connection.execute(delete(Scholarship).where(Scholarship.id == 16)))
    assert in_database(empty_url, one_more) == 17


async def test_at_once(empty_url: URL) -> None:
    """Processes that start at once wait for each other: one migrates and loads, all serve."""
    databases = [Database(empty_url) for _ in range(4)]
    await asyncio.gather(*(migrate(database, with_samples=True) for database in databases))
    async with databases[0].session() as session:
        assert (await session.execute(select(func.count()).select_from(Scholarship))).scalar_one() == 15
    for database in databases:
        await database.close()


async def test_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds another process at it waits for its end, and not just as long as a request waits for a lock."""
    for module in ("database", "startup"):
        monkeypatch.setattr(f"scholarships.{module}.PATIENCE", 0.05)
    file = tmp_path / "scholarships.db"
    database = Database(make_url(f"sqlite+aiosqlite:///{file}"))
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        migrating = asyncio.create_task(migrate(database, with_samples=True))
        done, _ = await asyncio.wait({migrating}, timeout=1)
        assert not done
        other.execute("ROLLBACK")
        await migrating
    async with database.engine.connect() as connection:
        assert await connection.run_sync(count) == 15
        assert await connection.scalar(text("PRAGMA busy_timeout")) == 50  # as for any other
    await database.close()


def test_idempotent(empty_url: URL) -> None:
    """A migration that has been run already, and was forgotten, leaves the table and its rows alone."""
    prepare(empty_url)
    in_database(empty_url, lambda connection: connection.execute(text("DROP TABLE alembic_version")))
    prepare(empty_url)
    assert in_database(empty_url, count) == 15


def test_models(empty_url: URL) -> None:
    """The migrations make what the models describe."""
    prepare(empty_url)
    in_database(empty_url, lambda connection: alembic(connection, command.check))


def test_table_of_interactions(empty_url: URL) -> None:
    """It has the columns and indexes of the contract; JSONB and moments with their zone on PostgreSQL."""
    prepare(empty_url)

    def look(connection: Connection) -> tuple[dict[str, Any], set[tuple[str, ...]], list[list[str]]]:
        found = inspect(connection)
        columns = {column["name"]: column for column in found.get_columns("interactions")}
        indexes = {tuple(map(str, index["column_names"])) for index in found.get_indexes("interactions")}
        return columns, indexes, [each["column_names"] for each in found.get_unique_constraints("interactions")]

    columns, indexes, unique = in_database(empty_url, look)
    assert {name for name, column in columns.items() if not column["nullable"]} == {
        "id", "event_id", "event_type", "path", "method", "status", "metadata", "created_at",
    }  # fmt: skip
    assert columns.keys() - {name for name, column in columns.items() if not column["nullable"]} == {
        "user_id", "scholarship_id", "trace_id",
    }  # fmt: skip
    assert indexes >= {("event_type", "created_at"), ("scholarship_id",)}
    assert ["event_id"] in unique
    assert columns["created_at"]["default"]
    assert isinstance(columns["scholarship_id"]["type"], Integer)
    if empty_url.get_backend_name() == "postgresql":
        assert isinstance(columns["metadata"]["type"], JSONB)
        assert columns["created_at"]["type"].timezone


def test_down_and_up(empty_url: URL) -> None:
    """The migrations can be taken back, which leaves nothing, and run again."""
    prepare(empty_url)
    in_database(empty_url, lambda connection: alembic(connection, command.downgrade, "base"))
    assert in_database(empty_url, lambda connection: inspect(connection).get_table_names()) == ["alembic_version"]
    prepare(empty_url, with_samples=False)
    assert in_database(empty_url, count) == 0


def test_by_alembic(empty_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """`alembic upgrade head` migrates the database of `DATABASE_URL`."""
    monkeypatch.setenv("DATABASE_URL", empty_url.render_as_string(hide_password=False))
    command.upgrade(AlembicConfig(INI), "head")
    assert in_database(empty_url, count) == 0


def test_by_alembic_with_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """`alembic` tells of wrong settings as of its own errors."""
    monkeypatch.setenv("DATABASE_URL", "mysql://db/none")
    with pytest.raises(
        CommandError, match=r"The Scholarship API cannot start; .*\n  DATABASE_URL  names another driver"
    ):
        command.upgrade(AlembicConfig(INI), "head")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///none.db", "CREATE VIRTUAL TABLE IF NOT EXISTS"),
        ("postgresql://db/none", "USING gin (search_vector)"),
    ],
)
def test_as_sql(monkeypatch: pytest.MonkeyPatch, url: str, expected: str) -> None:
    """`alembic upgrade head --sql` writes the statements for whoever runs them by hand."""
    monkeypatch.setenv("DATABASE_URL", url)
    written = io.StringIO()
    command.upgrade(AlembicConfig(INI, output_buffer=written), "head", sql=True)
    assert "CREATE TABLE IF NOT EXISTS scholarships" in written.getvalue()
    assert expected in written.getvalue()


async def test_not_in_production(empty_url: URL) -> None:
    """In production a start neither migrates nor loads samples: the service is not ready until `migrate` was run."""
    production = Config(
        environment="prod",
        database_url="postgresql://db/none",
        jwt_issuer="https://id.example.org",
        jwt_audience="scholarships",
        jwt_keys={"2027-01": "kT9vQ2xW7mZ4pL8sR1nY6bD3fH5jC0aE"},
    ).model_copy(update={"database_url": empty_url})
    with made(production) as app:
        async with running(app):
            pass
    database = Database(empty_url)
    async with database.engine.connect() as connection:
        assert await connection.run_sync(lambda sync: inspect(sync).get_table_names()) == []
    await database.close()


async def test_without_database() -> None:
    """Where the database is away at the start, the service does not start."""
    away = Config(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    with made(away) as app, pytest.raises(RuntimeError, match="Connect call failed"):
        async with running(app):
            pytest.fail("it started")
