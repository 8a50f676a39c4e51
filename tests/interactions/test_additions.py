"""What an application adds to the row of its request, and rows that it makes by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.trace import TracerProvider
from starlette.concurrency import run_in_threadpool

import belvedere
from belvedere import Interactions, failures
from tests.drive import ask, observed, samples
from tests.interactions.conftest import rows
from tests.interactions.scholarships import JSON


@pytest.mark.parametrize("traced", [False, True])
async def test_what_is_added_from_anywhere_in_the_request(interactions: Interactions, traced: bool) -> None:
    """Threads, tasks, dependencies, a stream and a helper add to the row of their request, traced or not; background
    work does not harm."""
    app = FastAPI()
    settings: dict[str, Any] = {"tracing": {"provider": TracerProvider()}} if traced else {}

    def dependency() -> Iterator[None]:
        interactions.add(dependency=1)
        yield

    async def nested() -> None:
        interactions.add(task=3)

    @app.get("/sync", dependencies=[interactions.record("sync"), Depends(dependency)])
    def sync(n: int) -> None:
        interactions.add(n=n, thread=2)

    @app.get("/async", dependencies=[interactions.record("async")])
    async def asynchronous() -> StreamingResponse:
        await asyncio.create_task(nested())
        await run_in_threadpool(interactions.add, pool=4)
        interactions.about("9")

        async def pieces() -> AsyncIterator[bytes]:
            yield b"1"
            interactions.add(stream=5)
            yield b"2"

        return StreamingResponse(pieces())

    interactions.add(nowhere=1)
    interactions.about(1)
    with observed(app, interactions, **settings):
        await asyncio.gather(*(ask(app, path="/sync", query=f"n={n}".encode()) for n in range(10)))
        await ask(app, path="/async")
        found = await rows(interactions)
    by_hand = [row["metadata"] for row in found if row["event_type"] == "sync"]
    assert sorted(row["n"] for row in by_hand) == list(range(10))
    assert by_hand[0] == {"n": by_hand[0]["n"], "thread": 2, "dependency": 1}
    assert (found[-1]["metadata"], found[-1]["scholarship_id"]) == ({"task": 3, "pool": 4, "stream": 5}, 9)


async def test_fields_of_any_name_are_added(interactions: Interactions) -> None:
    """A body is added as a client has sent it, whatever its fields are called."""
    app = FastAPI()

    @app.post("/any", dependencies=[interactions.record("any")])
    async def anything(body: dict[str, Any]) -> None:
        interactions.add(**body)

    with observed(app, interactions):
        answer = await ask(app, "POST", "/any", body=b'{"self": 1, "fields": 2, "": 3}', headers=JSON)
        found = await rows(interactions)
    assert (answer.status, [row["metadata"] for row in found]) == (200, [{"self": 1, "fields": 2, "": 3}])


async def test_by_hand(interactions: Interactions) -> None:
    """`log` is a row besides the one of the mark; it takes what it is not told from the request, or from nobody."""
    app = FastAPI()

    @app.get("/orders/{id}", dependencies=[interactions.record("view", subject="id")])
    async def view(id: int, request: Request) -> dict[str, int]:
        belvedere.bind(user_id=5)
        await interactions.log("seen", subject=id, metadata={"password": "x", "n": 1})
        await interactions.log("told", request, Answer(418), user_id="u", subject="8", trace_id="t" * 32)
        return {}

    class Answer:
        def __init__(self, status_code: int) -> None:
            self.status_code = status_code

    with observed(app, interactions):
        answer = await ask(app, path="/orders/7")
        belvedere.set_request_id("job-1")
        await interactions.log("nightly", user_id="cron", metadata={"rows": 3})
        belvedere.set_request_id(None)
        counted = await samples(app, "interactions_recorded_total")
        found = await rows(interactions)
    shown = ("event_type", "user_id", "scholarship_id", "path", "method", "status", "trace_id", "metadata")
    trace_id = answer.id.replace("-", "")
    assert [tuple(row[name] for name in shown) for row in found] == [
        ("seen", "5", 7, "/orders/7", "GET", 0, trace_id, {"password": "[redacted]", "n": 1}),
        ("told", "u", 8, "/orders/7", "GET", 418, "t" * 32, {}),
        ("view", "5", 7, "/orders/7", "GET", 200, trace_id, {}),
        ("nightly", "cron", None, "", "", 0, "job-1", {"rows": 3}),
    ]
    assert counted == {
        f'interactions_recorded_total{{event_type="{event}"}}': 1.0 for event in ("seen", "told", "view", "nightly")
    }


async def test_by_hand_never_raises(interactions: Interactions, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it is given, it returns; what cannot be recorded is counted."""

    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("no")

    class Wordless:
        def __str__(self) -> str:
            raise RuntimeError("no")

        __int__ = __str__

    wrong: Any = Hostile()
    events: list[Any] = [None, 7, "", wrong]
    for event in events:
        await interactions.log(event)
    await interactions.log("a", wrong)
    await interactions.log("b", None, wrong)
    assert failures.counts["interactions"] == 6
    await interactions.log("c", user_id=Wordless(), subject=Wordless(), metadata=wrong)
    assert failures.counts["interactions"] == 9
    await interactions.log("d", user_id=wrong, metadata={"a": wrong, "b": 1}, subject=wrong)
    await interactions.log("e", "no request", {"no": "response"}, subject=[], metadata={"1": {2}}, trace_id=wrong)
    failures.counts.clear()
    assert [row["event_type"] for row in await rows(interactions)] == ["c", "d", "e"]
