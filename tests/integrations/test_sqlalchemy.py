"""SQLAlchemy: whose statements are counted, the pool, migrations, comments and spans."""

from __future__ import annotations

import gc
import sqlite3
import sys
import threading
import time
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import (
    Engine,
    create_engine,
    event,
    func,
    pool,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

import belvedere
from belvedere import Interactions, integrations
from tests.drive import ask, samples
from tests.integrations.conftest import Observe
from tests.integrations.orders import counted, engine, orders, postgres
from tests.integrations.test_conformance import until
from tests.tracing.conftest import Kept

__all__ = ["engine", "postgres"]

SECRET = "s3cr3t-w0rd"


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


@pytest.mark.parametrize(
    ("kind", "options", "size"),
    [
        (pool.QueuePool, {"pool_size": 1, "max_overflow": 2}, 1),
        (pool.StaticPool, {}, 1),
        (pool.SingletonThreadPool, {"pool_size": 4}, 4),
        (pool.NullPool, {}, 0),
        (pool.AssertionPool, {}, 1),
    ],
)
async def test_every_kind_of_pool(
    kind: type[pool.Pool], options: dict[str, Any], size: int, observe: Observe, tmp_path: Path
) -> None:
    """A connection is in use until the last who shares it is done; none is counted that its pool has given up."""
    shared = kind in {pool.StaticPool, pool.SingletonThreadPool}
    at_once, kept = 1 if kind is pool.AssertionPool else 3, 0 if kind is pool.NullPool else 1
    engine = create_engine(f"sqlite:///{tmp_path}/file.db", poolclass=kind, **options)
    app, part = FastAPI(), integrations.sqlalchemy(engine)
    observe(app, part)
    for _ in range(2):
        connections = [engine.connect() for _ in range(at_once)]
        used = 1 if shared else at_once
        assert await gauges(app) == (used, 0)
        assert part._ping() == {"pool_size": size, "connections_in_use": used}
        connections.pop().close()
        if connections:
            assert await gauges(app) == ((1, 0) if shared else (at_once - 1, kept))
        for connection in connections:
            connection.close()
        assert await gauges(app) == (0, kept)
        assert part._ping() == {"pool_size": size, "connections_in_use": 0}
        engine.dispose()
        assert await gauges(app) == (0, 0)


class Driver(sqlite3.Connection):
    """A connection that can be referred to weakly."""


async def test_a_connection_that_comes_back_to_a_pool_that_is_gone(observe: Observe, tmp_path: Path) -> None:
    """It waits for nobody: it is in no gauge, and nothing of Belvedere keeps it open."""
    app = FastAPI()
    engine = create_engine(f"sqlite:///{tmp_path}/file.db", connect_args={"factory": Driver})
    observe(app, integrations.sqlalchemy(engine))
    connection = engine.connect()
    driver = weakref.ref(connection.connection.driver_connection)
    engine.dispose()
    assert await gauges(app) == (1, 0)
    connection.close()
    assert await gauges(app) == (0, 0)
    del connection
    gc.collect()
    assert driver() is None
    with engine.connect():
        assert await gauges(app) == (1, 0)
    assert await gauges(app) == (0, 1)
    engine.dispose()


async def test_a_database_in_memory(observe: Observe) -> None:
    """Its one connection is everybody's, by SQLAlchemy's default for an async engine."""
    engine = create_async_engine("sqlite+aiosqlite://")
    app = FastAPI()
    observe(app, integrations.sqlalchemy(engine))
    async with engine.connect():
        async with engine.connect(), engine.connect():
            assert await gauges(app) == (1, 0)
        assert await gauges(app) == (1, 0)
        check = (await ask(app, path="/readyz")).json()["checks"]["database"]
        assert (check["pool_size"], check["connections_in_use"]) == (1, 1)
        assert await gauges(app) == (1, 0)
    assert await gauges(app) == (0, 1)
    async with engine.connect() as connection:
        await connection.invalidate()
        assert await gauges(app) == (0, 0)
    await engine.dispose()
    assert await gauges(app) == (0, 0)


async def test_connections_of_before_are_known_once_they_come_back(engine: Engine, observe: Observe) -> None:
    """One that was in use before the part was there waits in the pool from then on."""
    app = FastAPI()
    with engine.connect():
        observe(app, integrations.sqlalchemy(engine))
        assert await gauges(app) == (0, 0)
    assert await gauges(app) == (0, 1)


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


async def test_two_parts_of_one_engine_know_it_once(engine: Engine, observe: Observe) -> None:
    """Its connections are in the gauges once, and those of the part that stays when the other leaves."""
    app = FastAPI()
    first, second = (
        integrations.sqlalchemy(engine, comment=True),
        integrations.sqlalchemy(engine, name="again", comment=True),
    )
    observe(app, first, second)
    seen: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: seen.append(statement))
    belvedere.set_request_id("job-1")
    with engine.connect() as connection:
        connection.execute(select(orders.c.id))
        assert await gauges(app) == (1, 0)
        first.uninstall()
        assert await gauges(app) == (1, 0)
    belvedere.set_request_id(None)
    assert seen[0].count("/*request_id='job-1'*/") == 1


async def test_exhausted_pool(postgres: AsyncEngine, observe: Observe) -> None:
    """With every connection in use the check fails in time, and no connection is lost by it."""
    app = FastAPI()
    observe(app, integrations.sqlalchemy(postgres, timeout=0.3))
    async with postgres.connect(), postgres.connect():
        for _ in range(3):
            began = time.monotonic()
            answer = await ask(app, path="/readyz")
            assert answer.status == 503
            assert time.monotonic() - began < 10  # by itself the pool would wait for 30

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
