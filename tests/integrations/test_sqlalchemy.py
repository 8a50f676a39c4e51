"""SQLAlchemy: what is counted for which statement, slow ones, the pool, migrations, comments and spans."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import (
    Column,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    text,
    union,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable, Index

import belvedere
from belvedere import Interactions, integrations
from tests.drive import ask, samples
from tests.integrations.conftest import Lines, Observe
from tests.integrations.test_conformance import until
from tests.tracing.conftest import Kept

SECRET = "s3cr3t-w0rd"


class Base(DeclarativeBase):
    metadata = MetaData()


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str | None]


orders: Any = Order.__table__
lines_table = Table("order_lines", Base.metadata, Column("id", Integer, primary_key=True), Column("order", Integer))
bare = Table("bare", MetaData(), Column("name", String))
Index("by_name", bare.c.name)
sub = select(orders).subquery()
tree = select(orders.c.id).cte("tree", recursive=True)
tree = tree.union_all(select(tree.c.id + 1).where(tree.c.id < 3))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A sync engine over SQLite, with two tables."""
    made = create_engine(f"sqlite:///{tmp_path}/orders.db")
    Base.metadata.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
async def postgres(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    """An async engine over PostgreSQL, with two connections at most."""
    made = create_async_engine(postgres_url, pool_size=2, max_overflow=0)
    yield made
    await made.dispose()


async def counted(app: FastAPI, name: str = "database_queries_total") -> dict[tuple[str, ...], float]:
    """Scrape; return the counts by operation and table."""
    found = await samples(app, name)
    return {tuple(text.split('"')[1::2]): value for text, value in found.items() if "_sum" not in text}


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (select(orders), ("SELECT", "orders")),
        (select(Order).where(Order.id.in_([1, 2])), ("SELECT", "orders")),
        (select(orders.alias("o")), ("SELECT", "orders")),
        (select(lines_table).join(orders, orders.c.id == lines_table.c.order), ("SELECT", "order_lines")),
        (select(func.count()).select_from(sub), ("SELECT", "orders")),
        (select(tree.c.id), ("SELECT", "orders")),
        (union(select(orders.c.id), select(lines_table.c.id)), ("SELECT", "orders")),
        (select(1), ("SELECT", "other")),
        (select(func.abs(-1)), ("SELECT", "other")),
        (insert(Order).values(note="n"), ("INSERT", "orders")),
        (insert(lines_table).from_select(["order"], select(orders.c.id)), ("INSERT", "order_lines")),
        (update(Order).where(Order.id == 1).values(note="m"), ("UPDATE", "orders")),
        (delete(orders).where(orders.c.id == 1), ("DELETE", "orders")),
        (text("SELECT note FROM orders"), ("SELECT", "other")),
        (text("/* why */ -- or not\n  (select 1)"), None),
        (text("-- why\nselect 1"), ("SELECT", "other")),
        (text("WITH t AS (SELECT 1) SELECT * FROM t"), ("WITH", "other")),
        (text("PRAGMA user_version"), ("PRAGMA", "other")),
        (text("DETACH x"), ("OTHER", "other")),
        (select(Order).from_statement(text("SELECT * FROM orders")), ("SELECT", "other")),
        (CreateTable(bare), ("CREATE", "bare")),
        (CreateIndex(next(iter(bare.indexes))), ("CREATE", "bare")),
    ],
    ids=str,
)
async def test_statements(statement: Any, expected: tuple[str, str] | None, engine: Engine, observe: Observe) -> None:
    """A statement is counted and timed once, by what it is when compiled; failed ones as well."""
    app = FastAPI()
    observe(app, integrations.sqlalchemy(engine))
    for _ in range(2):
        with Session(engine) as session:
            try:
                session.execute(statement)
            except DBAPIError:
                pass
    counts, times = await counted(app), await counted(app, "database_query_duration_seconds_count")
    assert counts == times == {expected or ("SELECT", "other"): 2.0}


async def test_text_of_the_driver(engine: Engine, observe: Observe) -> None:
    """What goes straight to the driver is known by its first word alone; there are no more series than words."""
    app = FastAPI()
    observe(app, integrations.sqlalchemy(engine))
    with engine.connect() as connection:
        for number in range(20):
            connection.exec_driver_sql(f"select {number}")
            with pytest.raises(DBAPIError):
                connection.exec_driver_sql(f"nonsense{number} from x")
    assert await counted(app) == {("SELECT", "other"): 20.0, ("OTHER", "other"): 20.0}


async def test_slow_queries(engine: Engine, observe: Observe, lines: Lines) -> None:
    """A slow statement is counted, and told with its text, request id and duration, never with a value."""
    app = FastAPI()

    @app.get("/slow")
    def slow() -> None:
        with engine.connect() as connection:
            connection.execute(select(orders.c.id).where(orders.c.note.in_([SECRET, "b"])))

    observe(app, integrations.sqlalchemy(engine, slow=0))
    answer = await ask(app, path="/slow")
    assert await counted(app, "database_slow_queries_total") == {("SELECT", "orders"): 1.0}
    found = lines()
    (line,) = [line for line in found if line["event"] == "slow_query"]
    assert line["request_id"] == answer.id
    assert (line["level"], line["operation"], line["table"], line["database"]) == (
        "warning",
        "SELECT",
        "orders",
        "database",
    )
    assert line["statement"].startswith("SELECT orders.id \nFROM orders \nWHERE orders.note IN (")
    assert line["latency_ms"] >= 0
    assert SECRET not in str(found)


async def test_no_query_is_slow_unless_it_is(engine: Engine, observe: Observe, lines: Lines) -> None:
    app = FastAPI()
    observe(app, integrations.sqlalchemy(engine, slow=None), integrations.sqlalchemy(engine, name="other"))
    with engine.connect() as connection:
        connection.execute(select(orders))
    assert await counted(app, "database_slow_queries_total") == {}
    assert lines("slow_query") == []


async def test_own_statements_are_nobodys(postgres: AsyncEngine, observe: Observe, kept: Kept) -> None:
    """The check's statements and those of interactions are neither counted nor traced."""
    app = FastAPI()
    interactions = Interactions(postgres, table="own_statements", journal=None)
    observe(app, integrations.sqlalchemy(postgres), tracing={"provider": kept.provider})
    await interactions.create_table()
    await interactions.log("seen")
    await interactions.flush()
    assert (await ask(app, path="/readyz")).status == 200
    assert await counted(app) == {}
    assert kept.spans == []
    async with postgres.begin() as connection:
        await connection.execute(text("DROP TABLE own_statements"))
    assert await counted(app) == {("DROP", "other"): 1.0}


async def gauges(app: FastAPI) -> tuple[float, float]:
    found = await samples(app, "database_connections")
    return found["database_connections_active"], found["database_connections_idle"]


async def test_pool(postgres: AsyncEngine, observe: Observe) -> None:
    """Connections in use and waiting are counted through every way in which one comes and goes."""
    app = FastAPI()
    observe(app, integrations.sqlalchemy(postgres))
    assert await gauges(app) == (0, 0)
    async with postgres.connect() as first:
        async with postgres.connect():
            assert await gauges(app) == (2, 0)
        assert await gauges(app) == (1, 1)
        check = (await ask(app, path="/readyz")).json()["checks"]["database"]
        assert (check["pool_size"], check["connections_in_use"]) == (2, 1)
        await first.invalidate()
        assert await gauges(app) == (0, 1)
    async with postgres.connect() as detached:
        raw = await detached.get_raw_connection()
        raw.detach()
        assert await gauges(app) == (0, 0)
    async with postgres.connect():
        pass
    assert await gauges(app) == (0, 1)
    await postgres.dispose()
    assert await gauges(app) == (0, 0)
    async with postgres.connect() as left:
        await postgres.dispose(close=False)
        assert await gauges(app) == (1, 0)
        await left.invalidate()


async def test_pools_are_added_up(postgres: AsyncEngine, engine: Engine, observe: Observe) -> None:
    """Two engines of one application share the gauges; one that leaves takes its own share away."""
    app = FastAPI()
    second = integrations.sqlalchemy(engine, name="second")
    observe(app, integrations.sqlalchemy(postgres), second)
    async with postgres.connect():
        with engine.connect():
            assert await gauges(app) == (2, 0)
            second.uninstall()
            assert await gauges(app) == (1, 0)


async def test_exhausted_pool(postgres: AsyncEngine, observe: Observe) -> None:
    """With every connection in use the check fails in time, and no connection is lost by it."""
    app = FastAPI()
    observe(app, integrations.sqlalchemy(postgres, timeout=0.3))
    async with postgres.connect(), postgres.connect():
        for _ in range(3):
            began = time.monotonic()
            answer = await ask(app, path="/readyz")
            assert answer.status == 503
            assert time.monotonic() - began < 2

    async def passes() -> bool:
        return (await ask(app, path="/readyz")).status == 200

    await until(passes)
    async with postgres.connect(), postgres.connect():
        assert await gauges(app) == (2, 0)


async def test_sync_engine_is_asked_beside_the_loop(engine: Engine, observe: Observe) -> None:
    """The check of a sync engine runs in a thread."""
    app = FastAPI()
    seen: list[threading.Thread] = []
    event.listen(engine, "before_cursor_execute", lambda *_: seen.append(threading.current_thread()))
    observe(app, integrations.sqlalchemy(engine))
    assert (await ask(app, path="/readyz")).status == 200
    assert [thread is threading.main_thread() for thread in seen] == [False]


MIGRATION = """
from alembic import op
import sqlalchemy as sa

revision = "{revision}"
down_revision = {down!r}


def upgrade():
    pass
"""


def scripts(folder: Path) -> Path:
    """Make a folder of Alembic with two revisions."""
    made = folder / "migrations"
    (made / "versions").mkdir(parents=True)
    (made / "env.py").write_text("raise AssertionError('not needed')")
    for revision, down in (("a1", None), ("b2", "a1")):
        (made / "versions" / f"{revision}.py").write_text(MIGRATION.format(revision=revision, down=down))
    return made


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_migrations(
    kind: str, engine: Engine, tmp_path: Path, observe: Observe, caplog: pytest.LogCaptureFixture
) -> None:
    """Started is who has the head of the scripts in the database; asked no more once it was there."""
    app = FastAPI()
    url = engine.url.set(drivername="sqlite+aiosqlite")
    used: Any = engine if kind == "sync" else create_async_engine(url)
    observe(app, integrations.sqlalchemy(used, migrations=scripts(tmp_path)))

    async def startup() -> tuple[int | None, str]:
        answer = await ask(app, path="/startupz")
        return answer.status, answer.json()["checks"]["migrations"]["status"]

    def revise(revision: str) -> None:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)"))
            connection.execute(text("DELETE FROM alembic_version"))
            connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": revision})

    assert await startup() == (503, "unhealthy")
    revise("a1")
    assert await startup() == (503, "unhealthy")
    revise("b2")
    assert await startup() == (200, "healthy")
    answer = await ask(app, path="/startupz")
    assert answer.json()["checks"]["migrations"]["revision"] == "b2"
    revise("c3")  # what a newer version has done
    assert await startup() == (200, "healthy")
    assert "migrations" not in (await ask(app, path="/readyz")).json()["checks"]
    assert [record for record in caplog.records if record.name.startswith("alembic")] == []
    if kind == "async":
        await used.dispose()


def test_wrong_arguments(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong is told at the call."""
    with pytest.raises(TypeError, match=r"integrations.sqlalchemy: str is no engine of SQLAlchemy"):
        integrations.sqlalchemy("sqlite://")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="slow is a number of seconds from 0, not -1"):
        integrations.sqlalchemy(engine, slow=-1)
    with pytest.raises(ValueError, match="has no migrations of Alembic"):
        integrations.sqlalchemy(engine, migrations=tmp_path / "nowhere")
    monkeypatch.setitem(sys.modules, "alembic.script", None)
    with pytest.raises(ImportError, match=r"needs alembic.*: pip install 'alembic'"):
        integrations.sqlalchemy(engine, migrations=tmp_path)


async def test_comment(engine: Engine, observe: Observe) -> None:
    """Where asked, statements carry the id of the request that they are made for; elsewhere they stay as they are."""
    app = FastAPI()
    seen: list[str] = []

    @app.get("/orders")
    def read() -> None:
        with engine.connect() as connection:
            connection.execute(select(orders.c.id))

    observe(app, integrations.sqlalchemy(engine, comment=True))
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: seen.append(statement))
    answer = await ask(app, path="/orders", headers=[(b"x-request-id", b"a/b-7")])
    assert answer.id == "a/b-7"
    read()
    plain = "SELECT orders.id \nFROM orders"
    assert [statement.strip() for statement in seen] == [f"{plain} /*request_id='a/b-7'*/", plain]
    hostile = await ask(app, path="/orders", headers=[(b"x-request-id", b"*/ DROP TABLE orders --")])
    assert seen[-1].strip() == f"{plain} /*request_id='{hostile.id}'*/"
    belvedere.set_request_id("job-1")
    read()
    belvedere.set_request_id(None)
    assert seen[-1].endswith("/*request_id='job-1'*/")


async def test_spans(postgres: AsyncEngine, observe: Observe, kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each statement is a span below the request's; an error is told by its type; nobody else's spans are doubled."""
    app = FastAPI()

    @app.get("/orders")
    async def read() -> None:
        async with postgres.connect() as connection:
            await connection.execute(select(1).where(func.length(SECRET) > 1))
            with pytest.raises(DBAPIError):
                await connection.execute(text("SELECT nowhere"))

    observe(app, integrations.sqlalchemy(postgres), tracing={"provider": kept.provider})
    await ask(app, path="/orders")
    server = kept.one("GET /orders")
    found, failed = [span for span in kept.spans if span.name == "SELECT"]
    assert server.context is not None
    for span in (found, failed):
        assert span.parent is not None
        assert span.parent.span_id == server.context.span_id
    url = postgres.url
    attributes = dict(found.attributes or {})
    assert attributes == {
        "db.system.name": "postgresql",
        "db.namespace": url.database,
        "server.address": url.host,
        "server.port": url.port,
        "db.operation.name": "SELECT",
        "db.query.text": attributes["db.query.text"],
    }
    assert SECRET not in str(attributes)
    assert str((failed.attributes or {})["error.type"]).endswith("Error")
    assert failed.status.status_code.name == "ERROR"

    module = ModuleType("opentelemetry.instrumentation.sqlalchemy")
    module.SQLAlchemyInstrumentor = lambda: type("On", (), {"is_instrumented_by_opentelemetry": True})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kept.exporter.clear()
    await ask(app, path="/orders")
    assert [span.name for span in kept.spans] == ["GET /orders"]
