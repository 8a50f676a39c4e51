"""What is asked for, in the order of time, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from belvedere.interactions import cursor
from belvedere.interactions.store import Store
from belvedere.interactions.table import define
from tests.interactions.store.events import payload

START = datetime(2026, 11, 21, 15, tzinfo=UTC)


@pytest.fixture
async def store(engine: AsyncEngine) -> Store:
    """A store with sixty interactions, of three events and two users, one a minute; the oldest was written last."""
    store = Store(engine, subject="scholarship_id", subject_type=int)
    await store.create()
    events = ("login", "root_view", "view_scholarship")
    batch = [
        payload(
            event_type=events[number % 3],
            user_id=("ada", None, "grace", "o'hara")[number % 4],
            subject=number % 5 if number % 3 == 2 else None,
            path=f"/{number}",
            created_at=(START + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        )
        for number in range(60)
    ]
    await store.write(batch[30:])
    await store.write(batch[:30])
    return store


async def test_rows_are_dictionaries(store: Store) -> None:
    """The newest comes first, with the columns' names and a moment in UTC."""
    page = await store.query(limit=1)
    [item] = page.items
    assert item.pop("id") == 30
    assert len(item.pop("event_id")) == 32
    assert item.pop("created_at") == START + timedelta(minutes=59)
    assert item == {
        "event_type": "view_scholarship",
        "user_id": "o'hara",
        "scholarship_id": 4,
        "path": "/59",
        "method": "GET",
        "status": 200,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "metadata": {},
    }
    assert page.next is not None
    [utc] = (await store.query(limit=1)).items
    assert utc["created_at"].tzinfo is UTC


async def paths(store: Store, **arguments: object) -> list[int]:
    """Return the numbers of all rows, page by page."""
    found: list[int] = []
    after = None
    while True:
        page = await store.query(**arguments, after=after)  # type: ignore[arg-type]
        found += [int(item["path"][1:]) for item in page.items]
        after = page.next
        if after is None:
            return found
        assert page.items


@pytest.mark.parametrize("limit", [1, 7, 20, 60, 61, 1_000])
async def test_pages_are_all_rows_in_the_order_of_time(store: Store, limit: int) -> None:
    """Whatever the size of a page, each row comes once, the one that was written late in its place."""
    assert await paths(store, limit=limit) == list(reversed(range(60)))


async def test_filters(store: Store) -> None:
    """Filters are joined by and; `until` is not included; a moment without time zone is UTC."""
    every = list(reversed(range(60)))
    assert await paths(store, event="login", limit=7) == [n for n in every if n % 3 == 0]
    assert await paths(store, user="o'hara", limit=7) == [n for n in every if n % 4 == 3]
    assert await paths(store, subject=4) == [n for n in every if n % 3 == 2 and n % 5 == 4]
    assert await paths(store, subject="4", user="ada") == [n for n in every if n % 15 == 14 and n % 4 == 0]
    hour = {"since": START + timedelta(minutes=10), "until": START + timedelta(minutes=20)}
    assert await paths(store, **hour, limit=3) == list(reversed(range(10, 20)))
    elsewhere = timezone(timedelta(hours=5, minutes=45))
    assert await paths(store, **{name: at.astimezone(elsewhere) for name, at in hour.items()}) == await paths(
        store, **{name: at.replace(tzinfo=None) for name, at in hour.items()}
    )
    assert await paths(store, event="login", user="nobody") == []


async def test_rows_of_one_moment(engine: AsyncEngine) -> None:
    """Where moments are the same, pages neither repeat nor leave out a row."""
    store = Store(engine)
    await store.create()
    await store.write([payload(path=f"/{number}", event_type="ab"[number % 2]) for number in range(25)])
    assert await paths(store, limit=4) == list(reversed(range(25)))
    assert await paths(store, limit=4, event="a") == list(reversed(range(0, 25, 2)))


async def test_ids_beyond_four_bytes(engine: AsyncEngine) -> None:
    """Pages go on where a table has had more rows than 32 bits count, and whatever number a cursor is made up of."""
    store = Store(engine)
    await store.create()
    await store.write([payload(path=f"/{number}") for number in range(5)])
    async with engine.begin() as connection:
        await connection.execute(store.table.update().values(id=store.table.c.id + 2**31))
    assert await paths(store, limit=2) == list(reversed(range(5)))
    assert len((await store.query(after=cursor.encode(datetime.now(UTC), 2**63 - 1))).items) == 5


async def test_a_subject_that_the_applications_own_column_cannot_hold(engine: AsyncEngine) -> None:
    """Where the application's table has a column of 32 bits, a number of 64 is about nothing, and no error."""
    metadata = MetaData()
    own = Table("visits", metadata, Column("shop_id", Integer), *(column._copy() for column in _columns("shop_id")))
    store = Store(engine, "visits", "shop_id", int, metadata=metadata)
    assert store.table is own
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(
            own.insert().values(
                event_id="1", event_type="a", shop_id=7, path="/", method="GET", status=200, metadata={}
            )
        )
    assert len((await store.query(subject=7)).items) == 1
    assert (await store.query(subject=2**40)).items == []
    assert await store.summary(subject=2**40) == []


def _columns(subject: str) -> list[Any]:
    """Return the columns of a table of interactions but that of its subject."""
    return [column for column in define("visits", subject, int).c if column.name != subject]


async def test_pages_stay_while_rows_are_written(store: Store) -> None:
    """What is written meanwhile moves no row to another page."""
    first = await store.query(limit=20)
    await store.write([payload(path="/99", created_at="2026-12-01T00:00:00.000000Z")])
    second = await store.query(limit=20, after=first.next)
    assert [item["path"] for item in second.items] == [f"/{number}" for number in reversed(range(20, 40))]


@pytest.mark.parametrize(
    "arguments",
    [
        {"event": "' OR 1=1 --"},
        {"event": "login'; DROP TABLE interactions; --"},
        {"user": "\x00"},
        {"user": "\ud800"},
        {"user": "%"},
        {"user": 5},
        {"event": ""},
        {"until": datetime.min.replace(tzinfo=UTC)},
        {"since": datetime.max.replace(tzinfo=UTC)},
        {"subject": -(2**63)},
    ],
)
async def test_odd_values_find_nothing(store: Store, arguments: dict[str, object]) -> None:
    """No value is taken for SQL, and none is too odd to be asked for."""
    assert (await store.query(**arguments)).items == []  # type: ignore[arg-type]
    assert await store.summary(**arguments) == []  # type: ignore[arg-type]
    assert len((await store.query(limit=60)).items) == 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"after": "nonsense"}, "after= is no cursor"),
        ({"after": ""}, "after= is no cursor"),
        ({"after": "é"}, "after= is no cursor"),
        ({"after": "OTk5OTk5OTk5OTk5OTk5OTk5LjE"}, "after= is no cursor"),  # 999999999999999999.1
        ({"after": "MS45OTk5OTk5OTk5OTk5OTk5OTk5"}, "after= is no cursor"),  # 1.9999999999999999999
        ({"limit": 0}, "limit=0: it is 1 to 1,000"),
        ({"limit": 1_001}, "limit=1001"),
        ({"limit": "5"}, "limit='5': it is 1 to 1,000"),
        ({"limit": 5.0}, "limit=5.0: it is 1 to 1,000"),
        ({"after": 7}, "after= is no cursor"),
        ({"subject": 7.5}, "subject= is no number"),
        ({"subject": float("inf")}, "subject= is no number"),
        ({"since": "2026-11-21"}, "since= is a datetime, not '2026-11-21'"),
        ({"subject": "seven"}, "subject= is no number"),
        ({"subject": 2**63}, "subject= is out of range"),
        ({"since": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, "since= is out of range"),
    ],
)
async def test_wrong_arguments(store: Store, arguments: dict[str, object], said: str) -> None:
    """The error says what is wrong."""
    with pytest.raises(ValueError, match=said):
        await store.query(**arguments)  # type: ignore[arg-type]


async def test_many_event_types(engine: AsyncEngine) -> None:
    """With more event types than can be asked for one by one, the answer is the same."""
    store = Store(engine)
    await store.create()
    await store.write([payload(path=f"/{number}", event_type=f"e{number % 120}") for number in range(240)])
    assert await paths(store, limit=100) == list(reversed(range(240)))
    assert len(await store.summary()) == 120
