"""The table in Alembic's migrations, with a real environment."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from belvedere.interactions.store import Store
from belvedere.interactions.table import define
from tests.interactions.store.events import payload

ENVIRONMENT = """
from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name=context.config.attributes["dialect"], literal_binds=True)
else:
    context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""

REVISION = """
from alembic import op

from belvedere.interactions import migration

revision = "0001"
down_revision = None


def upgrade() -> None:
    migration.upgrade(op, subject="scholarship_id", subject_type=int)


def downgrade() -> None:
    migration.downgrade(op, subject="scholarship_id", subject_type=int)
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Alembic's configuration, with one revision."""
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENVIRONMENT)
    (tmp_path / "versions" / "0001.py").write_text(REVISION)
    config = Config(output_buffer=io.StringIO())
    config.set_main_option("script_location", str(tmp_path))
    config.set_main_option("path_separator", "os")
    return config


async def run(engine: AsyncEngine, config: Config, what: Any, revision: str) -> None:
    """Run an Alembic command on the database."""

    def on(connection: Connection) -> None:
        config.attributes["connection"] = connection
        what(config, revision)

    async with engine.begin() as connection:
        await connection.run_sync(on)


async def tables(engine: AsyncEngine) -> set[str]:
    """Return the names of the tables, without Alembic's own."""
    async with engine.connect() as connection:
        return set(await connection.run_sync(lambda plain: inspect(plain).get_table_names())) - {"alembic_version"}


async def indexes(engine: AsyncEngine) -> set[str]:
    """Return the names of the table's indexes."""
    async with engine.connect() as connection:
        found = await connection.run_sync(lambda plain: inspect(plain).get_indexes("interactions"))
    return {str(one["name"]) for one in found if not one["unique"]}


async def differences(engine: AsyncEngine) -> list[Any]:
    """Return what autogenerate would change, for an application whose metadata know the table."""
    metadata = MetaData()
    define("interactions", "scholarship_id", int, metadata=metadata)

    def compare(connection: Connection) -> list[Any]:
        options = {"include_name": lambda name, kind, _: kind != "table" or name == "interactions"}
        found: list[Any] = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
        return found

    async with engine.connect() as connection:
        return await connection.run_sync(compare)


async def test_up_and_down(engine: AsyncEngine, config: Config) -> None:
    """The table is the one that the store writes to, autogenerate sees no difference, and downgrade takes it away."""
    await run(engine, config, command.upgrade, "head")
    assert await differences(engine) == []
    store = Store(engine, subject="scholarship_id", subject_type=int)
    await store.create()
    assert (await store.write([payload()])).rows == 1
    await run(engine, config, command.downgrade, "base")
    assert await tables(engine) == set()
    await run(engine, config, command.upgrade, "head")
    assert await tables(engine) == {"interactions"}


async def test_after_the_service_made_the_table(engine: AsyncEngine, config: Config) -> None:
    """The migration finds its own work done; the rows stay."""
    store = Store(engine, subject="scholarship_id", subject_type=int)
    await store.create()
    await store.write([payload()])
    await run(engine, config, command.upgrade, "head")
    assert await differences(engine) == []
    assert len((await store.query()).items) == 1


async def test_a_table_that_was_there(engine: AsyncEngine, config: Config) -> None:
    """One of somebody else's is neither changed nor dropped."""
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE interactions (id INTEGER PRIMARY KEY, note TEXT)"))
    await run(engine, config, command.upgrade, "head")
    assert await indexes(engine) == set()
    await run(engine, config, command.downgrade, "base")
    assert await tables(engine) == {"interactions"}
    async with engine.begin() as connection:
        assert (await connection.execute(text("SELECT id, note FROM interactions"))).all() == []


async def test_a_table_that_was_changed_since(engine: AsyncEngine, config: Config) -> None:
    """One with a column more is left to whoever added it."""
    await run(engine, config, command.upgrade, "head")
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE interactions ADD COLUMN note TEXT"))
    await run(engine, config, command.downgrade, "base")
    assert await tables(engine) == {"interactions"}


async def test_no_table_to_drop(engine: AsyncEngine, config: Config) -> None:
    """A downgrade where there is no table does nothing."""
    await run(engine, config, command.upgrade, "head")
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE interactions"))
    await run(engine, config, command.downgrade, "base")
    assert await tables(engine) == set()


async def test_as_sql(engine: AsyncEngine, config: Config) -> None:
    """`--sql` writes statements that make the same table, and that may be run twice."""
    config.attributes["dialect"] = engine.dialect.name
    command.upgrade(config, "head", sql=True)
    assert isinstance(config.output_buffer, io.StringIO)
    script = config.output_buffer.getvalue()
    for _ in range(2):
        statements = [one for one in script.split(";") if "INDEX" in one or "CREATE TABLE IF NOT EXISTS inter" in one]
        assert len(statements) == 3
        async with engine.begin() as connection:
            for statement in statements:
                await connection.execute(text(statement))
    assert await differences(engine) == []
    config.output_buffer.truncate(0)
    command.downgrade(config, "head:base", sql=True)
    assert "DROP TABLE IF EXISTS interactions" in config.output_buffer.getvalue()
