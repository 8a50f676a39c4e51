"""From the journal to the database: nothing lost, nothing twice, whatever the database does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from belvedere import Interactions, failures
from belvedere.conventions import InteractionEvent
from belvedere.interactions import delivery
from tests.drive import ask, observed, running, samples, written
from tests.interactions.conftest import rows, stopped
from tests.interactions.shop import DEADLINE, events, shop, until


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
            # The first attempt may have been at fewer than all of them.
            await until(lambda: interactions._tally.retried >= 20 and interactions._tally.pending == 20)
            assert not await interactions.flush(timeout=0.3)
            away = await samples(app, "belvedere_interactions")
            await interactions.create_table()
            found = await rows(interactions)
            back = await samples(app, "belvedere_interactions")
    assert [row["subject"] for row in found] == list(range(20))
    assert away["belvedere_interactions_pending"] == 20.0
    assert away["belvedere_interactions_retried_total"] >= 20.0
    assert away["belvedere_interactions_oldest_seconds"] > 0
    assert away["belvedere_interactions_journal_bytes"] > 20 * 100
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


async def test_rows_come_by_themselves_without_a_lifespan(engine: AsyncEngine) -> None:
    """The first request begins the delivery where no lifespan does, and no request waits for it."""
    interactions = Interactions(engine)
    await interactions.create_table()
    app = shop(interactions)
    with observed(app, interactions):
        await ask(app, path="/items/1")
        await until(lambda: interactions._tally.written == 1)


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
