"""Counts by event and stretch of time, the same on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, get_args

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from belvedere.interactions import summary
from belvedere.interactions.store import Store
from belvedere.interactions.summary import Bucket, Row
from tests.interactions.store.events import payload

# Ends of days, weeks, months and years, the 29th of February, and microseconds.
MOMENTS = [
    datetime(2023, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2024, 1, 1, tzinfo=UTC),  # a Monday
    datetime(2024, 1, 7, 23, 59, 59, tzinfo=UTC),  # a Sunday
    datetime(2024, 1, 8, 0, 0, 0, 1, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 30, 15, tzinfo=UTC),
    datetime(2024, 3, 1, tzinfo=UTC),
    datetime(2024, 3, 31, 1, 30, tzinfo=UTC),  # where clocks change in Europe
    datetime(2024, 3, 31, 2, 30, tzinfo=UTC),
]


def some(count: int) -> list[dict[str, Any]]:
    """Return events at those moments, the same in every run."""
    random = Random(5)
    return [
        {
            "event_type": random.choice(["login", "search", "view"]),
            "user_id": random.choice([None, "ada", "grace", "edsger"]),
            "status": random.choice([200, 201, 304, 404, 429, 499, 500, 503]),
            "created_at": random.choice(MOMENTS),
        }
        for _ in range(count)
    ]


def expected(events: list[dict[str, Any]], bucket: Bucket | None) -> list[Row]:
    """Return the summary, counted here."""
    groups: dict[tuple[Any, str], list[dict[str, Any]]] = {}
    for event in events:
        start = None if bucket is None else summary.start_of(event["created_at"], bucket)
        groups.setdefault((start, event["event_type"]), []).append(event)
    rows = []
    for (start, name), found in sorted(groups.items()):
        moments = [event["created_at"] for event in found]
        classes = [f"{event['status'] // 100}xx" for event in found]
        users = {event["user_id"] for event in found} - {None}
        counts = {one: classes.count(one) for one in sorted(set(classes))}
        rows.append(Row(name, start, len(found), len(users), min(moments), max(moments), counts))
    return rows


async def filled(engine: AsyncEngine, events: list[dict[str, Any]]) -> Store:
    """Return a store with those events."""
    store = Store(engine)
    await store.create()
    sent = [{**one, "created_at": one["created_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")} for one in events]
    assert (await store.write([payload(**one) for one in sent])).rows == len(events)
    return store


@pytest.mark.parametrize("bucket", [None, *get_args(Bucket)])
async def test_counts(engine: AsyncEngine, bucket: Bucket | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interactions, users, first, last and classes of status, by event and stretch; empty stretches are left out."""
    events = some(200)
    store = await filled(engine, events)
    assert await store.summary(bucket=bucket) == expected(events, bucket)
    if bucket is not None:
        # As databases answer that have no word for it.
        monkeypatch.setattr(summary, "_start", lambda *_: None)
        assert await store.summary(bucket=bucket) == expected(events, bucket)


def test_where_stretches_begin() -> None:
    """A week begins on Monday, everything else where its name says."""
    at = datetime(2024, 2, 29, 12, 30, 15, 7, tzinfo=UTC)
    assert [summary.start_of(at, bucket).isoformat()[:19] for bucket in get_args(Bucket)] == [
        "2024-02-29T12:30:00",
        "2024-02-29T12:00:00",
        "2024-02-29T00:00:00",
        "2024-02-26T00:00:00",
        "2024-02-01T00:00:00",
    ]


async def test_filters_count(engine: AsyncEngine) -> None:
    """The filters are those of a query."""
    events = some(100)
    store = await filled(engine, events)
    after = MOMENTS[4]
    chosen = [one for one in events if one["user_id"] == "ada" and one["created_at"] >= after]
    assert await store.summary(user="ada", since=after) == expected(chosen, None)
    assert await store.summary(event="login", until=after) == expected(
        [one for one in events if one["event_type"] == "login" and one["created_at"] < after], None
    )


async def test_whatever_the_servers_time_zone_is(postgres_url: str) -> None:
    """Stretches are of UTC, and so are moments."""
    engine = create_async_engine(postgres_url, connect_args={"server_settings": {"timezone": "Asia/Kathmandu"}})
    try:
        store = Store(engine, table="elsewhere")
        await store.create()
        events = some(100)
        sent = [{**one, "created_at": one["created_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")} for one in events]
        await store.write([payload(**one) for one in sent])
        assert await store.summary(bucket="day") == expected(events, "day")
        [newest] = (await store.query(limit=1)).items
        assert newest["created_at"].utcoffset() == timedelta(0)
        assert newest["created_at"] == max(one["created_at"] for one in events)
        async with engine.begin() as connection:
            await connection.execute(text("DROP TABLE elsewhere"))
    finally:
        await engine.dispose()


async def test_a_wrong_bucket(engine: AsyncEngine) -> None:
    """The error names those that there are."""
    with pytest.raises(ValueError, match="minute, hour, day, week, month"):
        await Store(engine).summary(bucket="fortnight")  # type: ignore[arg-type]
