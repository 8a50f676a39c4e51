"""From the journal to the database: nothing lost, nothing twice, whatever database, loop or process do."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import StaticPool

from belvedere import Interactions, failures
from belvedere.conventions import InteractionEvent
from belvedere.interactions import delivery, retention
from tests.drive import ask, observed, running, samples, written
from tests.interactions.conftest import rows, stopped

DEADLINE = 20.0


async def until(there: Callable[[], Any]) -> Any:
    """Wait for something that happens on this loop, and return it."""
    async with asyncio.timeout(DEADLINE):
        while not (found := there()):  # noqa: ASYNC110 - nobody sets an event for it
            await asyncio.sleep(0.01)
        return found


def shop(interactions: Interactions) -> FastAPI:
    app = FastAPI()

    @app.get("/items/{id}", dependencies=[interactions.record("view", subject="id")])
    async def view(id: int) -> None:
        """Answer with nothing."""

    return app


def events(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the events about interactions that were logged."""
    return [line["event"] for line in written(capsys) if line["event"].startswith("interactions_")]


async def test_a_database_that_is_away_comes_back(engine: AsyncEngine, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its table, the database takes nothing: requests are answered, what they did waits, and comes once.

    It is said once that it is away and once that it is back.
    """
    interactions = Interactions(engine, subject_type=int)
    app = shop(interactions)
    with observed(app, interactions):
        async with running(app):
            for number in range(20):
                assert (await ask(app, path=f"/items/{number}")).status == 200
            await until(lambda: interactions._tally.retried)
            assert not await interactions.flush(timeout=0.3)
            away = await samples(app, "belvedere_interactions")
            await interactions.create_table()
            found = await rows(interactions)
            back = await samples(app, "belvedere_interactions")
    assert [row["subject"] for row in found] == list(range(20))
    assert away["belvedere_interactions_pending"] == 20.0
    assert away["belvedere_interactions_retried_total"] >= 20.0
    assert away["belvedere_interactions_oldest_seconds"] > 0
    assert away["belvedere_interactions_journal_bytes"] > 20 * 200
    assert back["belvedere_interactions_pending"] == 0.0
    assert back["belvedere_interactions_written_total"] == 20.0
    assert back["belvedere_interactions_oldest_seconds"] == 0.0
    assert events(capsys) == [InteractionEvent.UNAVAILABLE, InteractionEvent.RECOVERED]


async def test_figures_go_on_while_the_database_hangs(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A write that takes for ever keeps neither the figures nor what dead workers left waiting."""
    dead = Interactions(engine, journal=tmp_path / "journal")
    dead._by_hand.append(b"{}")
    dead._close()
    interactions = Interactions(engine, journal=tmp_path / "journal", shutdown=0.1)
    app = shop(interactions)
    hangs = asyncio.Event()

    async def write(_: Any) -> None:
        hangs.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(interactions._store, "write", write)
    with observed(app, interactions):
        async with running(app), asyncio.timeout(DEADLINE):
            await hangs.wait()
            await ask(app, path="/items/1")
            await ask(app, path="/items/2")
            found: dict[str, float] = {}
            while found.get("belvedere_interactions_pending") != 3.0:
                await asyncio.sleep(0.05)
                found = await samples(app, "belvedere_interactions")


async def test_what_is_written_is_counted_at_once(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is killed a moment later has counted it."""
    monkeypatch.setattr(delivery, "TICK", 3600.0)
    interactions = Interactions(engine)
    await interactions.create_table()
    app = shop(interactions)
    with observed(app, interactions):
        async with running(app), asyncio.timeout(DEADLINE):
            await ask(app, path="/items/1")
            found: dict[str, float] = {}
            while found.get("belvedere_interactions_written_total") != 1.0:
                await asyncio.sleep(0.05)
                found = await samples(app, "belvedere_interactions")
    assert found["belvedere_interactions_pending"] == 0.0


async def test_what_the_database_refuses_holds_nothing_up(
    engine: AsyncEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    """An event that can never be written is dropped, counted and told without its values; the others arrive."""
    interactions = Interactions(engine)
    await interactions.create_table()
    app = shop(interactions)
    with observed(app, interactions):
        await ask(app, path="/items/1")
        interactions._by_hand.append(b'{"event_type": "hidden-value"}')
        interactions._by_hand.append(b"hidden-value")
        await ask(app, path="/items/2")
        assert [row["subject"] for row in await rows(interactions)] == ["1", "2"]
        dropped = await samples(app, "belvedere_interactions_dropped_total")
    assert dropped == {'belvedere_interactions_dropped_total{reason="refused"}': 2.0}
    told = [line for line in written(capsys) if line["event"] == InteractionEvent.REFUSED]
    assert len(told) == 1
    assert "hidden-value" not in str(told)


async def test_the_next_start_delivers_what_a_stop_left(engine: AsyncEngine, tmp_path: Path) -> None:
    """A stop waits no longer than it may; what is left lies in the journal, and the next process delivers it."""
    first = Interactions(engine, journal=tmp_path / "journal", shutdown=0.2)
    app = shop(first)
    with observed(app, first):
        async with running(app):
            await ask(app, path="/items/1")
            before = time.monotonic()
        assert time.monotonic() - before < 5
    second = Interactions(engine, journal=tmp_path / "journal")
    await second.create_table()
    app = shop(second)
    with observed(app, second):
        async with running(app):
            await ask(app, path="/items/2")
            found = await rows(second)
    assert sorted(row["subject"] for row in found) == ["1", "2"]
    assert not list((tmp_path / "journal").glob("*.events"))


async def test_a_stop_delivers_what_waits(engine: AsyncEngine) -> None:
    """When the application has stopped, what it recorded is in the database; and it may start again."""
    interactions = Interactions(engine)
    await interactions.create_table()
    app = shop(interactions)
    with observed(app, interactions):
        for number in (1, 2):
            async with running(app):
                await ask(app, path="/items/1")
            async with engine.connect() as connection:
                assert await connection.scalar(select(func.count()).select_from(interactions.table)) == number
            assert not interactions._delivery.running


async def test_what_a_stop_loses_is_told(engine: AsyncEngine, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a journal, what the database has not taken ends with the application: counted, and in its log, once."""
    interactions = Interactions(engine, journal=None, memory=3, shutdown=0.1)
    app = shop(interactions)
    with observed(app, interactions):
        async with running(app):
            for number in range(4):
                await ask(app, path=f"/items/{number}")
            await until(lambda: interactions._tally.retried)
        dropped = await samples(app, "belvedere_interactions_dropped_total")
    assert {name.rpartition("reason=")[2]: value for name, value in dropped.items()} == {
        '"closed"}': 3.0,
        '"memory_full"}': 1.0,
    }
    told = [line for line in written(capsys) if line["event"] == InteractionEvent.DROPPED]
    assert [line["level"] for line in told] == ["error"] * len(told)
    assert sum((Counter(line["reasons"]) for line in told), Counter()) == {"closed": 3, "memory_full": 1}
    assert sum(line["dropped"] for line in told) == 4


async def test_a_flood_of_losses_is_told_once_a_minute(
    engine: AsyncEngine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While more and more is dropped, one line says so, and the last one how it ended."""
    monkeypatch.setattr(delivery, "TICK", 0.02)
    interactions = Interactions(engine, journal=None, memory=1, shutdown=0.1)
    app = shop(interactions)

    def told() -> list[int]:
        return [line["dropped"] for line in written(capsys) if line["event"] == InteractionEvent.DROPPED]

    asked = 0
    lost: list[int] = []
    with observed(app, interactions):
        async with running(app), asyncio.timeout(DEADLINE):
            while not lost or asked < 20:
                await ask(app, path="/items/1")
                await asyncio.sleep(0.02)
                asked += 1
                lost += told()
            await ask(app, path="/items/1")
    lost += told()
    assert len(lost) == 2
    assert sum(lost) == asked + 1


async def test_rows_come_by_themselves_without_a_lifespan(engine: AsyncEngine) -> None:
    """The first request begins the delivery where no lifespan does, and no request waits for it."""
    interactions = Interactions(engine)
    await interactions.create_table()
    app = shop(interactions)
    with observed(app, interactions):
        await ask(app, path="/items/1")
        await until(lambda: interactions._tally.written == 1)


def test_one_loop_after_another(tmp_path: Path) -> None:
    """Test clients and `asyncio.run` bring loops of their own: each takes over from the one before."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    interactions = Interactions(engine)
    app = shop(interactions)

    async def create() -> None:
        await interactions.create_table()

    async def by_hand() -> None:
        await interactions.log("by_hand")

    asyncio.run(create())
    with observed(app, interactions):
        for _ in range(2):
            with TestClient(app) as client:
                assert client.get("/items/1").status_code == 200
        client = TestClient(app)
        assert client.get("/items/2").status_code == 200
        asyncio.run(by_hand())
        found = asyncio.run(rows(interactions))
    assert [row["event_type"] for row in found] == ["view", "view", "view", "by_hand"]
    asyncio.run(engine.dispose())


def test_a_loop_for_each_request(tmp_path: Path) -> None:
    """A loop that ends with its request, as a `TestClient` has without `with`, sees nothing of the database."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db")
    connected: list[Any] = []
    event.listen(engine.sync_engine, "connect", lambda *connection: connected.append(connection))
    interactions = Interactions(engine)
    app = shop(interactions)
    client = TestClient(app)

    async def count() -> int:
        await interactions.create_table()
        found = await rows(interactions)
        await engine.dispose()
        return len(found)

    with observed(app, interactions):
        for number in range(20):
            assert client.get(f"/items/{number}").status_code == 200
        assert not connected
        assert asyncio.run(count()) == 20


async def test_a_database_in_memory_has_its_journal_there(tmp_path: Path) -> None:
    """It ends with the process, and so does what waits for it; the report says so."""
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    interactions = Interactions(engine)
    await interactions.create_table()
    app = shop(interactions)
    with observed(app, interactions) as obs:
        await ask(app, path="/items/1")
        assert len(await rows(interactions)) == 1
        assert obs.report()["interactions"]["why"] == "table interactions; journal in memory, as the database is"
    assert not (tmp_path / "state").exists()
    await stopped()
    await engine.dispose()


@pytest.mark.parametrize(
    ("journal", "why"),
    [(None, "as it was asked for"), (False, "as it was asked for"), ("file/below", "cannot be used")],
)
async def test_without_a_file_events_wait_in_memory(
    engine: AsyncEngine, tmp_path: Path, capsys: pytest.CaptureFixture[str], journal: str | bool | None, why: str
) -> None:
    """Asked for, or as the folder cannot be had: requests are recorded all the same, and the report says why.

    It does before the start as well. The log warns of what nobody asked for, at the start.
    """
    (tmp_path / "file").write_text("in the way")
    place = tmp_path / journal if isinstance(journal, str) else journal
    interactions = Interactions(engine, journal=place)
    await interactions.create_table()
    app = shop(interactions)
    logged: list[str] = []
    with observed(app, interactions) as obs:
        assert why in obs.report()["interactions"]["why"]
        assert "memory" in obs.report()["interactions"]["why"]
        async with running(app):
            logged += events(capsys)
            await ask(app, path="/items/1")
            assert len(await rows(interactions)) == 1
            assert why in obs.report()["interactions"]["why"]
            assert "memory" in obs.report()["interactions"]["why"]
    assert events(capsys) == []
    assert logged == ([InteractionEvent.JOURNAL_UNAVAILABLE] if isinstance(journal, str) else [])


async def test_the_journal_lies_by_database_and_table(tmp_path: Path) -> None:
    """Each table of each database has a folder of its own, whose name tells no secret."""
    urls = [
        "postgresql+asyncpg://admin:secret@db.example/shop",
        "postgresql+asyncpg://admin:secret@db.example:5433/shop",
        "postgresql+asyncpg://admin:secret@db.example/other",
        f"sqlite+aiosqlite:///{tmp_path}/shop.db",
        f"sqlite+aiosqlite:///{tmp_path}/folder/shop.db",
    ]
    engines = [create_async_engine(url) for url in urls]
    folders = [Interactions(engine)._folder for engine in engines]
    folders.append(Interactions(engines[0], "visits")._folder)
    folders.append(Interactions(engines[0], schema="audit")._folder)
    assert len(set(folders)) == 7
    assert {folder.parent for folder in folders if folder} == {tmp_path / "state" / "belvedere" / "interactions"}
    assert not any("secret" in str(folder) or "admin" in str(folder) for folder in folders)
    again = create_async_engine("postgresql+asyncpg://another:password@db.example/shop")
    assert Interactions(again)._folder == folders[0]


FORKED = """
import asyncio, os, sys
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import create_async_engine
from belvedere import Interactions

interactions = Interactions(create_async_engine("sqlite+aiosqlite:///" + sys.argv[1]), journal=sys.argv[2])

async def work(name, flush=True):
    await interactions.create_table()
    for _ in range(100):
        await interactions.log(name)
    assert not flush or await interactions.flush()
    await interactions._engine.dispose()

async def count():
    async with interactions._engine.connect() as connection:
        print(await connection.scalar(select(func.count(func.distinct(interactions.table.c.event_id)))))
    await interactions._engine.dispose()

asyncio.run(work("parent"))
child = os.fork()
asyncio.run(work("child" if child == 0 else "parent"))
if child:
    assert os.waitpid(child, 0)[1] == 0
    asyncio.run(work("again"))
    asyncio.run(count())
"""


def test_a_fork_has_a_delivery_of_its_own(tmp_path: Path) -> None:
    """Parent and child record on, each its own events under ids of its own, and nothing is lost or comes twice."""
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(tmp_path / "shop.db"), str(tmp_path / "journal")],
        check=True,
        capture_output=True,
        text=True,
        timeout=DEADLINE * 2,
    )
    assert done.stdout.strip() == "400"


async def test_rows_are_kept_for_their_time(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is older than the retention goes, at some moment of each hour, by one worker."""
    interactions = Interactions(engine, retention=timedelta(days=30))
    await interactions.create_table()
    for name in ("old", "new"):
        await interactions.log(name)
    await rows(interactions)
    table = interactions.table
    async with engine.begin() as connection:
        old = datetime.now(UTC) - timedelta(days=31)
        await connection.execute(update(table).where(table.c.event_type == "old").values(created_at=old))
    assert await interactions.prune(timedelta(days=32)) == 0
    monkeypatch.setattr(interactions._retention, "_next", 0.0)
    app = shop(interactions)
    with observed(app, interactions) as obs:
        async with running(app):
            task = await until(lambda: interactions._retention._task)
            await asyncio.wait_for(task, DEADLINE)
            assert [row["event_type"] for row in await rows(interactions)] == ["new"]
            assert "rows kept for 30 days" in obs.report()["interactions"]["why"]
    assert interactions._folder is not None
    assert not retention._Turn(interactions._folder).taken
    with pytest.raises(ValueError, match="needs a retention"):
        await Interactions(engine, "others").prune()


async def test_a_hundred_requests_are_few_writes(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes within a moment is written together."""
    interactions = Interactions(engine)
    await interactions.create_table()
    writes: list[int] = []
    write = interactions._store.write

    async def counting(payloads: Any) -> Any:
        writes.append(len(payloads))
        return await write(payloads)

    monkeypatch.setattr(interactions._store, "write", counting)
    app = shop(interactions)
    with observed(app, interactions):
        await asyncio.gather(*(ask(app, path=f"/items/{number}") for number in range(100)))
        await until(lambda: interactions._tally.written == 100)
        shown = await samples(app, "belvedere_interactions_written_total")
    assert shown == {"belvedere_interactions_written_total": 100.0}, "as soon as it is written"
    assert sum(writes) == 100
    assert len(writes) < 20


async def test_a_failure_of_ours_is_no_loss(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the store should not raise is counted, and the batch is tried again."""
    interactions = Interactions(engine)
    await interactions.create_table()
    write = interactions._store.write
    calls = 0

    async def failing(payloads: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise LookupError("a mistake")
        return await write(payloads)

    monkeypatch.setattr(interactions._store, "write", failing)
    await interactions.log("a")
    assert len(await rows(interactions)) == 1
    assert failures.counts.pop("interactions") == 2


async def test_its_own_work_is_nobodys_request(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The delivery runs outside the request that began it: what the application binds is not its own."""
    from belvedere.context import current

    interactions = Interactions(engine)
    await interactions.create_table()
    seen: list[Any] = []
    write = interactions._store.write

    async def looking(payloads: Any) -> Any:
        seen.append(current.get())
        return await write(payloads)

    monkeypatch.setattr(interactions._store, "write", looking)
    app = shop(interactions)
    with observed(app, interactions):
        await ask(app, path="/items/1")
        await rows(interactions)
    assert seen == [None]


async def test_sqlite_that_is_locked(tmp_path: Path) -> None:
    """A database that somebody else has locked delays the rows, not the requests."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/shop.db", connect_args={"timeout": 0.05})
    interactions = Interactions(engine)
    await interactions.create_table()
    app = shop(interactions)
    with observed(app, interactions):
        async with engine.connect() as connection:
            await connection.execute(text("BEGIN EXCLUSIVE"))
            assert (await ask(app, path="/items/1")).status == 200
            await until(lambda: interactions._tally.retried)
            await connection.rollback()
        assert len(await rows(interactions)) == 1
    await stopped()
    await engine.dispose()
