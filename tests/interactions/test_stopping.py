"""What is left when an application stops: it is delivered, kept for the next start, or told as lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from belvedere import Interactions
from belvedere.conventions import InteractionEvent
from belvedere.interactions import delivery
from tests.drive import ask, observed, running, samples, written
from tests.interactions.conftest import rows
from tests.interactions.shop import DEADLINE, shop, until


async def test_the_next_start_delivers_what_a_stop_left(engine: AsyncEngine, tmp_path: Path) -> None:
    """A stop waits no longer than it may; what is left lies in the journal, and the next process delivers it."""
    first = Interactions(engine, journal=tmp_path / "journal", shutdown=0.2)
    app = shop(first)
    with observed(app, first):
        async with running(app):
            await ask(app, path="/items/1")
            before = time.monotonic()
        assert time.monotonic() - before < 15
    second = Interactions(engine, journal=tmp_path / "journal")
    await second.create_table()
    app = shop(second)
    with observed(app, second):
        async with running(app):
            await ask(app, path="/items/2")
            found = await rows(second)
    assert sorted(row["subject"] for row in found) == ["1", "2"]
    assert not list((tmp_path / "journal").glob("*.events"))


async def test_a_flush_right_after_the_start_brings_what_was_left(engine: AsyncEngine, tmp_path: Path) -> None:
    """Whoever starts again and flushes has the rows of before: no request, and no time, has to come in between."""
    left = Interactions(engine, journal=tmp_path / "journal")
    await left.create_table()
    left._by_hand.record("left", user_id=None, subject=None, path="", method="", status=0, trace_id=None, metadata=None)
    left._close()
    interactions = Interactions(engine, journal=tmp_path / "journal")
    app = shop(interactions)
    with observed(app, interactions):
        async with running(app):
            assert [row["event_type"] for row in await rows(interactions)] == ["left"]


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
