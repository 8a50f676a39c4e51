"""What happens while the database is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import URL, make_url, select, text
from sqlalchemy.exc import ProgrammingError

from scholarships.config import Config
from scholarships.database import PATIENCE, Database, DatabaseUnavailableError
from scholarships.startup import migrate
from tests.examples.scholarships import databases
from tests.examples.scholarships.serving import checked, made

NOT_READY = {
    "status": "not_ready",
    "checks": {"database": "failed"},
    "error": "Database connection failed",
}
AWAY = make_url("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")


@pytest.fixture(scope="module")
def postgres(postgres_url: str) -> Iterator[URL]:
    """A database of PostgreSQL, for what a file cannot do: hang up, and tell its errors apart."""
    with databases.postgres(postgres_url) as url:
        yield url


@asynccontextmanager
async def calling(url: URL) -> AsyncIterator[httpx.AsyncClient]:
    """Call a service that has not been started, and so has not asked its database yet."""
    with made(Config(database_url=url)) as app:
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
                yield client
        finally:
            # What has not been started is not stopped either.
            await app.state.telemetry._database.close()


async def test_probes(client: httpx.AsyncClient) -> None:
    """With its database the service is alive and ready."""
    live, ready = await client.get("/healthz"), await checked(client, database="ok")
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "checks": {"database": "ok"}})


async def test_away() -> None:
    """Without its database the service is alive and not ready, and says 503 with an id and when to come back."""
    async with calling(AWAY) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, NOT_READY)
        for call in (client.get("/scholarships"), client.get("/scholarships/1"), client.post("/search", json={})):
            answer = await call
            assert answer.status_code == 503
            assert answer.headers["Retry-After"] == "5"
            assert answer.json() == {
                "error": "http_503",
                "message": "Service Unavailable",
                "request_id": answer.headers["X-Request-ID"],
            }


async def test_silent() -> None:
    """A database that takes connections and says nothing makes the service unready before the driver gives up."""
    hung_up = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, calling(AWAY.set(port=port)) as client:
        began = time.monotonic()
        ready = await client.get("/readyz")
        assert time.monotonic() - began < PATIENCE - 0.5  # the check's own time-out is a second
        assert (ready.status_code, ready.json()) == (503, NOT_READY)
        await hung_up.wait()


async def test_not_migrated(empty_url: URL) -> None:
    """Over a database without tables the service is not ready, and is as soon as there are some."""
    async with calling(empty_url) as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (503, NOT_READY)
    database = Database(empty_url)
    await migrate(database, with_samples=False)
    await database.close()
    async with calling(empty_url) as client:
        assert (await checked(client, database="ok")).status_code == 200


async def test_reconnects(postgres: URL) -> None:
    """Connections that the server has closed are replaced unnoticed."""
    database, other = Database(postgres), Database(postgres)
    async with database.session() as session:
        pid = (await session.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    async with other.session() as session:
        await session.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    async with database.session() as session:
        assert (await session.execute(select(1))).scalar_one() == 1
    await database.close()
    await other.close()


async def test_hung_up(postgres: URL) -> None:
    """A connection that is lost in the middle of a query is a database that is away."""
    database = Database(postgres)
    with pytest.raises(DatabaseUnavailableError):
        await execute(database, "SELECT pg_terminate_backend(pg_backend_pid())")
    await database.close()


async def test_full(postgres: URL) -> None:
    """A database that has no connection left is a database that is away."""
    database = Database(postgres)
    role = f"crowd_{uuid4().hex}"
    await execute(database, f'CREATE ROLE "{role}" LOGIN CONNECTION LIMIT 0')
    crowded = Database(postgres.set(username=role))
    with pytest.raises(DatabaseUnavailableError):
        await execute(crowded, "SELECT 1")
    await execute(database, f'DROP ROLE "{role}"')
    await crowded.close()
    await database.close()


async def test_own_mistakes(postgres: URL) -> None:
    """A statement that the database refuses is no database that is away: it goes on to whoever made it."""
    database = Database(postgres)
    with pytest.raises(ProgrammingError, match="nowhere"):
        await execute(database, "SELECT nowhere")
    await database.close()


async def execute(database: Database, statement: str) -> None:
    async with database.session() as session:
        await session.execute(text(statement))
        await session.commit()


async def test_folder(tmp_path: Path) -> None:
    """The folder of a SQLite file is made."""
    database = Database(make_url(f"sqlite+aiosqlite:///{tmp_path}/some/where/scholarships.db"))
    await migrate(database, with_samples=True)
    await execute(database, "SELECT id FROM scholarships")
    await database.close()


async def test_memory() -> None:
    """SQLite in memory serves as well, for as long as the process lives."""
    database = Database(make_url("sqlite+aiosqlite://"))
    await migrate(database, with_samples=True)
    await execute(database, "SELECT id FROM scholarships")
    await database.close()
