"""`observe`: on whatever application, whenever it is called, and off again without a trace."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

import belvedere
from tests.drive import ask, observed, requests, running, samples, written
from tests.process import fresh_process


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with fresh_process(monkeypatch):
        yield


def application() -> FastAPI:
    """Return an application with a route, a failing one, and another application mounted."""
    app = FastAPI(title="My Shop!", version="1.2.3")
    sub = FastAPI()
    sub.get("/items/{item}")(lambda item: item)
    app.get("/items/{item}")(lambda item: item)
    app.get("/broken")(lambda: 1 // 0)
    app.mount("/sub", sub)
    return app


def framework() -> list[Any]:
    """Return what of the framework's classes is changed while something is observed."""
    return [kind.__dict__.get("handle") for kind in (Route, WebSocketRoute, Mount, APIRoute)]


def logging_now() -> list[Any]:
    """Return what of the process's logging is changed while something is observed."""
    names = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "shop")
    loggers = [logging.getLogger(name) for name in names]
    state = [(list(one.handlers), one.level, one.propagate, one.disabled) for one in loggers]
    return [state, logging.Logger.makeRecord, structlog.is_configured()]


async def answers(app: Any) -> list[Any]:
    """Return what a few requests get, whole."""
    paths = ("/items/1", "/nothing", "/broken", "/sub/items/1", "/sub/nothing", "/metrics", "/healthz", "/openapi.json")
    return [(answer.status, answer.headers, answer.body) for answer in [await ask(app, path=path) for path in paths]]


@pytest.mark.parametrize("started", [False, True])
async def test_remove_leaves_everything_as_it_was(started: bool) -> None:
    """Application, mounted applications, the framework's classes and logging, whether the stack was built or not."""
    app, twin = application(), application()
    if started:
        await answers(app)
        await answers(twin)
    application_before, framework_before, logging_before = dict(vars(app)), framework(), logging_now()
    state_before, handlers_before = dict(app.state._state), dict(app.exception_handlers)
    obs = belvedere.observe(app, settings=belvedere.Settings(logs={"format": "json", "quiet": {"shop": "error"}}))
    observed_answers = await answers(app)
    assert framework() != framework_before
    assert logging_now() != logging_before
    obs.remove()
    assert framework() == framework_before
    assert logging_now() == logging_before
    assert dict(app.state._state) == state_before
    assert app.exception_handlers == handlers_before
    after = dict(vars(app))
    # What is cached by the application itself: its stack and its schema.
    for cached in ("middleware_stack", "openapi_schema", "_openapi_routes_version"):
        application_before.pop(cached, None)
        after.pop(cached, None)
    assert after == application_before
    assert await answers(app) == await answers(twin) != observed_answers


async def test_removed_while_it_is_served_says_nothing_more(capsys: pytest.CaptureFixture[str]) -> None:
    """Its lifespan goes on, and ends without a line: nobody would format one any more."""
    app = application()
    obs = belvedere.observe(app, settings=belvedere.Settings(logs={"format": "json"}))
    async with running(app):
        obs.remove()
        said = capsys.readouterr().out
    assert "application_started" in said
    assert capsys.readouterr() == ("", "")


async def test_remove_twice_is_once() -> None:
    """A second `remove` does nothing, also where another application is observed meanwhile."""
    before = framework()
    app, other = application(), application()
    obs = belvedere.observe(app)
    obs.remove()
    with observed(other):
        obs.remove()
        await ask(other, path="/items/1")
        assert await requests(other) == {("GET", "/items/{item}", "200"): 1.0}
    assert framework() == before


async def test_observe_after_remove_begins_anew() -> None:
    """An application can be observed again; it has one id, one line and one count a request."""
    app = application()
    for _ in range(3):
        with observed(app):
            answer = await ask(app, path="/items/1")
            assert len(answer.all("x-request-id")) == 1
            assert await requests(app) == {("GET", "/items/{item}", "200"): 1.0}


async def test_observe_twice_is_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second call returns the same object, adds its parts, and doubles nothing."""

    async def ping() -> None: ...

    app = application()
    with observed(app) as obs:
        assert belvedere.observe(app, belvedere.Check("late", ping)) is obs
        assert app.state.belvedere is obs
        answer = await ask(app, path="/items/1")
        assert len(answer.all("x-request-id")) == 1
        assert await requests(app) == {("GET", "/items/{item}", "200"): 1.0}
        assert (await ask(app, path="/readyz")).json()["checks"] == {"late": "ok"}
    assert [line["event"] for line in written(capsys)] == ["request_processed"]


async def test_two_applications_in_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    """Each counts and names its own requests; taking one off leaves the other as it was."""
    shop, blog = application(), application()
    sold = belvedere.counter("observe_sold_total", "Sold.")
    sold.inc()
    with observed(blog, service="blog"):
        with observed(shop):
            await ask(shop, path="/items/1")
            await ask(blog, path="/nothing")
            assert await requests(shop) == {("GET", "/items/{item}", "200"): 1.0}
            assert await requests(blog) == {("GET", "unmatched", "404"): 1.0}
            assert await samples(shop, "observe_") == await samples(blog, "observe_") == {"observe_sold_total": 1.0}
        await ask(blog, path="/items/1")
        assert (await ask(shop, path="/items/1")).all("x-request-id") == []
        assert await requests(blog) == {("GET", "unmatched", "404"): 1.0, ("GET", "/items/{item}", "200"): 1.0}
    access = [(line["service"], line["path"]) for line in written(capsys) if line["event"] == "request_processed"]
    assert access == [("shop", "/items/1"), ("blog", "/nothing"), ("blog", "/items/1")]


async def test_an_observed_application_mounted_in_another_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Outer and inner both observed: the outer one has the request, its id, its line."""
    outer, inner = FastAPI(), application()
    outer.mount("/inner", inner)
    with observed(outer), observed(inner):
        answer = await ask(outer, path="/inner/items/1")
        assert len(answer.all("x-request-id")) == 1
        assert await requests(outer) == {("GET", "/inner/items/{item}", "200"): 1.0}
    assert len(written(capsys)) == 1


async def test_plain_starlette(capsys: pytest.CaptureFixture[str]) -> None:
    """A Starlette application has everything that FastAPI has, its errors' shape included."""

    async def page(request: Any) -> PlainTextResponse:
        if request.path_params["n"] == "0":
            raise ValueError
        return PlainTextResponse(request.state.request_id)

    app = Starlette(routes=[Route("/page/{n}", page)])
    with observed(app):
        async with running(app):
            good = await ask(app, path="/page/1")
            broken = await ask(app, path="/page/0")
            missing = await ask(app, path="/nothing")
            assert (await ask(app, path="/readyz")).json() == {"status": "ready", "checks": {}}
            assert await requests(app) == {
                ("GET", "/page/{n}", "200"): 1.0,
                ("GET", "/page/{n}", "500"): 1.0,
                ("GET", "unmatched", "404"): 1.0,
            }
    assert good.body.decode() == good.id
    assert broken.json() == {
        "error": "internal_server_error",
        "message": "An unexpected error occurred",
        "request_id": broken.id,
    }
    assert missing.json() == {"error": "http_404", "message": "Not Found", "request_id": missing.id}
    assert [line["event"] for line in written(capsys)] == [
        "application_starting",
        "application_started",
        "request_processed",
        "unhandled_exception",
        "request_processed",
        "http_exception",
        "request_processed",
        "application_stopped",
    ]


async def test_an_application_that_serves_already() -> None:
    """Observed after its first request: ids, errors, probes and metrics from then on, mounted applications too."""
    app = application()
    await answers(app)
    with observed(app):
        broken, missing = await ask(app, path="/broken"), await ask(app, path="/sub/nothing")
        assert broken.json()["request_id"] == broken.id
        assert missing.json() == {"error": "http_404", "message": "Not Found", "request_id": missing.id}
        assert (await ask(app, path="/healthz")).json() == {"status": "ok"}
        assert (await samples(app, "http_exceptions_total")) == {
            'http_exceptions_total{method="GET",endpoint="/broken",exception="ZeroDivisionError"}': 1.0
        }


async def test_what_comes_after_observe_is_observed(capsys: pytest.CaptureFixture[str]) -> None:
    """Routes, middlewares, handlers and mounts may come after `observe`, until the application starts."""
    app = FastAPI()
    with observed(app) as obs:
        app.add_middleware(GZipMiddleware, minimum_size=10)
        app.get("/big")(lambda: "x" * 100)
        app.exception_handler(ZeroDivisionError)(lambda request, error: PlainTextResponse("own", 418))
        app.get("/broken")(lambda: 1 // 0)
        big = await ask(app, path="/big", headers=[(b"accept-encoding", b"gzip")])
        broken = await ask(app, path="/broken")
        assert obs.report()["requests"]["why"] == "X-Request-ID, kept from callers"
    assert (big.all("content-encoding"), len(big.all("x-request-id"))) == (["gzip"], 1)
    assert (broken.status, broken.body, len(broken.all("x-request-id"))) == (418, b"own", 1)
    assert [line["event"] for line in written(capsys)] == ["request_processed"] * 2


async def test_whoever_wraps_the_application_after_us_is_reported() -> None:
    """What wraps the whole application outside Belvedere is told in the report; `remove` lets requests through."""
    app = application()
    obs = belvedere.observe(app)
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: GZipMiddleware(build())  # type: ignore[method-assign]
    answer = await ask(app, path="/items/1")
    assert len(answer.all("x-request-id")) == 1
    assert obs.report()["requests"]["why"].endswith(
        "something wrapped the application after Belvedere and is not seen: call observe last"
    )
    obs.remove()
    answer = await ask(app, path="/items/1")
    assert (answer.status, answer.all("x-request-id")) == (200, [])


async def test_the_name_and_version_are_the_applications_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless set, the service is the title as a slug, the version the application's."""
    for variable in ("OTEL_SERVICE_NAME", "APP_VERSION", "BELVEDERE_SERVICE", "ENVIRONMENT"):
        monkeypatch.delenv(variable, raising=False)
    app = application()
    obs = belvedere.observe(app)
    obs.remove()
    assert (obs.settings.service, obs.settings.version, obs.settings.environment) == ("my-shop", "1.2.3", "local")


async def test_report_and_catalogue_are_plain_data() -> None:
    """Both can be written as JSON, and name every feature with a reason."""
    with observed(application(), headers=None) as obs:
        report, catalogue = obs.report(), obs.catalogue()
    assert json.loads(json.dumps(catalogue)) == catalogue
    assert json.loads(json.dumps(report)) == report
    assert list(report) == ["requests", "logs", "metrics", "health", "problems", "headers", "tracing"]
    assert all(row["state"] in {"on", "off"} and row["why"] for row in report.values())
    assert report["headers"] == {"state": "off", "why": "switched off by the settings"}
    assert [route["path"] for route in catalogue["routes"] if "items" in route["path"]] == [
        "/items/{item}",
        "/sub/items/{item}",
    ]


async def test_a_start_is_told_from_beginning_to_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Starting, started, stopped, around the application's own lifespan, whose state and errors stay its own."""
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        order.extend(line["event"] for line in written(capsys))
        yield {"answer": 42}
        order.append("own stop")

    app = FastAPI(lifespan=lifespan, title="Shop", version="1.2.3")
    with observed(app):
        async with running(app):
            order.extend(line["event"] for line in written(capsys))
    order.extend(line["event"] for line in written(capsys))
    assert order == ["application_starting", "application_started", "own stop", "application_stopped"]


async def test_a_start_that_fails_stays_a_failed_start() -> None:
    """An exception in the application's lifespan is the server's to hear of, as without Belvedere."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        if app.title:
            raise LookupError("no database")
        yield

    app = FastAPI(lifespan=lifespan)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    with observed(app), pytest.raises(LookupError, match="no database"):
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert sent == ["lifespan.startup.failed"]


async def test_problems_off_leaves_the_frameworks_answers(capsys: pytest.CaptureFixture[str]) -> None:
    """Without the one shape, errors look as FastAPI makes them; an exception is still told once, with its id."""
    app = application()
    with observed(app, problems=None):
        missing, broken = await ask(app, path="/nothing"), await ask(app, path="/broken")
    assert (missing.status, missing.body) == (404, b'{"detail":"Not Found"}')
    assert (broken.status, broken.body) == (500, b"Internal Server Error")
    told = [line for line in written(capsys) if line["event"] == "unhandled_exception"]
    assert [line["request_id"] for line in told] == [broken.id]


async def test_the_python_face_is_small() -> None:
    """At most 25 public names, each of which is there."""
    assert len(belvedere.__all__) <= 25
    assert sorted(belvedere.__all__) == sorted(set(belvedere.__all__))
    assert all(hasattr(belvedere, name) for name in belvedere.__all__)
