"""What requests leave in the journal: rows say the same, however few bytes an event takes, and whoever wrote it."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import orjson
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

import belvedere
from belvedere import Interactions
from belvedere.interactions.compact import spelled_out
from belvedere.interactions.journal import Journal
from tests.drive import ask, observed, running, samples
from tests.interactions.conftest import rows
from tests.interactions.shop import shop

USERS = ["u1", "", "7", 7, "two\nlines", "=", "nul \0", "half \ud800", "名前", None]
SHOWN = ["u1", "", "7", "7", "two\nlines", "=", "nul \ufffd", "half \ufffd\ufffd\ufffd", "名前", None]


def events(journal: Path) -> list[bytes]:
    """Return what waits in a journal that nobody has open."""
    reader = Journal(journal)
    reader.open()
    reader.adopt()
    batch = reader.take(1000)
    reader.close()
    return [] if batch is None else batch.payloads


async def test_a_row_says_all_whatever_texts_there_are(engine: AsyncEngine) -> None:
    """Users and paths with line breaks, NUL, half surrogates and other scripts, or none: each is its row's."""
    interactions = Interactions(engine)
    app = FastAPI()

    @app.get("/users/{at}", dependencies=[interactions.record("view\nuser")])
    @app.get("/items/{at}", dependencies=[interactions.record("view", subject="at")])
    @app.get("/elsewhere/{at}", dependencies=[interactions.record("elsewhere", subject="nowhere")])
    async def view(at: str) -> None:
        if at.isdecimal() and USERS[int(at)] is not None:
            belvedere.bind(user_id=USERS[int(at)])

    begun = datetime.now(UTC)
    paths = ["/items/a", "/items/ü", "/items/two\nlines", "/items/nul\0", "/users/a", "/elsewhere/a"]
    with observed(app, interactions):
        async with running(app):
            await interactions.create_table()
            for number in range(len(USERS)):
                await ask(app, path=f"/items/{number}")
            for path in paths:
                await ask(app, path=path)
        found = await rows(interactions)
    numbered, rest = found[: len(USERS)], found[len(USERS) :]
    assert [row["user_id"] for row in numbered] == SHOWN
    assert [(row["subject"], row["path"]) for row in numbered] == [(f"{n}", f"/items/{n}") for n in range(len(USERS))]
    assert [row["path"] for row in rest] == [path.replace("\0", "\ufffd") for path in paths]
    assert [row["subject"] for row in rest] == ["a", "ü", "two\nlines", "nul\ufffd", None, None]
    assert [row["event_type"] for row in rest] == [*["view"] * 4, "view\nuser", "elsewhere"]
    assert {(row["method"], row["status"], orjson.dumps(row["metadata"])) for row in found} == {("GET", 200, b"{}")}
    assert all(len(row["trace_id"]) == len(row["event_id"]) == 32 for row in found)
    assert len({row["event_id"] for row in found}) == len(found)
    moments = [row["created_at"].replace(tzinfo=UTC) for row in found]
    assert begun <= moments[0]
    assert moments == sorted(moments)
    assert moments[-1] <= datetime.now(UTC)


async def test_a_journal_of_before_is_delivered_and_one_of_later_refused(engine: AsyncEngine, tmp_path: Path) -> None:
    """JSON, as all events once were, is a row; what nobody can read yet is counted, and stops no other."""
    folder = tmp_path / "journal"
    journal = Journal(folder)
    journal.open()
    event = {
        "event_id": "1" * 32, "event_type": "view", "user_id": "ann", "subject": 1, "path": "/items/1", "method": "GET",
        "status": 200, "trace_id": "2" * 32, "metadata": {"q": "x"}, "created_at": "2026-11-21T10:00:00.000001Z",
    }  # fmt: skip
    journal.append(orjson.dumps(event))
    journal.append(b"\2 of a later version")
    journal.append(struct.pack("<Bd8sQH", 1, 0.5, b"12345678", 9, 200) + b"too\nfew\nlines")
    journal.close()
    interactions = Interactions(engine, subject_type=int, journal=folder)
    app = shop(interactions)
    with observed(app, interactions):
        async with running(app):
            await interactions.create_table()
            await ask(app, path="/items/2")
            found = await rows(interactions)
            counted = await samples(app, "belvedere_interactions_dropped_total")
    assert sorted((row["subject"], row["user_id"], str(row["created_at"])[:10]) for row in found[:1]) == [
        (1, "ann", "2026-11-21")
    ]
    assert [row["subject"] for row in found] == [1, 2]
    assert list(counted.values()) == [2.0]


async def test_secrets_are_on_no_disk(engine: AsyncEngine, tmp_path: Path) -> None:
    """What a path or a query gives away is hidden before it is in the journal, not after."""
    folder = tmp_path / "journal"
    interactions = Interactions(engine, journal=folder, shutdown=0.0)
    app = shop(interactions)
    with observed(app, interactions):
        async with running(app):
            await ask(app, path="/items/ann@example.org")
            await ask(app, path="/items/4111111111111111")
            await ask(app, path="/items/5", query=b"password=hunter2")
            await ask(app, path="/items/6")
    left = events(folder)
    assert len(left) == 4
    for secret in (b"ann@", b"4111", b"hunter2"):
        assert not any(secret in event for event in left)
    assert [orjson.loads(event)["path"] for event in spelled_out(left)][-1] == "/items/6"


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_an_event_or_left_to_be_refused(data: bytes, ours: bool) -> None:
    """Nothing that lies in a journal stops the delivery."""
    event = b"\1" + data if ours else data
    (made,) = spelled_out([event])
    assert made == event or "event_id" in orjson.loads(made)


def test_an_event_is_what_its_layout_says() -> None:
    """What this version writes, all later ones have to read: here it is, byte by byte."""
    event = (
        struct.pack("<Bd8sQH", 1, 1763721000.5, b"12345678", 9, 404) + b"view\nGET\nnumber\ntrace\n/items/1\n1\n=ann"
    )
    made = [orjson.loads(one) for one in spelled_out([event] * 250)]
    assert (
        made
        == [
            {
                "event_id": "31323334353637380000000000000009",
                "event_type": "view",
                "user_id": "ann",
                "subject": 1,
                "path": "/items/1",
                "method": "GET",
                "status": 404,
                "trace_id": "trace",
                "metadata": {},
                "created_at": "2025-11-21T10:30:00.500000Z",
            }
        ]
        * 250
    )
