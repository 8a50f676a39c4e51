"""What is written: each event once, whatever else is in its batch."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event as events
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from belvedere.interactions.store import Store
from tests.interactions.store.events import MOMENT, event, payload

REFUSED = {
    "broken JSON": b'{"event_id": "1',
    "two values": b'{}, "secret-value"',
    "not UTF-8": b'{"event_id": "\xff"}',
    "no object": b"5",
    "no id": payload(event_id=None, path="/secret-value"),
    "status out of range": payload(status="secret-value"),
    "no such day": payload(created_at="2026-02-31T00:00:00.000000Z", path="/secret-value"),
    "no moment": payload(created_at="secret-value"),
}


@pytest.fixture(params=["its own statement", "row by row"])
def store(request: pytest.FixtureRequest, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store, as it writes to this database and as it would write to any other."""
    if request.param == "row by row":
        monkeypatch.setattr("belvedere.interactions.insert.statement", lambda *_: None)
    return Store(engine, subject="scholarship_id", subject_type=int)


async def rows(engine: AsyncEngine, store: Store) -> list[dict[str, Any]]:
    """Return what the table has, in the order in which it was written."""
    async with engine.connect() as connection:
        found = await connection.execute(select(store.table).order_by(store.table.c.id))
        return [dict(row) for row in found.mappings()]


async def test_an_event_becomes_a_row(engine: AsyncEngine, store: Store) -> None:
    """Every field arrives as it was, text of any language in the metadata as well."""
    await store.create()
    sent = event(
        metadata={"query": "Prüfung 日本 🎉", "filters": {"levels": ["master", None], "min": 1.5}}, trace_id=None
    )
    written = await store.write([payload(**sent)])
    assert (written.rows, written.refused) == (1, [])
    [row] = await rows(engine, store)
    assert row.pop("id") == 1
    assert row.pop("scholarship_id") == int(sent.pop("subject"))
    assert row.pop("created_at").isoformat().removesuffix("+00:00") + "Z" == sent.pop("created_at") == MOMENT
    assert row == sent


async def test_an_event_that_is_there_is_left(engine: AsyncEngine, store: Store) -> None:
    """The same batch again adds nothing, nor does an event that comes twice in one batch."""
    await store.create()
    first, second, third = payload(), payload(), payload()
    assert (await store.write([first, second])).rows == 2
    assert (await store.write([first, second])).rows == 0
    assert (await store.write([second, third, third])).rows == 1
    assert len(await rows(engine, store)) == 3
    assert (await store.write([])).rows == 0


async def test_many_writers_of_the_same_events(engine: AsyncEngine, store: Store) -> None:
    """Whoever comes first writes an event; all of them say together how many rows there are."""
    await store.create()
    batch = [payload() for _ in range(200)]
    written = await asyncio.gather(*(store.write(batch[at:] + batch[:at]) for at in (0, 50, 100)))
    assert sum(one.rows for one in written) == len(await rows(engine, store)) == 200
    assert [one.refused for one in written] == [[], [], []]


async def test_what_cannot_be_written_is_found_among_the_others(engine: AsyncEngine, store: Store) -> None:
    """The others are written; what is refused comes back with a reason that shows nothing of it."""
    await store.create()
    good = [payload() for _ in range(40)]
    batch = list(good)
    for place, bad in enumerate(REFUSED.values()):
        batch.insert(place * 5, bad)
    written = await store.write(batch)
    assert written.rows == 40
    assert {bad for bad, _ in written.refused} == set(REFUSED.values())
    for _, reason in written.refused:
        assert reason
        assert "secret" not in reason
        assert len(reason) < 80
    assert len(await rows(engine, store)) == 40


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (7, 7),
        ("7", 7),
        (-5, -5),
        ("1783000000000000000", 1783000000000000000),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("9" * 400, None),
        ("seven", None),
        ("7; DROP TABLE interactions", None),
        ("007", None),
        ("", None),
        (None, None),
    ],
)
async def test_a_subject_that_is_no_number_is_left_out(
    engine: AsyncEngine, store: Store, given: object, kept: object
) -> None:
    """A request for something that cannot exist is recorded as well; its path tells what was asked for."""
    await store.create()
    assert (await store.write([payload(subject=given)])).rows == 1
    assert [row["scholarship_id"] for row in await rows(engine, store)] == [kept]


async def test_long_texts(engine: AsyncEngine) -> None:
    """Indexed texts are cut to what every database can index; a path is kept whole."""
    store = Store(engine)
    await store.create()
    sent = payload(subject="s'\"" * 2_000, event_type="e" * 300, path="/" + "p" * 20_000, user_id="u" * 5_000)
    assert (await store.write([sent])).rows == 1
    [row] = await rows(engine, store)
    assert (row["subject"], row["event_type"]) == (("s'\"" * 100)[:255], "e" * 255)
    assert (len(row["path"]), len(row["user_id"])) == (20_001, 5_000)


async def test_what_an_event_leaves_out(engine: AsyncEngine, store: Store) -> None:
    """Without metadata there are none, and without a moment it is now; a moment may be in whole seconds."""
    await store.create()
    await store.write([payload(metadata=None, created_at=None), payload(created_at="2026-02-28T23:59:59Z")])
    now, then = await rows(engine, store)
    assert now["metadata"] == {}
    assert abs(now["created_at"].replace(tzinfo=UTC) - datetime.now(UTC)) < timedelta(minutes=10)
    assert then["created_at"].isoformat()[:19] == "2026-02-28T23:59:59"


async def test_one_statement_is_one_transaction(engine: AsyncEngine) -> None:
    """Its statements say that they are Belvedere's own, so whoever counts an engine's statements can leave them out."""
    store = Store(engine)
    await store.create()
    seen: list[tuple[str, object]] = []

    @events.listens_for(engine.sync_engine, "before_cursor_execute")
    def note(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append((statement.split(maxsplit=1)[0], connection.get_execution_options().get("belvedere_own")))

    await store.write([payload()])
    assert seen[-1] == ("INSERT", True)
    assert {own for _, own in seen} == {True}


async def test_a_database_in_memory() -> None:
    """SQLite in memory has one connection for everybody, whose mode stays what it is."""
    engine = create_async_engine("sqlite+aiosqlite://")
    store = Store(engine)
    await store.create()
    assert (await store.write([payload(), b"{"])).rows == 1
    async with engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(store.table)) == 1
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        assert raw.driver_connection.isolation_level == ""
    await engine.dispose()
