"""What is recorded: one row for each request that a marked route answered, whatever the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import Body, FastAPI
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncEngine

import belvedere
from belvedere import Interactions, RateLimiter, failures
from tests.drive import Exchange, Socket, ask, observed, running, samples
from tests.interactions.conftest import rows
from tests.interactions.scholarships import JSON, application


async def test_whatever_the_answer_it_is_a_row(interactions: Interactions) -> None:
    """200, 404, 422 of a path and of a body that is no JSON, 401 of a dependency, 500: each once, in order."""
    app = application(interactions)
    with observed(app, interactions):
        async with running(app):
            answers = [
                await ask(app, path="/scholarships/7"),
                await ask(app, path="/scholarships/0"),
                await ask(app, path="/scholarships/x"),
                await ask(app, "POST", "/search", body=b"{no json", headers=JSON),
                await ask(app, path="/private"),
                await ask(app, path="/scholarships/500"),
            ]
            for method, path in (("POST", "/scholarships/7"), ("GET", "/unmarked"), ("GET", "/nowhere")):
                await ask(app, method, path)
        found = await rows(interactions)
    assert [(row["event_type"], row["scholarship_id"], row["status"], row["user_id"]) for row in found] == [
        ("view_scholarship", 7, 200, "u1"),
        ("view_scholarship", 0, 404, "u1"),
        ("view_scholarship", None, 422, None),
        ("search_scholarships", None, 422, None),
        ("private", None, 401, None),
        ("view_scholarship", 500, 500, "u1"),
    ]
    assert [row["trace_id"] for row in found] == [answer.id.replace("-", "") for answer in answers]
    assert [(row["method"], row["path"]) for row in found[2:4]] == [("GET", "/scholarships/x"), ("POST", "/search")]
    assert [row["metadata"] for row in found] == [{}] * 6
    assert len({row["event_id"] for row in found}) == 6


async def test_a_client_that_left_is_a_row_with_499(interactions: Interactions) -> None:
    """Cancelled before its answer: 499. A stream that is broken off keeps the status that was sent."""
    app = FastAPI()
    waits, left = asyncio.Event(), asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"1"
        await left.wait()
        yield b"2"

    @app.get("/slow", dependencies=[interactions.record("slow")])
    async def slow() -> None:
        waits.set()
        await asyncio.Event().wait()

    @app.get("/streamed", dependencies=[interactions.record("streamed")])
    async def streamed() -> StreamingResponse:
        return StreamingResponse(pieces())

    with observed(app, interactions):
        task = Exchange(app, path="/slow").start()
        await waits.wait()
        task.cancel()
        await asyncio.wait({task})
        exchange = Exchange(app, path="/streamed", gone_raises=True)
        task = exchange.start()
        await exchange.sent(2)
        exchange.disconnect()
        left.set()
        await task
        found = await rows(interactions)
    assert [(row["event_type"], row["status"]) for row in found] == [("slow", 499), ("streamed", 200)]


async def test_a_limited_request_is_a_row(interactions: Interactions) -> None:
    """A 429 is recorded as well, whichever of the two dependencies comes first."""
    app = FastAPI()
    limiter = RateLimiter()

    @app.get("/first", dependencies=[limiter.limit("1/minute"), interactions.record("first")])
    @app.get("/second", dependencies=[interactions.record("second"), limiter.limit("1/minute")])
    async def endpoint() -> None:
        """Answer with nothing."""

    with observed(app, limiter, interactions):
        for path in ("/first", "/first", "/second", "/second"):
            await ask(app, path=path)
        found = await rows(interactions)
    assert [(row["event_type"], row["status"]) for row in found] == [
        ("first", 200),
        ("first", 429),
        ("second", 200),
        ("second", 429),
    ]


async def test_observed_later_and_again(interactions: Interactions) -> None:
    """It can be added while the application runs; taken off, nothing is recorded; and put on again, it is."""
    app = application(interactions)
    with observed(app) as obs:
        await ask(app, path="/scholarships/1")
        obs.add(interactions)
        await ask(app, path="/scholarships/2")
    await ask(app, path="/scholarships/3")
    with observed(app, interactions):
        await ask(app, path="/scholarships/4")
        found = await rows(interactions)
    assert [row["scholarship_id"] for row in found] == [2, 4]


@pytest.mark.parametrize("format", ["uuid", "hex"])
async def test_ids(interactions: Interactions, format: str) -> None:
    """The id of the answer finds the row; where a caller's id and its trace are two, the metadata has both."""
    app = application(interactions)
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    traceparent = (b"traceparent", f"00-{trace}-00f067aa0ba902b7-01".encode())
    with observed(app, interactions, requests={"format": format}):
        made = await ask(app, path="/scholarships/1")
        await ask(app, path="/scholarships/1", headers=[(b"x-request-id", b"mine-1")])
        await ask(
            app, path="/scholarships/1", query=b"trace_id=x&a=1", headers=[(b"x-request-id", b"mine-2"), traceparent]
        )
        found = await rows(interactions)
    assert [(row["trace_id"], row["metadata"]) for row in found] == [
        (made.id.replace("-", ""), {}),
        ("mine-1", {}),
        (trace, {"request_id": "mine-2", "trace_id": trace, "a": "1"}),
    ]


async def test_a_user_without_words_leaves_a_row(interactions: Interactions) -> None:
    """What somebody has bound as the user may fail to say who it is: the request has its row all the same."""

    class Wordless:
        def __str__(self) -> str:
            raise RuntimeError("no")

    app = FastAPI()

    @app.get("/", dependencies=[interactions.record("view")])
    async def view() -> None:
        belvedere.bind(user_id=Wordless())
        interactions.about(Wordless())
        interactions.add(a=Wordless(), b=1)

    with observed(app, interactions):
        await ask(app)
        (row,) = await rows(interactions)
        assert failures.counts["interactions"] == 2
        failures.counts.clear()
    assert (row["user_id"], row["scholarship_id"], row["metadata"]) == (None, None, {"a": None, "b": 1})


async def test_websockets_are_no_requests(interactions: Interactions) -> None:
    """A mark that reaches a WebSocket's route, by its router, records nothing."""
    app = FastAPI(dependencies=[interactions.record("any")])

    @app.websocket("/ws")
    async def talk(websocket: Any = Body()) -> None:
        """Never be called so."""

    with observed(app, interactions):
        socket = Socket(app, "/ws")
        task = socket.start()
        await task
        assert await rows(interactions) == []


async def test_two_tables_side_by_side(engine: AsyncEngine, tmp_path: Path) -> None:
    """Each has its own marks, additions, rows and journal, and a row in the report; their metrics are added up."""
    visits = Interactions(engine, "visits")
    audits = Interactions(engine, "audits")
    await visits.create_table()
    await audits.create_table()
    app = FastAPI()

    @app.get("/both", dependencies=[visits.record("visit"), audits.record("audit")])
    async def both() -> None:
        visits.add(a=1)
        audits.add(b=2)

    with observed(app, visits, audits) as obs:
        await ask(app, path="/both")
        assert [row["metadata"] for row in await rows(visits)] == [{"a": 1}]
        assert [row["metadata"] for row in await rows(audits)] == [{"b": 2}]
        report = obs.report()
        assert "table visits" in report["interactions"]["why"]
        assert "table audits" in report["interactions#2"]["why"]
        written = await samples(app, "belvedere_interactions_written_total")
    assert written == {"belvedere_interactions_written_total": 2.0}
    with pytest.raises(ValueError, match="choose another"):
        _ = [Interactions(engine, name, journal=tmp_path / "journal") for name in ("visits", "audits")]


async def test_one_for_two_applications(interactions: Interactions) -> None:
    """Two applications may share one; each counts what it has recorded itself."""
    first, second = application(interactions), application(interactions)
    with observed(first, interactions), observed(second, interactions, service="other"):
        with observed(application(interactions), interactions, service="gone"):
            """One leaves, and the others record on."""
        await ask(first, path="/scholarships/1")
        await ask(second, path="/scholarships/2")
        await ask(second, path="/scholarships/3")
        found = await rows(interactions)
        name = 'interactions_recorded_total{event_type="view_scholarship"}'
        assert (await samples(first, "interactions_recorded"))[name] == 1.0
        assert (await samples(second, "interactions_recorded"))[name] == 2.0
    assert [row["scholarship_id"] for row in found] == [1, 2, 3]


async def test_a_number_is_read_as_the_route_reads_it(interactions: Interactions) -> None:
    """However a number may be written in a path, the row is about what the route was asked for."""
    app = application(interactions)
    with observed(app, interactions):
        async with running(app):
            answers = [await ask(app, path=f"/scholarships/{text}") for text in ("7.0", "8.000", "+9", "010", "1_1")]
            for text in ("1.5", "7.0.0", ".0", "1.0e0", "x.0"):
                assert (await ask(app, path=f"/scholarships/{text}")).status == 422
            found = await rows(interactions)
    answered = [answer.json()["id"] if answer.status == 200 else None for answer in answers]
    assert answered[:2] == [7, 8]
    assert [row["scholarship_id"] if told else None for row, told in zip(found, answered, strict=False)] == answered
    assert [row["scholarship_id"] for row in found[len(answers) :]] == [None] * 5
