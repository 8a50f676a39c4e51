"""What is recorded: one row for each request that a marked route answered, whatever the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.concurrency import run_in_threadpool

import belvedere
from belvedere import Interactions, RateLimiter, failures
from tests.drive import Exchange, Socket, ask, observed, running, samples
from tests.interactions.conftest import rows

JSON = [(b"content-type", b"application/json")]


class Search(BaseModel):
    """A body."""

    query: str = ""
    limit: int = 10


@pytest.fixture
async def interactions(engine: AsyncEngine) -> AsyncIterator[Interactions]:
    """Interactions about scholarships, which are numbered."""
    interactions = Interactions(engine, subject="scholarship_id", subject_type=int)
    await interactions.create_table()
    yield interactions
    assert not interactions._marks._stripped


def refuse() -> None:
    """Refuse a request in a dependency."""
    raise HTTPException(401)


def application(interactions: Interactions) -> FastAPI:
    """Routes that end in every way."""
    app = FastAPI()

    @app.get("/scholarships/{id}", dependencies=[interactions.record("view_scholarship", subject="id")])
    async def view(id: int) -> dict[str, int]:
        belvedere.bind(user_id="u1")
        if id == 0:
            raise HTTPException(404)
        if id == 500:
            raise RuntimeError("broken")
        return {"id": id}

    @app.post("/search", dependencies=[interactions.record("search_scholarships")])
    async def search(body: Search) -> dict[str, str]:
        interactions.add(**body.model_dump())
        return {}

    @app.get("/private", dependencies=[interactions.record("private"), Depends(refuse)])
    async def private() -> None:
        """Answer nobody."""

    @app.get("/unmarked")
    async def unmarked() -> None:
        """Be of no interest."""

    return app


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


async def test_marks_everywhere_the_nearest_counts(interactions: Interactions) -> None:
    """A mark on the application, on included and nested routers, in a mounted application; never two rows."""
    app = FastAPI(dependencies=[interactions.record("app")])
    outer = APIRouter(prefix="/outer", dependencies=[interactions.record("outer")])
    inner = APIRouter(prefix="/inner", dependencies=[interactions.record("inner")])
    mounted = FastAPI()

    async def answer() -> None:
        """Answer with nothing."""

    app.get("/")(answer)
    outer.get("/")(answer)
    inner.get("/")(answer)
    inner.get("/{key}", dependencies=[interactions.record("route", subject="key")])(answer)
    mounted.get("/item/{key}", dependencies=[interactions.record("mounted", subject="key")])(answer)
    outer.include_router(inner)
    app.include_router(outer)
    app.include_router(inner, prefix="/again", dependencies=[interactions.record("again")])
    app.mount("/mounted", mounted)
    with observed(app, interactions):
        paths = ["/", "/outer/", "/outer/inner/", "/outer/inner/5", "/again/inner/", "/mounted/item/6"]
        for path in 2 * paths:
            assert (await ask(app, path=path)).status == 200
        found = await rows(interactions)
    expected = [("app", None), ("outer", None), ("inner", None), ("route", 5), ("inner", None), ("mounted", 6)]
    assert [(row["event_type"], row["scholarship_id"]) for row in found] == 2 * expected


async def test_a_mark_is_no_dependency_while_it_is_installed(interactions: Interactions) -> None:
    """After its first request a route resolves its mark no longer; the others stay, in order; `remove` puts it back."""
    app = FastAPI()
    seen: list[str] = []
    parameter = interactions.record("view")

    async def before() -> None:
        seen.append("before")

    async def after(key: str) -> None:
        seen.append("after")

    @app.get("/{key}", dependencies=[Depends(before), interactions.record("view"), Depends(after)], response_model=None)
    async def view(value: Any = parameter) -> None:
        seen.append("view")

    route: Any = app.routes[-1]
    marks = list(route.dependencies)
    whole = list(route.dependant.dependencies)
    with observed(app, interactions):
        for _ in range(2):
            await ask(app, path="/1")
        assert route.dependencies == marks
        assert len(route.dependant.dependencies) == len(whole) - 1
    assert route.dependant.dependencies == whole
    assert seen == ["before", "after", "view"] * 2
    assert len(await rows(interactions)) == 2


async def test_without_observe_nothing_is_recorded_and_all_works(interactions: Interactions) -> None:
    """A mark alone does nothing, nor does what the endpoint adds."""
    app = application(interactions)
    assert (await ask(app, path="/scholarships/7")).json() == {"id": 7}
    assert (await ask(app, "POST", "/search", body=b"{}", headers=JSON)).status == 200
    assert await rows(interactions) == []


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


def test_wrong_arguments_say_what_to_do(engine: AsyncEngine) -> None:
    """What cannot work is refused where it is written."""
    interactions = Interactions(engine)
    wrong: Any = 7
    for event in ("", wrong):
        with pytest.raises(ValueError, match="an event needs a name"):
            interactions.record(event)
    for subject in ("", wrong):
        with pytest.raises(ValueError, match="name of a parameter"):
            interactions.record("a", subject=subject)
    with pytest.raises(TypeError, match="create_async_engine"):
        Interactions(wrong)
    for retention in (0, -1):
        with pytest.raises(ValueError, match="keeps nothing"):
            Interactions(engine, retention=retention)
    with pytest.raises(TypeError, match="number of days"):
        Interactions(engine, retention="7 days")  # type: ignore[arg-type]
