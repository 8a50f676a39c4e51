"""Context: the id is the same wherever the code of one request runs, and never that of another."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import anyio.to_thread
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, Response

import belvedere
from belvedere.context import bound_fields
from tests.drive import Exchange, ask
from tests.edge_cases.conftest import Lines, Observe

MINE = [(b"x-request-id", b"mine")]


class Seen(dict[str, str | None]):
    """The ids that code saw, by where it ran."""

    def here(self, place: str) -> None:
        self[place] = belvedere.request_id()


@pytest.fixture
def seen() -> Seen:
    return Seen()


async def test_sync_and_async_endpoints_see_the_id(observe: Observe) -> None:
    """In the event loop and in a worker thread alike, and on `request.state`."""
    app = FastAPI()

    @app.get("/async")
    async def in_loop(request: Request) -> list[Any]:
        return [belvedere.request_id(), request.state.request_id, request.state.trace_id]

    @app.get("/sync")
    def in_thread(request: Request) -> list[Any]:
        return [belvedere.request_id(), request.state.request_id, request.state.trace_id]

    observe(app)
    for path in ("/async", "/sync"):
        answer = await ask(app, path=path)
        assert answer.json() == [answer.id, answer.id, answer.id.replace("-", "")]


async def test_dependencies_see_the_id_before_and_after(observe: Observe, seen: Seen) -> None:
    """Sync and async dependencies, those with `yield` on their way in and out."""
    app = FastAPI()

    async def plain() -> None:
        seen.here("async")

    def thread() -> None:
        seen.here("sync")

    async def opened() -> AsyncIterator[None]:
        seen.here("async yield, in")
        yield
        seen.here("async yield, out")

    def opened_in_thread() -> Iterator[None]:
        seen.here("sync yield, in")
        yield
        seen.here("sync yield, out")

    app.get("/", dependencies=[Depends(one) for one in (plain, thread, opened, opened_in_thread)])(lambda: "ok")
    observe(app)
    await ask(app, headers=MINE)
    places = ["async", "sync", "async yield, in", "async yield, out", "sync yield, in", "sync yield, out"]
    assert seen == dict.fromkeys(places, "mine")


async def test_background_tasks_and_tasks_see_the_id(observe: Observe, seen: Seen) -> None:
    """Background tasks, `create_task`, worker threads, and code that outlives the request."""
    app = FastAPI()
    left: list[asyncio.Task[None]] = []
    go = asyncio.Event()

    async def in_task() -> None:
        seen.here("create_task")
        await go.wait()
        seen.here("after the end")

    async def background() -> None:
        seen.here("async background")

    @app.get("/")
    async def spawn(tasks: BackgroundTasks) -> None:
        tasks.add_task(background)
        tasks.add_task(seen.here, "sync background")
        left.append(asyncio.create_task(in_task()))
        await anyio.to_thread.run_sync(seen.here, "thread")

    observe(app)
    await ask(app, headers=MINE)
    go.set()
    await left[0]
    places = ["create_task", "async background", "sync background", "thread", "after the end"]
    assert seen == dict.fromkeys(places, "mine")


async def test_exception_handlers_see_the_id(observe: Observe, seen: Seen) -> None:
    """Handlers of an exception, sync and async, and the one for everything."""
    app = FastAPI()

    @app.exception_handler(KeyError)
    def sync_handler(request: Request, error: Exception) -> Response:
        seen.here("sync handler")
        return PlainTextResponse("", 400)

    @app.exception_handler(ValueError)
    async def async_handler(request: Request, error: Exception) -> Response:
        seen.here("async handler")
        return PlainTextResponse("", 400)

    @app.exception_handler(Exception)
    async def last(request: Request, error: Exception) -> Response:
        seen.here("the last handler")
        return PlainTextResponse("", 500)

    @app.get("/{kind}")
    async def broken(kind: str) -> None:
        raise {"key": KeyError, "value": ValueError, "other": ZeroDivisionError}[kind]

    observe(app)
    for kind in ("key", "value", "other"):
        await ask(app, path=f"/{kind}", headers=MINE)
    assert seen == dict.fromkeys(["sync handler", "async handler", "the last handler"], "mine")


@pytest.mark.usefixtures("forgotten_streams")
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function MemoryObjectReceiveStream:pytest.PytestUnraisableExceptionWarning"
)
async def test_base_http_middleware_sees_the_id_and_what_the_endpoint_bound(
    observe: Observe, seen: Seen, lines: Lines
) -> None:
    """Before and behind a `BaseHTTPMiddleware`, and what is bound inside reaches the line after it."""
    app = FastAPI()

    async def dispatch(request: Request, call_next: Any) -> Response:
        seen.here("before")
        response: Response = await call_next(request)
        seen.here("after")
        return response

    @app.get("/")
    async def bound() -> None:
        seen.here("endpoint")
        belvedere.bind(user_id="u1")
        belvedere.get_logger("shop").info("said")

    app.add_middleware(BaseHTTPMiddleware, dispatch=dispatch)
    observe(app)
    await ask(app, headers=MINE)
    assert seen == dict.fromkeys(["before", "endpoint", "after"], "mine")
    assert [(line["event"], line["request_id"], line["user_id"]) for line in lines()] == [
        ("said", "mine", "u1"),
        ("request_processed", "mine", "u1"),
    ]


async def test_what_a_worker_thread_binds_reaches_the_access_line(observe: Observe, lines: Lines) -> None:
    """A sync endpoint and a sync dependency bind for the whole request."""
    app = FastAPI()

    def user() -> None:
        belvedere.bind(user_id="u1")

    @app.get("/", dependencies=[Depends(user)])
    def order() -> None:
        belvedere.bind(order_id=7)

    observe(app)
    await ask(app)
    (line,) = lines()
    assert (line["user_id"], line["order_id"]) == ("u1", 7)


async def test_two_hundred_interleaved_requests_never_mix(observe: Observe, lines: Lines) -> None:
    """Each of 200 requests that take turns sees its own id and what it bound itself, in loop and threads."""
    app = FastAPI()
    turns = random.Random(7)

    def in_thread(n: int) -> str | None:
        belvedere.bind(thread=n)
        return belvedere.request_id()

    @app.get("/{n}")
    async def endpoint(n: int) -> list[str | None]:
        belvedere.bind(n=n)
        seen = []
        for _ in range(5):
            await asyncio.sleep(turns.random() / 1000)
            seen.append(belvedere.request_id())
        seen.append(await anyio.to_thread.run_sync(in_thread, n))
        with belvedere.LogContext(inner=n):
            belvedere.get_logger("shop").info("said", n_said=n)
        return seen

    observe(app)
    asked = (ask(app, path=f"/{n}", headers=[(b"x-request-id", b"id-%d" % n)]) for n in range(200))
    answers = await asyncio.gather(*asked)
    for n, answer in enumerate(answers):
        assert answer.id == f"id-{n}"
        assert answer.json() == [f"id-{n}"] * 6
    found = lines()
    assert len(found) == 400
    for line in found:
        n = int(line["request_id"].removeprefix("id-"))
        assert (line["n"], line["thread"]) == (n, n)
        assert line.get("n_said", n) == line.get("inner", n) == n


async def test_nothing_is_left_once_the_request_is_over(observe: Observe) -> None:
    """After a request, good or broken, whoever served it knows no id."""
    app = FastAPI()

    @app.get("/{kind}")
    async def endpoint(kind: str) -> str:
        return {"good": "ok"}[kind]

    observe(app)
    for path in ("/good", "/bad"):
        await Exchange(app, path=path).serve()
        assert belvedere.request_id() is None


async def test_a_decorated_dependency_sees_how_its_request_ends(observe: Observe) -> None:
    """`LogContext` hands a dependency with `yield` the exception of its request, and closes it early or late."""
    seen: list[str] = []
    app = FastAPI()

    @belvedere.LogContext(operation="database")
    async def session() -> AsyncGenerator[str, str]:
        try:
            seen.append((yield "first") or "committed")
            yield "second"
        except ValueError:
            seen.append("rolled back")
            raise
        finally:
            seen.append("closed")

    @app.get("/")
    async def broken(value: str = Depends(session)) -> None:
        raise ValueError(value)

    observe(app)
    answer = await ask(app)
    assert (answer.status, repr(answer.cause)) == (500, "ValueError('first')")
    assert seen == ["rolled back", "closed"]
    seen.clear()
    generator = session()
    assert await anext(generator) == "first"
    assert await generator.asend("sent") == "second"
    await generator.aclose()
    assert seen == ["sent", "closed"]
    assert [item async for item in session()] == ["first", "second"]
    assert bound_fields() == {}


async def test_a_job_outside_requests_has_the_id_it_was_given(observe: Observe, lines: Lines) -> None:
    """`set_request_id` gives the lines of a job their id; inside a request it changes nothing."""
    app = FastAPI()

    @app.get("/")
    async def endpoint() -> str | None:
        belvedere.set_request_id("other")
        return belvedere.request_id()

    observe(app)

    async def job() -> None:
        belvedere.set_request_id("job-1")
        belvedere.get_logger("shop").info("worked")
        belvedere.set_request_id(None)
        belvedere.get_logger("shop").info("rested")

    await asyncio.create_task(job())
    worked, rested = lines()
    assert (worked["event"], worked["request_id"], "trace_id" in worked) == ("worked", "job-1", False)
    assert (rested["event"], "request_id" in rested) == ("rested", False)
    assert (await ask(app, headers=MINE)).json() == "mine"


def test_a_wrong_job_id_says_what_an_id_is() -> None:
    """`set_request_id` refuses what would not be safe in a header or a query."""
    with pytest.raises(ValueError, match=r"^'a b' is no request id: use 1 to 128 of the characters A-Z a-z 0-9"):
        belvedere.set_request_id("a b")
